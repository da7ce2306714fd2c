//! Builds an [`Index`], checking each entry once.

use super::attributes::{Attributes, Interned};
use super::names::{Names, Repeated};
use super::{Absence, Index, Metadata, Record, Signs, order};
use crate::bytes::{Endian, Span, to_u64, to_usize};
use crate::dtype::DType;
use crate::error::{Context, Error, Result};
use crate::findings::{Finding, Findings, Severity};
use crate::limits::{Budget, Limit};
use crate::shape;

/// One tensor as a reader found it, before it is checked.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The name.
    pub name: &'a str,
    /// The element type.
    pub dtype: DType,
    /// The file's own type code; used only for [`DType::Opaque`].
    pub code: &'a str,
    /// The dimensions, outermost first.
    pub shape: &'a [u64],
    /// The strides in elements, or `None` for a contiguous tensor.
    pub strides: Option<&'a [u64]>,
    /// The bytes from the first element to the last.
    pub span: Span,
    /// Which source holds them.
    pub source: u32,
    /// Which storage they are a view of; `None` gives the tensor a storage of its own.
    pub storage: Option<u32>,
    /// Their byte order.
    pub endian: Endian,
    /// Sign changes to be made when the values are read.
    pub signs: Signs,
    /// What the writing framework knew of it.
    pub attributes: Attributes<'a>,
    /// Why there are no bytes, if there are none.
    pub absent: Option<Absence>,
    /// Where the file declares the tensor, for errors.
    pub declared_at: u64,
}

impl Default for Draft<'_> {
    fn default() -> Self {
        Self {
            name: "",
            dtype: DType::Opaque,
            code: "",
            shape: &[],
            strides: None,
            span: Span::default(),
            source: 0,
            storage: None,
            endian: Endian::Little,
            signs: Signs::default(),
            attributes: Attributes::default(),
            absent: None,
            declared_at: 0,
        }
    }
}

/// The highest rank that a [`Record`] can hold.
pub(crate) const MOST_RANK: u64 = 65_535;

/// Collects entries, metadata and findings, then proves what holds for all of them together.
#[derive(Debug, Default)]
pub struct Builder {
    pub(super) index: Index,
    interned: Interned,
}

