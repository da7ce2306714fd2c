//! What every reader turns its file into: owned names, types, shapes, strides and spans.
//!
//! No reference and no trait: an [`Index`] lives beside the bytes that it describes, and everything
//! above it (views, slices, conversion, reports) is written once. Names and dimensions are
//! interned in two buffers, so that a checkpoint of 100,000 tensors costs a few allocations.

#![forbid(unsafe_code)]

mod absorb;
mod array;
mod attributes;
mod builder;
mod encoding;
mod metadata;
mod names;
mod order;
mod value;

pub use array::Array;
pub use attributes::Attributes;
pub(crate) use builder::MOST_RANK;
pub use builder::{Builder, Draft};
pub use metadata::{Metadata, MetadataView};
pub use value::{Text, Value, ValueType};

pub(crate) use absorb::Moved;
pub(crate) use encoding::Encoding;
pub(crate) use names::{Names, Repeated};
pub(crate) use order::sorted;

use std::ops::Range;

use crate::bytes::{Endian, Span, to_u64, to_usize};
use crate::dtype::DType;
use crate::findings::{Finding, Findings};

/// The tensors and metadata of one checkpoint, checked once when it was built.
#[derive(Debug, Default)]
pub struct Index {
    text: String,
    numbers: Vec<usize>,
    entries: Vec<Record>,
    attributes: Vec<attributes::Stored>,
    names: Names,
    metadata: Metadata,
    findings: Findings,
    storages: u32,
    expanded_bytes: u64,
}

/// Sign changes that torch leaves to the reader: a conjugated or negated view shares the bytes of the
/// tensor that it was made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Signs {
    /// Imaginary parts have the other sign.
    pub conjugated: bool,
    /// Every number has the other sign.
    pub negated: bool,
}

impl Signs {
    /// Whether the bytes are the values as they stand.
    #[must_use]
    pub const fn are_plain(self) -> bool {
        !self.conjugated && !self.negated
    }
}

/// Why a tensor has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Absence {
    /// Only dtype and shape were saved (a meta tensor of torch).
    ShapeOnly,
    /// The data was handed to the loader beside the pickle (protocol 5, out of band).
    OutOfBand,
    /// Its storage is not in the file.
    NoStorage,
    /// Its elements lie in several files or members, and are joined when they are copied.
    InPieces,
    /// Its elements are not laid out by strides.
    OtherLayout,
}

impl Absence {
    /// The reason in words.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ShapeOnly => "only its shape was saved",
            Self::OutOfBand => "its data was kept outside the pickle",
            Self::OtherLayout => "its elements are not laid out by strides",
            Self::InPieces => "its elements lie in several pieces: copy them",
            Self::NoStorage => "its storage is not in the file",
        }
    }
}

/// One tensor, compact: places in the index's buffers. As long as a cache line.
#[derive(Clone, Debug)]
struct Record {
    span: Span,
    declared_at: u64,
    /// Where the name starts in the index's text.
    name: usize,
    name_bytes: u32,
    /// Length of the file's own type code, which follows the name; 0 for a known type.
    code_bytes: u32,
    /// Dimensions, then strides if `strided`.
    numbers: u32,
    source: u32,
    storage: u32,
    /// Place in the index's attributes, from 1; 0 for none.
    attributes: u32,
    rank: u16,
    strided: bool,
    dtype: DType,
    endian: Endian,
    absent: Option<Absence>,
    signs: Signs,
}

impl Index {
    /// An entry without a name, dimensions or bytes, for want of any other.
    pub(crate) fn no_entry<'a>() -> Entry<'a> {
        const NOTHING: &Record = &Record {
            declared_at: 0,
            name: 0,
            name_bytes: 0,
            code_bytes: 0,
            numbers: 0,
            rank: 0,
            strided: false,
            dtype: DType::Opaque,
            endian: Endian::Little,
            absent: Some(Absence::NoStorage),
            signs: Signs {
                conjugated: false,
                negated: false,
            },
            source: 0,
            storage: 0,
            attributes: 0,
            span: Span::EMPTY,
        };
        static NONE: std::sync::LazyLock<Index> = std::sync::LazyLock::new(Index::default);
        Entry {
            index: &NONE,
            record: NOTHING,
            position: 0,
        }
    }

