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
            // `insert` makes room before it looks whether the number is there.
            if let Some(known) = self.sparse.get_mut(&index) {
                *known = node;
            } else {
                budget.grow_map(&mut self.sparse)?;
                self.sparse.insert(index, node);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn node(position: usize) -> NodeId {
        NodeId::at(position).unwrap()
    }

    #[test]
    fn the_next_number_goes_without_a_budget_as_long_as_there_is_room() {
        let mut memo = Memo::default();
        assert!(!memo.put_next(0, node(7)));
        assert!(!memo.put(0, node(7), 0, &mut Budget::default()).unwrap());
        let room = memo.dense.capacity();
        for index in 1..room {
            let number = to_u64(index);
            assert!(!memo.put_next(number + 1, node(index)));
            assert!(!memo.put_next(number - 1, node(index)));
            assert!(memo.put_next(number, node(index)));
            assert_eq!(memo.get(number), Some(node(index)));
        }
        assert!(!memo.put_next(to_u64(room), node(9)));
        assert_eq!(memo.dense.capacity(), room);
        assert_eq!(memo.len(), to_u64(room));
        assert_eq!(memo.get(0), Some(node(7)));
    }

    #[test]
    fn a_number_is_near_up_to_64_beyond_the_opcodes() {
        for opcodes in [0, 1, 100] {
            let mut memo = Memo::default();
            let mut budget = Budget::default();
            let last = opcodes + 64;
            assert!(!memo.put(last, node(1), opcodes, &mut budget).unwrap());
            assert!(memo.put(last + 1, node(2), opcodes, &mut budget).unwrap());
            assert_eq!(memo.get(last), Some(node(1)));
            assert_eq!(memo.get(last + 1), Some(node(2)));
            assert_eq!(memo.get(last - 1), None);
            assert_eq!(memo.len(), 2);
        }
    }

    #[test]
    fn a_far_number_is_found_when_the_list_has_grown_up_to_it() {
        let mut memo = Memo::default();
        let mut budget = Budget::default();
        memo.put(100, node(1), 0, &mut budget).unwrap();
        memo.put(90, node(2), 90, &mut budget).unwrap();
        // The list is not the only place any more: the next number may wait in the map.
        assert!(memo.dense.len() < memo.dense.capacity());
        assert!(!memo.put_next(91, node(3)));
        memo.put(101, node(4), 101, &mut budget).unwrap();
        assert_eq!(memo.get(100), Some(node(1)));
        assert_eq!(memo.get(90), Some(node(2)));
        assert_eq!(memo.get(101), Some(node(4)));
        assert_eq!(memo.len(), 3);
        memo.put(100, node(5), 102, &mut budget).unwrap();
        assert_eq!((memo.get(100), memo.len()), (Some(node(5)), 3));
    }

    /// Many numbers cost what the map needs for them, one number again costs nothing.
    #[test]
    fn far_numbers_are_charged_once() {
        let mut memo = Memo::default();
        assert!(
            memo.put(1_000, node(1), 0, &mut Budget::of_heap(0))
                .is_err()
        );
        memo.put(1_000, node(1), 0, &mut Budget::of_heap(1_000))
            .unwrap();
        let room = to_u64(memo.sparse.capacity());
        for index in 1..room {
            memo.put(1_000 + index, node(1), 0, &mut Budget::of_heap(0))
                .unwrap();
        }
        memo.put(1_000, node(2), 0, &mut Budget::of_heap(0))
            .unwrap();
        assert!(
            memo.put(1_000 + room, node(1), 0, &mut Budget::of_heap(0))
                .is_err()
        );
        assert_eq!(memo.get(1_000), Some(node(2)));
        assert_eq!(memo.len(), room);
    }
}
