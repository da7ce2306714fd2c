//! Look-up by name: a hash table of positions, without the names.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::bytes::{to_u64, to_usize};
use crate::error::Result;
use crate::limits::Budget;

/// How many names are entered between two looks at whether opening is still wanted.
const NAMES_PER_LOOK: u32 = 4096;

/// Up to this many names are compared one by one.
const FEW: u32 = 8;

/// An open hash table with linear probing, two thirds full; none for a few names.
///
/// The key of the hash (SipHash) is random: no file can choose names that collide. Only times depend on it:
/// what is found, and which name is the first to stand twice, does not.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// A position, from 1, and above it as many bits of the name's hash as there is room for, which spare most
    /// comparisons of names; 0 is a free slot.
    slots: Vec<u32>,
    count: u32,
    key: RandomState,
}

/// The position of a name that an earlier position has.
#[derive(Debug)]
pub(crate) struct Repeated(pub(crate) u32);

impl Names {
    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        to_usize(self.count.into()).unwrap_or(usize::MAX)
    }

    /// Enters the names of the positions below `count`, up to the first that stands twice.
    ///
    /// # Errors
    /// `Limit` if the heap budget is spent, `Cancelled` if opening was stopped.
    pub(crate) fn enter<'a>(
        count: u32,
        name_of: impl Fn(u32) -> &'a [u8],
        budget: &mut Budget,
    ) -> Result<Result<Self, Repeated>> {
        let mut names = Self::default();
        if count > FEW {
            let slots = u64::from(count);
            let slots = slots.saturating_add(slots / 2).saturating_add(1);
            let slots = to_usize(slots).unwrap_or(usize::MAX);
            budget.reserve(&mut names.slots, slots)?;
            names.slots.resize(slots, 0);
        }
        let mask = mask(count);
        for position in 0..count {
            if position.is_multiple_of(NAMES_PER_LOOK) {
                budget.look()?;
            }
            let name = name_of(position);
            if names.slots.is_empty() {
                if (0..position).any(|earlier| name_of(earlier) == name) {
                    return Ok(Err(Repeated(position)));
                }
                continue;
            }
            let (slot, tag, found) = names.probe(name, mask, &name_of);
            if found.is_some() {
                return Ok(Err(Repeated(position)));
            }
            if let Some(slot) = names.slots.get_mut(slot) {
                *slot = tag | position.saturating_add(1);
            }
        }
        names.count = count;
        Ok(Ok(names))
    }

    /// The position of a name.
    pub(crate) fn find<'a>(&self, name: &[u8], name_of: impl Fn(u32) -> &'a [u8]) -> Option<u32> {
        if self.slots.is_empty() {
            return (0..self.count).find(|&position| name_of(position) == name);
        }
        self.probe(name, mask(self.count), name_of).2
    }

    /// The slot where `name` is, or else the free one where it belongs; the bits of the hash that stand in it;
    /// and its position, if it is there.
    #[inline]
    fn probe<'a>(
        &self,
        name: &[u8],
        mask: u32,
        name_of: impl Fn(u32) -> &'a [u8],
    ) -> (usize, u32, Option<u32>) {
        let mut hasher = self.key.build_hasher();
        hasher.write(name);
        let hash = hasher.finish();
        let low = u32::try_from(hash & u64::from(u32::MAX)).unwrap_or_default();
        let tag = low & !mask;
        // The high half of the product spreads the high bits of the hash evenly over the slots.
        let product = u128::from(hash).saturating_mul(u128::from(to_u64(self.slots.len())));
        let place = u64::try_from(product >> 64).unwrap_or_default();
        let mut place = to_usize(place).unwrap_or_default();
        loop {
            let slot = self.slots.get(place).copied().unwrap_or_default();
            let Some(position) = (slot & mask).checked_sub(1) else {
                return (place, tag, None);
            };
            if slot & !mask == tag && name_of(position) == name {
                return (place, tag, Some(position));
            }
            place = place.saturating_add(1);
            if place >= self.slots.len() {
                place = 0;
            }
        }
    }
}

/// The bits of a slot that hold positions up to `count`.
fn mask(count: u32) -> u32 {
    u32::MAX.checked_shr(count.leading_zeros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(names: &[String]) -> Result<Names, Repeated> {
        let name_of = |position: u32| names[position as usize].as_bytes();
        Names::enter(names.len() as u32, name_of, &mut Budget::default()).unwrap()
    }

    #[test]
    fn every_name_is_found_and_no_other() {
        let most = if cfg!(miri) { 50 } else { 5000 };
        for count in [0, 1, 7, 8, 9, 10, most / 5, most] {
            let names: Vec<String> = (0..count).map(|at| format!("name {at}")).collect();
            let entered = enter(&names).unwrap();
            assert_eq!(entered.len(), count);
            let find = |name: &str| {
                entered.find(name.as_bytes(), |position| {
                    names[position as usize].as_bytes()
                })
            };
            for (at, name) in names.iter().enumerate() {
                assert_eq!(find(name), Some(at as u32));
            }
            assert_eq!(find("name"), None);
            assert_eq!(find(&format!("name {count}")), None);
        }
    }

    /// 19 bits of a slot are a position here and 13 are of the hash: among so many names, dozens stand beside
    /// one of the same bits.
    #[test]
    #[cfg_attr(miri, ignore = "300,000 names")]
    fn names_whose_hashes_begin_alike_are_told_apart() {
        let names: Vec<[u8; 4]> = (0..300_000_u32).map(u32::to_le_bytes).collect();
        let name_of = |position: u32| names[position as usize].as_slice();
        let entered = Names::enter(300_000, name_of, &mut Budget::default());
        let entered = entered.unwrap().unwrap();
        for position in (0..300_000).step_by(7) {
            assert_eq!(entered.find(name_of(position), name_of), Some(position));
        }
        for other in 300_000..400_000_u32 {
            assert_eq!(entered.find(&other.to_le_bytes(), name_of), None);
        }
    }

    #[test]
    fn the_first_repetition_is_named_whatever_the_key() {
        let most = if cfg!(miri) { 30 } else { 3000 };
        for count in [2, 8, 9, most] {
            let mut names: Vec<String> = (0..count).map(|at| at.to_string()).collect();
            names.push(String::from("1"));
            names.push(String::from("0"));
            for _ in 0..10 {
                let Repeated(position) = enter(&names).unwrap_err();
                assert_eq!(position, count);
            }
        }
    }
}