    /// How many tensors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no tensor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The tensor at `position`, in the order in which the file declares them.
    #[must_use]
    pub fn entry(&self, position: usize) -> Option<Entry<'_>> {
        let record = self.entries.get(position)?;
        Some(Entry {
            index: self,
            record,
            position,
        })
    }

    /// The tensor of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Entry<'_>> {
        let name_of = |position| self.name_of(position).as_bytes();
        let position = self.names.find(name.as_bytes(), name_of)?;
        self.entry(to_usize(position.into())?)
    }

    /// Every tensor, in the order in which the file declares them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entry<'_>> {
        self.entries
            .iter()
            .enumerate()
            .map(move |(position, record)| Entry {
                index: self,
                record,
                position,
            })
    }

    /// The metadata; its values may lie in the file.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What a user should know about the file.
    #[must_use]
    pub const fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Adds what only the checkpoint as a whole can know.
    pub(crate) fn add_finding(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// How many distinct storages the tensors lie in.
    #[must_use]
    pub const fn storages(&self) -> u32 {
        self.storages
    }

    fn name_of(&self, position: u32) -> &str {
        to_usize(position.into())
            .and_then(|position| self.entries.get(position))
            .map_or("", |record| self.name(record))
    }

    fn name(&self, record: &Record) -> &str {
        self.text_of((record.name, record.name_bytes))
    }

    fn text_of(&self, (start, length): (usize, u32)) -> &str {
        usize::try_from(length)
            .ok()
            .and_then(|length| start.checked_add(length))
            .and_then(|end| self.text.get(start..end))
            .unwrap_or_default()
    }

    fn numbers_of(&self, range: Range<usize>) -> &[usize] {
        self.numbers.get(range).unwrap_or_default()
    }
}

/// One tensor's record, borrowed from its [`Index`].
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    index: &'a Index,
    record: &'a Record,
    position: usize,
}

impl<'a> Entry<'a> {
    /// The name; unique in its checkpoint. May be empty or hold any character: never use it as a
    /// path, and escape it when printing.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.index.name(self.record)
    }

    /// The place in the order in which the file declares its tensors.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The element type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.record.dtype
    }

    /// The type's name, or the file's own code for a type that this library does not know.
    #[must_use]
    pub fn dtype_name(&self) -> &'a str {
        match self.record.dtype {
            DType::Opaque => {
                let start = self.record.name.saturating_add(self.name().len());
                self.index.text_of((start, self.record.code_bytes))
            }
            known => known.name(),
        }
    }

    /// The dimensions, outermost first.
    #[must_use]
    pub fn shape(&self) -> &'a [usize] {
        self.numbers(0)
    }

    /// The strides in elements, if the elements do not lie side by side in row-major order.
    #[must_use]
    pub fn strides(&self) -> Option<&'a [usize]> {
        let rank = usize::from(self.record.rank);
        self.record.strided.then(|| self.numbers(rank))
    }

    /// As many numbers as there are dimensions, `skipped` after the first dimension.
    fn numbers(&self, skipped: usize) -> &'a [usize] {
        let start = to_usize(self.record.numbers.into()).unwrap_or(usize::MAX);
        let start = start.saturating_add(skipped);
        let end = start.saturating_add(self.record.rank.into());
        self.index.numbers_of(start..end)
    }

    /// The number of elements.
    #[must_use]
    pub fn elements(&self) -> u64 {
        // Proved not to overflow when the entry was built.
        let shape = self.shape().iter();
        shape.fold(1, |product: u64, &next| {
            product.saturating_mul(to_u64(next))
        })
    }

    /// The bytes from the first element to the last, inside [`source`](Self::source).
    #[must_use]
    pub const fn span(&self) -> Span {
        self.record.span
    }

    /// Which of the checkpoint's sources holds the bytes: its files first, then inflated members.
    #[must_use]
    pub const fn source(&self) -> u32 {
        self.record.source
    }

    /// Which storage the tensor is a view of: tensors that share one share bytes or could.
    #[must_use]
    pub const fn storage(&self) -> u32 {
        self.record.storage
    }

    /// The byte order of the elements in the file.
    #[must_use]
    pub const fn endian(&self) -> Endian {
        self.record.endian
    }

    /// Sign changes to be made when the values are read.
    #[must_use]
    pub const fn signs(&self) -> Signs {
        self.record.signs
    }

    /// What the writing framework knew of the tensor.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        self.index.attributes_at(self.record.attributes)
    }

    /// How many bytes a view of repeated elements may be copied to ([`Limits::expanded_bytes`]).
    ///
    /// [`Limits::expanded_bytes`]: crate::limits::Limits::expanded_bytes
    #[must_use]
    pub const fn expanded_bytes(&self) -> u64 {
        self.index.expanded_bytes
    }

    /// Why the tensor has no bytes, if it has none (a meta tensor, for example).
    #[must_use]
    pub const fn absent(&self) -> Option<Absence> {
        self.record.absent
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_cache_line() {
        assert_eq!(size_of::<Record>(), 64);
    }
}