impl Builder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for more entries and their dimensions at once, where a reader can bound their numbers.
    ///
    /// # Errors
    /// `Limit` if the heap budget is spent.
    pub fn reserve(
        &mut self,
        entries: usize,
        dimensions: usize,
        budget: &mut Budget,
    ) -> Result<()> {
        budget.reserve(&mut self.index.entries, entries)?;
        budget.reserve(&mut self.index.numbers, dimensions)
    }

    /// How many bytes of names there are, and how many more there is room for.
    pub(crate) fn text_room(&self) -> (usize, usize) {
        let used = self.index.text.len();
        (used, self.index.text.capacity().saturating_sub(used))
    }

    /// Makes room for more bytes of names at once, where a reader can bound them.
    ///
    /// # Errors
    /// `Limit` if the heap budget is spent.
    pub(crate) fn reserve_text(&mut self, additional: usize, budget: &mut Budget) -> Result<()> {
        self.index.reserve_text(additional, budget)
    }

    /// How many entries there are so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no entry yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The metadata, to add to it.
    pub fn metadata(&mut self) -> &mut Metadata {
        &mut self.index.metadata
    }

    /// Adds a finding.
    pub fn finding(&mut self, finding: Finding) {
        self.index.findings.push(finding);
    }

    /// Adds a finding whose words are made only if they are kept: a file may cause one per tensor.
    pub(crate) fn finding_at(
        &mut self,
        severity: Severity,
        code: &'static str,
        offset: u64,
        message: impl FnOnce() -> String,
    ) {
        let message = match self.index.findings.is_full(code) {
            true => String::new(),
            false => message(),
        };
        self.finding(Finding::new(severity, code, message).at(offset));
    }

    /// Adds findings.
    pub fn findings(&mut self, findings: Findings) {
        self.index.findings.append(findings);
    }

    /// A number for a storage that several entries will share.
    pub fn new_storage(&mut self) -> u32 {
        let storage = self.index.storages;
        self.index.storages = storage.saturating_add(1);
        storage
    }

    /// Adds one tensor.
    ///
    /// # Errors
    /// `Limit` if the name, the rank or the number of tensors exceeds its limit; `Malformed` if
    /// the shape overflows, or if the span does not hold exactly the elements that shape, strides
    /// and type ask for.
    pub fn push(&mut self, draft: &Draft<'_>, budget: &mut Budget) -> Result<()> {
        self.push_checked(draft, budget)
            .for_tensor(draft.name)
            .at(draft.declared_at)
    }

    fn push_checked(&mut self, draft: &Draft<'_>, budget: &mut Budget) -> Result<()> {
        let count = to_u64(self.index.entries.len()).saturating_add(1);
        budget.allow(Limit::Tensors, count)?;
        budget.allow(Limit::NameBytes, to_u64(draft.name.len()))?;
        budget.allow(Limit::Rank, to_u64(draft.shape.len()))?;
        let elements = shape::elements(draft.shape)?;
        check_extent(draft, elements)?;
        let rank = u16::try_from(draft.shape.len())
            .map_err(|_| Error::limit(Limit::Rank.name(), to_u64(draft.shape.len()), MOST_RANK))?;
        let numbers = u32::try_from(self.index.numbers.len())
            .map_err(|_| Error::unsupported("a file of", "2^32 dimensions"))?;
        let strided = self.push_numbers(draft, budget)?;
        let storage = match draft.storage {
            Some(storage) => storage,
            None => self.new_storage(),
        };
        let attributes = self
            .interned
            .place(&mut self.index, draft.attributes, budget)?;
        let (name, name_bytes) = self.index.push_text(draft.name, budget)?;
        let record = Record {
            name,
            name_bytes,
            code_bytes: match draft.code {
                "" => 0,
                code => self.index.push_text(code, budget)?.1,
            },
            attributes,
            numbers,
            rank,
            strided,
            dtype: draft.dtype,
            endian: draft.endian,
            signs: draft.signs,
            absent: draft.absent,
            source: draft.source,
            storage,
            span: draft.span,
            declared_at: draft.declared_at,
        };
        budget.grow(&mut self.index.entries)?;
        self.index.entries.push(record);
        Ok(())
    }

    /// Interns the dimensions, and the strides unless they are those of a contiguous tensor.
    fn push_numbers(&mut self, draft: &Draft<'_>, budget: &mut Budget) -> Result<bool> {
        let start = self.index.numbers.len();
        self.push_all(draft.shape, budget)?;
        let Some(strides) = draft.strides else {
            return Ok(false);
        };
        let middle = self.index.numbers.len();
        self.push_all(strides, budget)?;
        let numbers = &self.index.numbers;
        let contiguous = shape::is_contiguous(
            numbers.get(start..middle).unwrap_or_default(),
            numbers.get(middle..).unwrap_or_default(),
        );
        if contiguous {
            self.index.numbers.truncate(middle);
        }
        Ok(!contiguous)
    }

    fn push_all(&mut self, numbers: &[u64], budget: &mut Budget) -> Result<()> {
        for &number in numbers {
            let number = to_usize(number)
                .ok_or_else(|| Error::unsupported("on this machine: a dimension of", number))?;
            budget.grow(&mut self.index.numbers)?;
            self.index.numbers.push(number);
        }
        Ok(())
    }

    /// Positions of the entries, sorted by where their bytes start, then by where they end.
    ///
    /// # Errors
    /// `Limit` if the heap budget is spent; `Cancelled` if opening was stopped.
    pub fn by_offset(&self, budget: &mut Budget) -> Result<impl Iterator<Item = u32> + use<>> {
        order::sorted(self.count()?, budget, |position| {
            let record = self.record(position);
            record.map(|record| (record.source, record.span.start(), record.span.end()))
        })
    }

    /// The span, name and place of declaration of the entry at `position`.
    #[must_use]
    pub fn placed(&self, position: u32) -> Option<(Span, &str, u64)> {
        let record = self.record(position)?;
        Some((record.span, self.index.name(record), record.declared_at))
    }

    /// Enters the names for look-up; [`finish`](Self::finish) does it where the reader did not.
    ///
    /// # Errors
    /// `Malformed` if two tensors have one name, at the later declaration of the first such pair;
    /// `Cancelled` if opening was stopped.
    pub fn enter_names(&mut self, budget: &mut Budget) -> Result<()> {
        let count = self.count()?;
        let index = &self.index;
        let names = Names::enter(count, |position| index.name_of(position).as_bytes(), budget)?;
        let names = names.map_err(|Repeated(position)| {
            let declared_at = self.record(position).map(|record| record.declared_at);
            let error = Error::duplicate("tensor", index.name_of(position));
            error.at(declared_at.unwrap_or_default())
        })?;
        self.index.names = names;
        Ok(())
    }

    /// Hands the index over; `file` holds the metadata that stayed in the file.
    ///
    /// # Errors
    /// `Malformed` if two tensors or two metadata keys have one name.
    pub fn finish(mut self, file: &[u8], budget: &mut Budget) -> Result<Index> {
        if self.index.names.len() != self.index.entries.len() {
            self.enter_names(budget)?;
        }
        self.index.metadata.finish(file, budget)?;
        self.index.expanded_bytes = budget.limits().expanded_bytes;
        Ok(self.index)
    }

    /// How many entries there are, as their positions count.
    fn count(&self) -> Result<u32> {
        u32::try_from(self.index.entries.len())
            .ok()
            .filter(|&count| count < u32::MAX)
            .ok_or_else(|| Error::limit(Limit::Tensors.name(), u64::MAX, u64::from(u32::MAX)))
    }

    fn record(&self, position: u32) -> Option<&Record> {
        self.index.entries.get(to_usize(position.into())?)
    }
}

