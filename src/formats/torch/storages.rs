//! The storages of one checkpoint, by key.

use std::collections::HashMap;

use super::rebuild::Spec;
use crate::bytes::{Endian, Span};
use crate::error::{Error, Result};
use crate::index::Builder;
use crate::limits::Budget;

/// Where one storage lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage {
    /// 0 for the file, 1 + n for inflated member n.
    pub(super) source: u32,
    pub(super) span: Span,
    /// The number that all its tensors share.
    pub(super) number: u32,
}

/// All storages, and the byte order of their elements.
#[derive(Debug, Default)]
pub(super) struct Storages<'a> {
    pub(super) endian: Endian,
    /// Sorted by key after [`finish`](Self::finish).
    list: Vec<(&'a str, Storage, bool)>,
    /// The tensors that persistent ids name, in the oldest files.
    pub(super) tensors: HashMap<i64, Spec<'static>>,
}

impl<'a> Storages<'a> {
    pub(super) fn new(endian: Endian) -> Self {
        Self {
            endian,
            list: Vec::new(),
            tensors: HashMap::new(),
        }
    }

    /// Adds a storage.
    pub(super) fn push(
        &mut self,
        key: &'a str,
        source: u32,
        span: Span,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<()> {
        budget.grow(&mut self.list)?;
        let number = builder.new_storage();
        let storage = Storage {
            source,
            span,
            number,
        };
        self.list.push((key, storage, false));
        Ok(())
    }

    /// Sorts the keys.
    ///
    /// # Errors
    /// `Malformed` if a key stands twice.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.list.sort_unstable_by_key(|&(key, ..)| key);
        for pair in self.list.windows(2) {
            if let &[(first, ..), (second, storage, _)] = pair
                && first == second
            {
                return Err(Error::duplicate("storage", first).at(storage.span.start()));
            }
        }
        Ok(())
    }

    /// The storage of a key, which counts as used from now on.
    pub(super) fn find(&mut self, key: &str) -> Option<Storage> {
        let place = self
            .list
            .binary_search_by_key(&key, |&(key, ..)| key)
            .ok()?;
        let (_, storage, used) = self.list.get_mut(place)?;
        *used = true;
        Some(*storage)
    }

    /// Keys that no tensor asked for.
    pub(super) fn unused(&self) -> impl Iterator<Item = &str> {
        self.list
            .iter()
            .filter(|(_, _, used)| !used)
            .map(|&(key, ..)| key)
    }
}
