//! The tensor infos: name, dimensions, type, offset.
//!
//! ```text
//! | name length | name | dimension count u32 | dimensions, innermost first | type u32 | offset u64 |
//! ```

use std::marker::PhantomData;

use byteorder::ByteOrder;

use super::{Header, key_value};
use crate::bytes::{Cursor, to_u64, to_usize};
use crate::dtype::DType;
use crate::error::{Context, Error, Malformed, Result};
use crate::limits::{Budget, Limit};

/// `GGML_MAX_DIMS` (ggml 0.25.3 `ggml.h`).
pub(super) const MAX_DIMS: u64 = 4;
/// `GGML_MAX_NAME`, which counts a final NUL (ggml 0.25.3 `ggml.h`).
pub(super) const MAX_NAME: u64 = 64;

/// The tensor infos of a file: checked, counted, and read again when they are asked for. Keeping them would
/// take as much memory as the index that they become.
pub(super) struct TensorInfos<'a, B> {
    bytes: &'a [u8],
    header: Header,
    /// Where each starts in the file.
    places: Vec<u64>,
    /// How many dimensions all of them have together.
    pub(super) dimensions: usize,
    /// How long all their names are together.
    pub(super) name_bytes: usize,
    order: PhantomData<B>,
}

/// One tensor info as the file states it; its dimensions stand beside it.
pub(super) struct TensorInfo<'a> {
    pub(super) name: &'a str,
    /// ggml's type id.
    pub(super) type_id: u32,
    /// Where the data starts, relative to the data section.
    pub(super) offset: u64,
    /// Where the info starts in the file.
    pub(super) declared_at: u64,
}

impl<'a, B: ByteOrder> TensorInfos<'a, B> {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Reads one again, its dimensions, outermost first, into `shape`.
    ///
    /// # Errors
    /// As [`read`]: the bytes may have changed.
    pub(super) fn read(
        &self,
        position: usize,
        shape: &mut Vec<u64>,
        budget: &mut Budget,
    ) -> Result<TensorInfo<'a>> {
        let place = self.places.get(position).copied().unwrap_or_default();
        let rest = to_usize(place).and_then(|place| self.bytes.get(place..));
        let mut cursor = Cursor::<B>::at(rest.unwrap_or_default(), place);
        read_one(&mut cursor, self.header, shape, budget)
    }
}

/// Reads every tensor info of the file `bytes`, from the cursor on.
pub(super) fn read<'a, B: ByteOrder>(
    bytes: &'a [u8],
    cursor: &mut Cursor<'a, B>,
    header: Header,
    budget: &mut Budget,
) -> Result<TensorInfos<'a, B>> {
    budget.allow(Limit::Tensors, header.tensor_count)?;
    let mut infos = TensorInfos {
        bytes,
        header,
        places: Vec::new(),
        dimensions: 0,
        name_bytes: 0,
        order: PhantomData,
    };
    let count = to_usize(header.tensor_count).unwrap_or(usize::MAX);
    budget.reserve(&mut infos.places, count)?;
    let mut shape = Vec::new();
    for _ in 0..header.tensor_count {
        infos.places.push(cursor.offset());
        let info = read_one(cursor, header, &mut shape, budget)?;
        infos.dimensions = infos.dimensions.saturating_add(shape.len());
        infos.name_bytes = infos.name_bytes.saturating_add(info.name.len());
    }
    Ok(infos)
}

fn read_one<'a, B: ByteOrder>(
    cursor: &mut Cursor<'a, B>,
    header: Header,
    shape: &mut Vec<u64>,
    budget: &mut Budget,
) -> Result<TensorInfo<'a>> {
    let declared_at = cursor.offset();
    let (_, name) = key_value::name(cursor, header, "a tensor name", budget)?;
    if to_u64(name.len()) >= MAX_NAME && !budget.is_lenient() {
        let malformed = Malformed::OutOfRange {
            what: "the length of a tensor name",
            value: to_u64(name.len()).into(),
            expected: "at most 63",
        };
        return Err(Error::malformed(malformed).at(declared_at));
    }
    let rank_at = cursor.offset();
    let rank = u64::from(cursor.u32("a dimension count")?);
    if rank > MAX_DIMS && !budget.is_lenient() {
        let malformed = Malformed::OutOfRange {
            what: "a dimension count",
            value: rank.into(),
            expected: "at most 4",
        };
        return Err(Error::malformed(malformed).at(rank_at));
    }
    budget.allow(Limit::Rank, rank).at(rank_at)?;
    shape.clear();
    for _ in 0..rank {
        let dimension = header.encoding().length(cursor)?;
        budget.grow(shape)?;
        shape.push(dimension);
    }
    // The file counts dimensions from the innermost, everybody else from the outermost.
    shape.reverse();
    Ok(TensorInfo {
        name,
        type_id: cursor.u32("a tensor type")?,
        offset: cursor.u64("a tensor offset")?,
        declared_at,
    })
}

/// The type of an id, opaque if nobody knows it.
pub(super) fn dtype(type_id: u32) -> DType {
    DType::from_ggml_id(type_id).unwrap_or(DType::Opaque)
}

/// The bytes of a tensor; `None` for an opaque type.
///
/// The innermost dimension must hold whole blocks, as every row does in ggml.
pub(super) fn data_bytes(dtype: DType, shape: &[u64]) -> Result<Option<u64>> {
    let elements = crate::shape::elements(shape)?;
    if dtype == DType::Opaque {
        return Ok(None);
    }
    let row = shape.last().copied().unwrap_or(1);
    let block = to_u64(dtype.block_elements());
    if row.checked_rem(block) != Some(0) {
        return Err(Error::malformed(Malformed::PartialBlock {
            elements: row,
            block,
            dtype: dtype.name(),
        }));
    }
    let bytes = dtype.bytes_for(elements).ok_or_else(|| {
        let what = "the number of bytes";
        Error::malformed(Malformed::Overflow { what })
    })?;
    Ok(Some(bytes))
}
