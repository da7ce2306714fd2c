//! How much a file may ask for: [`Limits`] of the caller, and the [`Budget`] that enforces them.
//!
//! Each limit is a row of one table; tests enumerate the rows and try each just under and just
//! over. A limit that no code enforces would be worse than none.

#![forbid(unsafe_code)]

mod growth;

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

pub(crate) use growth::growth_along;

use crate::error::{Error, Result};
use crate::policy::Policy;
use crate::progress::Job;

macro_rules! limits {
    ($($(#[$doc:meta])* $field:ident $variant:ident $default:expr, $paranoid:expr;)*) => {
        /// The most that one `open` may consume, whatever the file says.
        ///
        /// Start from a preset and change fields; each field says why it has its default.
        ///
        /// # Example
        /// ```
        /// let mut limits = weighbridge::Limits::default();
        /// limits.tensors = 10;
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Limits {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Default for Limits {
            /// Takes every honest file known to us; see each field.
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Limits {
            /// For services that take files from anybody, many at a time: small, and still enough for most
            /// models.
            ///
            /// Where the default is what the largest honest file needs, this is what ordinary ones need, with
            /// room: 128 MiB of heap are four times the metadata of a model with 65,536 tensors and the
            /// largest vocabulary; a rank of 8 has served every model so far; 64 digits are more than a
            /// 128-bit number has; an inflated pickle of 50 times its size is no honest one. Files that need
            /// more are refused with the limit's name, so that a caller can raise that one.
            #[must_use]
            pub const fn paranoid() -> Self {
                Self { $($field: $paranoid,)* }
            }

            /// For files that the caller made: no limit but the machine's.
            ///
            /// What bounds a file by its own size stays: counts without data, names by way of a memo, memory
            /// that the machine does not have are errors all the same.
            #[must_use]
            pub const fn trusted() -> Self {
                Self { $($field: u64::MAX,)* }
            }
        }

        /// One field of [`Limits`], for tables and tests.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Limit {
            $($(#[$doc])* $variant,)*
        }

        impl Limit {
            /// Every limit, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The field's name, as errors print it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($field),)* }
            }

            /// The field's value in `limits`.
            #[must_use]
            pub const fn of(self, limits: &Limits) -> u64 {
                match self { $(Self::$variant => limits.$field,)* }
            }

            /// The field in `limits`, to change it.
            pub const fn of_mut(self, limits: &mut Limits) -> &mut u64 {
                match self { $(Self::$variant => &mut limits.$field,)* }
            }
        }
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

limits! {
    /// Bytes of a safetensors header. The reference refuses more than 100,000,000, so no valid
    /// file is lost.
    header_bytes HeaderBytes 100_000_000, 16 * MIB;
    /// Heap that the library may own for one checkpoint, apart from copies of tensors.
    heap_bytes HeapBytes GIB, 128 * MIB;
    /// Tensors of one checkpoint. The largest public ones have about 10^5.
    tensors Tensors MIB, 64 * KIB;
    /// Metadata keys. Real files have fewer than a hundred.
    metadata_entries MetadataEntries 64 * KIB, 4 * KIB;
    /// Bytes of a tensor's name or a metadata key: the GGUF specification allows keys of 65,535.
    name_bytes NameBytes 65_535, 1024;
    /// Bytes of one metadata string. The longest seen in real vocabularies has 12,045.
    string_bytes StringBytes 16 * MIB, MIB;
    /// Elements of one metadata array. The longest seen has 514,906.
    array_elements ArrayElements 64 * MIB, 4 * MIB;
    /// Nested metadata arrays, in lenient mode; strict mode refuses nesting as llama.cpp does.
    array_depth ArrayDepth 8, 1;
    /// Dimensions of a tensor. NumPy stops at 64.
    rank Rank 64, 8;
    /// `general.alignment` of a GGUF file, in bytes.
    alignment Alignment MIB, 4 * KIB;
    /// Members of an archive: one per torch storage.
    archive_members ArchiveMembers MIB, 64 * KIB;
    /// Bytes of a zip's central directory.
    directory_bytes DirectoryBytes 256 * MIB, 16 * MIB;
    /// Bytes that compressed members may inflate to, in all.
    inflated_bytes InflatedBytes 4 * GIB, 256 * MIB;
    /// Inflated bytes per compressed byte, of each member. Weights give less than 2, pickles about 10;
    /// deflate's own ceiling is 1,032.
    inflate_ratio InflateRatio 200, 50;
    /// Bytes of one pickle.
    pickle_bytes PickleBytes GIB, 64 * MIB;
    /// Opcodes of one pickle. A state dict of 100,000 tensors has 3.2 million.
    pickle_opcodes PickleOpcodes 64 * MIB, 4 * MIB;
    /// Values and marks on the pickle machine's stack.
    pickle_stack PickleStack MIB, 64 * KIB;
    /// Digits of a decimal integer in a pickle; CPython stops at 4,300.
    pickle_digits PickleDigits 4_300, 64;
    /// Levels of nested containers that are flattened to dotted names.
    nesting Nesting 512, 64;
    /// Bytes that a view with stride 0 may be copied to: it shows one element as many.
    expanded_bytes ExpandedBytes GIB, 16 * MIB;
    /// Files of one checkpoint.
    shards Shards 10_000, 1_024;
}

/// What to do with a file that is unambiguous but sloppy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strictness {
    /// Refuse what the format's specification forbids.
    #[default]
    Strict,
    /// Accept what has one meaning all the same, and report it as a finding.
    Lenient,
}

/// Checks of the budget between two looks at the job: some microseconds of a reader's work.
const CHECKS_PER_LOOK: u32 = 256;

/// What one checkpoint may do while it is opened: what is left of the [`Limits`], the [`Policy`], and whether
/// it is still wanted.
#[derive(Debug)]
pub struct Budget {
    job: Option<Arc<Job<'static>>>,
    checks: Cell<u32>,
    limits: Limits,
    strictness: Strictness,
    policy: Option<Arc<Policy>>,
    heap_bytes: u64,
    inflated_bytes: u64,
}

impl Budget {
    /// A full budget.
    #[must_use]
    pub const fn new(limits: Limits, strictness: Strictness) -> Self {
        Self {
            job: None,
            checks: Cell::new(0),
            limits,
            strictness,
            policy: None,
            heap_bytes: 0,
            inflated_bytes: 0,
        }
    }

    /// The same budget with a policy of the caller's.
    #[must_use]
    pub fn with_policy(mut self, policy: Arc<Policy>) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Which globals a pickle may name.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.clone().unwrap_or_else(Policy::shared)
    }

    /// The same budget, of which every reader stops soon after `job` was stopped.
    pub(crate) fn watched(self, job: &Arc<Job<'static>>) -> Self {
        Self {
            job: Some(Arc::clone(job)),
            ..self
        }
    }

    /// The limits it was made from.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether sloppy files are accepted.
    #[must_use]
    pub fn is_lenient(&self) -> bool {
        self.strictness == Strictness::Lenient
    }

    /// Asks whether opening is still wanted, between two parts of a reader's work.
    ///
    /// # Errors
    /// `Cancelled` if it was stopped.
    pub(crate) fn look(&self) -> Result<()> {
        self.job.as_ref().map_or(Ok(()), |job| job.advance(0))
    }

    /// Checks one number of the file against one limit.
    ///
    /// # Errors
    /// `Limit`, naming the field, if `needed` is more than allowed; `Cancelled` if opening was stopped.
    #[inline]
    pub fn allow(&self, limit: Limit, needed: u64) -> Result<()> {
        let checks = self.checks.get();
        self.checks.set(checks.wrapping_add(1));
        if checks.is_multiple_of(CHECKS_PER_LOOK) {
            self.look()?;
        }
        let allowed = limit.of(&self.limits);
        if needed > allowed {
            return Err(Error::limit(limit.name(), needed, allowed));
        }
        Ok(())
    }

    /// Spends heap before it is allocated.
    ///
    /// # Errors
    /// `Limit` if the sum of all that was spent exceeds [`Limits::heap_bytes`].
    pub fn spend_heap(&mut self, bytes: u64) -> Result<()> {
        let spent = self.heap_bytes.saturating_add(bytes);
        self.allow(Limit::HeapBytes, spent)?;
        self.heap_bytes = spent;
        Ok(())
    }

    /// Gives heap back that was freed.
    pub fn refund_heap(&mut self, bytes: u64) {
        self.heap_bytes = self.heap_bytes.saturating_sub(bytes);
    }

    /// Spends inflated bytes before they are produced.
    ///
    /// # Errors
    /// `Limit` if the sum exceeds [`Limits::inflated_bytes`].
    pub fn spend_inflated(&mut self, bytes: u64) -> Result<()> {
        let spent = self.inflated_bytes.saturating_add(bytes);
        self.allow(Limit::InflatedBytes, spent)?;
        self.inflated_bytes = spent;
        Ok(())
    }

    /// Makes room for one more element, charged before it is allocated.
    ///
    /// Grows by half, later by an eighth, not by doubling: the peak stays within a small multiple of
    /// the file.
    ///
    /// # Errors
    /// `Limit` if the heap budget is spent, `Io` if the machine has no memory left.
    #[inline]
    pub fn grow<T>(&mut self, vector: &mut Vec<T>) -> Result<()> {
        if vector.len() < vector.capacity() {
            return Ok(());
        }
        self.grow_full(vector)
    }

    #[cold]
    fn grow_full<T>(&mut self, vector: &mut Vec<T>) -> Result<()> {
        // Large blocks grow in place by remapping: small steps cost little time and save memory.
        const LARGE: usize = 64 * 1024;
        let length = vector.len();
        let step = if length < LARGE {
            length / 2
        } else {
            length / 8
        };
        self.reserve(vector, step.max(16))
    }

    /// Reserves exactly `additional` elements, charged before they are allocated.
    ///
    /// # Errors
    /// As [`grow`](Self::grow).
    pub fn reserve<T>(&mut self, vector: &mut Vec<T>, additional: usize) -> Result<()> {
        let bytes = u64::try_from(additional.saturating_mul(size_of::<T>())).unwrap_or(u64::MAX);
        self.spend_heap(bytes)?;
        vector
            .try_reserve_exact(additional)
            .map_err(|_| Error::out_of_memory())
    }

    /// Lists what an iterator gives, whose length nobody promises.
    ///
    /// # Errors
    /// As [`grow`](Self::grow).
    pub fn collect<T>(&mut self, items: impl IntoIterator<Item = T>) -> Result<Vec<T>> {
        let mut list = Vec::new();
        for item in items {
            self.grow(&mut list)?;
            list.push(item);
        }
        Ok(list)
    }

    /// Makes room for one more key of a map.
    ///
    /// # Errors
    /// As [`grow`](Self::grow).
    pub fn grow_map<K: Eq + Hash, V>(&mut self, map: &mut HashMap<K, V>) -> Result<()> {
        if map.len() < map.capacity() {
            return Ok(());
        }
        let additional = map.len().max(8);
        // A byte of control beside each key and value.
        let each = size_of::<(K, V)>().saturating_add(1);
        let bytes = u64::try_from(additional.saturating_mul(each)).unwrap_or(u64::MAX);
        self.spend_heap(bytes)?;
        map.try_reserve(additional)
            .map_err(|_| Error::out_of_memory())
    }

    /// Makes room for `additional` more bytes of a text.
    ///
    /// # Errors
    /// As [`grow`](Self::grow).
    pub fn room(&mut self, text: &mut String, additional: usize) -> Result<()> {
        if text.capacity().saturating_sub(text.len()) >= additional {
            return Ok(());
        }
        let additional = additional.max(text.len() / 2);
        self.spend_heap(u64::try_from(additional).unwrap_or(u64::MAX))?;
        text.try_reserve_exact(additional)
            .map_err(|_| Error::out_of_memory())
    }

    /// Joins texts of a file to one, of exactly their length.
    ///
    /// # Errors
    /// As [`grow`](Self::grow).
    pub fn join(&mut self, parts: &[&str]) -> Result<String> {
        let mut text = String::new();
        let length = parts
            .iter()
            .fold(0, |sum: usize, part| sum.saturating_add(part.len()));
        self.room(&mut text, length)?;
        for part in parts {
            text.push_str(part);
        }
        Ok(text)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Limits::default(), Strictness::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_allows_its_value_and_refuses_one_more() {
        for &limit in Limit::ALL {
            let limits = Limits::paranoid();
            let budget = Budget::new(limits, Strictness::Strict);
            let allowed = limit.of(&limits);
            assert!(budget.allow(limit, allowed).is_ok(), "{}", limit.name());
            let error = budget.allow(limit, allowed + 1).unwrap_err();
            assert_eq!(error.as_limit(), Some((limit.name(), allowed + 1, allowed)));
        }
    }

    #[test]
    fn paranoid_is_never_above_default() {
        for &limit in Limit::ALL {
            assert!(limit.of(&Limits::paranoid()) <= limit.of(&Limits::default()));
        }
    }

    #[test]
    fn a_maps_room_is_spent_before_it_is_reserved() {
        let limits = Limits {
            heap_bytes: 8 * 17,
            ..Limits::default()
        };
        let mut budget = Budget::new(limits, Strictness::Strict);
        let mut map: HashMap<u64, u64> = HashMap::new();
        budget.grow_map(&mut map).unwrap();
        map.extend((0..map.capacity() as u64).map(|at| (at, at)));
        assert!(budget.grow_map(&mut map).is_err());
    }

    #[test]
    fn heap_is_a_sum() {
        let limits = Limits {
            heap_bytes: 100,
            ..Limits::default()
        };
        let mut budget = Budget::new(limits, Strictness::Strict);
        budget.spend_heap(60).unwrap();
        assert!(budget.spend_heap(41).is_err());
        budget.spend_heap(40).unwrap();
        budget.refund_heap(1);
        budget.spend_heap(1).unwrap();
    }

    #[test]
    fn grow_charges_before_it_allocates() {
        let limits = Limits {
            heap_bytes: 16 * 8,
            ..Limits::default()
        };
        let mut budget = Budget::new(limits, Strictness::Strict);
        let mut vector: Vec<u64> = Vec::new();
        budget.grow(&mut vector).unwrap();
        vector.resize(vector.capacity(), 0);
        assert!(budget.grow(&mut vector).is_err());
    }
}
