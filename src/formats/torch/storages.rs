//! The storages of one checkpoint, by key.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::rebuild::Spec;
use crate::bytes::{Endian, Span, to_u64};
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
    list: Vec<(&'a str, Storage)>,
    /// Whether a tensor asked for it, by place in the list.
    used: Vec<bool>,
    /// Places in the list, from 1, by the hash of the key: a table of twice as many, a power of two.
    table: Vec<u32>,
    hasher: RandomState,
    /// The tensors that persistent ids name, in the oldest files.
    pub(super) tensors: HashMap<i64, Spec<'static>>,
}

impl<'a> Storages<'a> {
    pub(super) fn new(endian: Endian) -> Self {
        Self {
            endian,
            list: Vec::new(),
            used: Vec::new(),
            table: Vec::new(),
            hasher: RandomState::new(),
            tensors: HashMap::new(),
        }
    }

    /// Makes room for as many storages as the archive has members.
    pub(super) fn reserve(&mut self, most: usize, budget: &mut Budget) -> Result<()> {
        budget.reserve(&mut self.list, most)?;
        budget.reserve(&mut self.used, most)
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
        budget.grow(&mut self.used)?;
        let number = builder.new_storage();
        let storage = Storage {
            source,
            span,
            number,
        };
        self.list.push((key, storage));
        self.used.push(false);
        Ok(())
    }

    /// Makes the keys ready to be found.
    ///
    /// # Errors
    /// `Malformed` if a key stands twice, `Limit` if the heap budget is spent.
    pub(super) fn finish(&mut self, budget: &mut Budget) -> Result<()> {
        let slots = self.list.len().saturating_mul(2).next_power_of_two();
        budget.reserve(&mut self.table, slots)?;
        self.table.resize(slots, 0);
        for (place, &(key, ..)) in self.list.iter().enumerate() {
            let number = u32::try_from(place).ok().and_then(|it| it.checked_add(1));
            let number =
                number.ok_or_else(|| Error::unsupported("an archive of", "2^32 storages"))?;
            let slot = slot(&self.hasher, &self.list, &self.table, key);
            match self.table.get_mut(slot) {
                Some(taken) if *taken == 0 => *taken = number,
                _ => return self.check_unique(),
            }
        }
        Ok(())
    }

    /// Names the key that stands twice.
    #[cold]
    fn check_unique(&mut self) -> Result<()> {
        self.list.sort_unstable_by_key(|&(key, ..)| key);
        for pair in self.list.windows(2) {
            if let &[(first, _), (second, storage)] = pair
                && first == second
            {
                return Err(Error::duplicate("storage", first).at(storage.span.start()));
            }
        }
        Ok(())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The storage of a key, which counts as used from now on.
    pub(super) fn find(&mut self, key: &str) -> Option<Storage> {
        let slot = slot(&self.hasher, &self.list, &self.table, key);
        let place = self.table.get(slot)?.checked_sub(1)?;
        let place = usize::try_from(place).ok()?;
        *self.used.get_mut(place)? = true;
        self.list.get(place).map(|&(_, storage)| storage)
    }

    /// Keys that no tensor asked for, sorted.
    ///
    /// # Errors
    /// They cannot be listed within the budget.
    pub(super) fn unused(&self, budget: &mut Budget) -> Result<Vec<&'a str>> {
        let unused = self.list.iter().zip(&self.used).filter(|(_, used)| !*used);
        let mut keys = budget.collect(unused.map(|(&(key, _), _)| key))?;
        keys.sort_unstable();
        Ok(keys)
    }
}

/// The slot in a table that holds the key's place, or the free one where it would stand. Half of the slots
/// are free, and the hash has a key of its own: no file can make the search long.
fn slot(hasher: &RandomState, list: &[(&str, Storage)], table: &[u32], key: &str) -> usize {
    let mask = table.len().saturating_sub(1);
    let mut slot = usize::try_from(hasher.hash_one(key) & to_u64(mask)).unwrap_or(0);
    loop {
        let place = table.get(slot).copied().unwrap_or(0);
        let known = usize::try_from(place)
            .ok()
            .and_then(|place| list.get(place.checked_sub(1)?));
        match known {
            Some(&(known, ..)) if known != key => slot = slot.wrapping_add(1) & mask,
            _ => return slot,
        }
    }
}