/// Proves that the span holds the elements: then no view of the entry can leave it.
fn check_extent(draft: &Draft<'_>, elements: u64) -> Result<()> {
    use crate::error::Malformed;
    if draft.dtype == DType::Opaque || draft.absent.is_some() {
        return Ok(());
    }
    let partial = || {
        Error::malformed(Malformed::PartialBlock {
            elements,
            block: to_u64(draft.dtype.block_elements()),
            dtype: draft.dtype.name(),
        })
    };
    let overflow = |what| Error::malformed(Malformed::Overflow { what });
    let reach = match draft.strides {
        None => elements,
        Some(strides) if strides.len() == draft.shape.len() => shape::reach(draft.shape, strides)?,
        Some(strides) => {
            return Err(Error::malformed(Malformed::Mismatch {
                what: "the number of strides",
                found: to_u64(strides.len()),
                expected: to_u64(draft.shape.len()),
            }));
        }
    };
    let block = to_u64(draft.dtype.block_elements());
    if block != 1 && reach.checked_rem(block) != Some(0) {
        return Err(partial());
    }
    let needed = draft
        .dtype
        .bytes_for(reach)
        .ok_or_else(|| overflow("the number of bytes"))?;
    if needed != draft.span.length() {
        return Err(Error::malformed(Malformed::Mismatch {
            what: "the number of bytes",
            found: draft.span.length(),
            expected: needed,
        }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limits, Strictness};

    #[test]
    fn room_for_names_is_charged_and_told() {
        let limits = Limits {
            heap_bytes: 100,
            ..Limits::default()
        };
        let mut budget = Budget::new(limits, Strictness::Strict);
        let mut builder = Builder::new();
        assert_eq!(builder.text_room(), (0, 0));
        assert!(builder.reserve_text(101, &mut budget).is_err());
        builder.reserve_text(100, &mut budget).unwrap();
        assert_eq!(builder.text_room(), (0, 100));
        assert!(builder.reserve_text(1, &mut budget).is_err());
        builder.index.push_text("name", &mut budget).unwrap();
        assert_eq!(builder.text_room(), (4, 96));
    }
}
