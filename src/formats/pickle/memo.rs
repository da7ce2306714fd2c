//! The memo: values by number, by reference.

use std::collections::HashMap;

use super::tree::NodeId;
use crate::bytes::to_u64;
use crate::error::Result;
use crate::limits::Budget;

/// Numbers that a pickler hands out follow each other and lie in a list; others in a map, so that
/// one large number does not cost a large list.
#[derive(Default)]
pub(super) struct Memo {
    dense: Vec<Option<NodeId>>,
    sparse: HashMap<u64, NodeId>,
    filled: u64,
}

impl Memo {
    /// How many numbers are taken: the next number of MEMOIZE.
    pub(super) fn len(&self) -> u64 {
        self.filled.saturating_add(to_u64(self.sparse.len()))
    }

    #[inline]
    pub(super) fn get(&self, index: u64) -> Option<NodeId> {
        let dense = usize::try_from(index)
            .ok()
            .and_then(|index| self.dense.get(index));
        match dense {
            Some(&node) => node,
            None => self.sparse.get(&index).copied(),
        }
    }

    /// Puts a value under the number that follows the last, as picklers do; `false` if that is not it, or if
    /// there is no room, and then nothing was done.
    #[inline]
    pub(super) fn put_next(&mut self, index: u64, node: NodeId) -> bool {
        let length = self.dense.len();
        let next = index == to_u64(length) && length < self.dense.capacity();
        if !next || !self.sparse.is_empty() {
            return false;
        }
        self.dense.push(Some(node));
        self.filled = self.filled.saturating_add(1);
        true
    }

    /// Puts a value; says whether the number lies far beyond those taken.
    ///
    /// A number is near if it does not exceed the opcodes run so far: then the list stays in proportion
    /// to the input. Picklers of Python 2 count from 1, and some numbers are skipped: 64 more are near.
    pub(super) fn put(
        &mut self,
        index: u64,
        node: NodeId,
        opcodes: u64,
        budget: &mut Budget,
    ) -> Result<bool> {
        if index > opcodes.saturating_add(64) {
            if !self.sparse.contains_key(&index) {
                budget.grow_map(&mut self.sparse)?;
            }
            self.sparse.insert(index, node);
            return Ok(true);
        }
        while to_u64(self.dense.len()) <= index {
            budget.grow(&mut self.dense)?;
            // A number may wait in the map until the list has grown up to it.
            let mut moved = None;
            if !self.sparse.is_empty() {
                moved = self.sparse.remove(&to_u64(self.dense.len()));
                self.filled = self.filled.saturating_add(u64::from(moved.is_some()));
            }
            self.dense.push(moved);
        }
        if let Some(slot) = usize::try_from(index)
            .ok()
            .and_then(|index| self.dense.get_mut(index))
            && slot.replace(node).is_none()
        {
            self.filled = self.filled.saturating_add(1);
        }
        Ok(false)
    }
}
