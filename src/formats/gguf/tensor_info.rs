//! The tensor infos: name, dimensions, type, offset.
//!
//! ```text
//! | name length | name | dimension count u32 | dimensions, innermost first | type u32 | offset u64 |
//! ```

use byteorder::ByteOrder;

use super::{Header, key_value};
use crate::bytes::{Cursor, Span, to_u64, to_usize};
use crate::dtype::DType;
use crate::error::{Context, Error, Malformed, Result};
use crate::limits::{Budget, Limit};

/// `GGML_MAX_DIMS` (ggml 0.25.3 `ggml.h`).
pub(super) const MAX_DIMS: u64 = 4;
/// `GGML_MAX_NAME`, which counts a final NUL (ggml 0.25.3 `ggml.h`).
pub(super) const MAX_NAME: u64 = 64;

/// Every tensor info of a file; dimensions are pooled.
pub(super) struct TensorInfos {
    pub(super) list: Vec<TensorInfo>,
    dimensions: Vec<u64>,
}

/// One tensor info as the file states it.
#[derive(Clone, Copy)]
pub(super) struct TensorInfo {
    /// The name, in the file.
    pub(super) name: Span,
    /// ggml's type id.
    pub(super) type_id: u32,
    /// Where the data starts, relative to the data section.
    pub(super) offset: u64,
    /// Where the info starts in the file.
    pub(super) declared_at: u64,
    dimensions: (usize, usize),
}

impl TensorInfos {
    /// The dimensions of one tensor, outermost first.
    pub(super) fn shape(&self, info: &TensorInfo) -> &[u64] {
        let (start, end) = info.dimensions;
        self.dimensions.get(start..end).unwrap_or_default()
    }
}

/// Reads every tensor info.
pub(super) fn read<B: ByteOrder>(
    cursor: &mut Cursor<'_, B>,
    header: Header,
    budget: &mut Budget,
) -> Result<TensorInfos> {
    budget.allow(Limit::Tensors, header.tensor_count)?;
    let mut infos = TensorInfos {
        list: Vec::new(),
        dimensions: Vec::new(),
    };
    let count = to_usize(header.tensor_count).unwrap_or(usize::MAX);
    budget.reserve(&mut infos.list, count)?;
    for _ in 0..header.tensor_count {
        let declared_at = cursor.offset();
        let info = read_one(cursor, header, declared_at, &mut infos.dimensions, budget)?;
        infos.list.push(info);
    }
    Ok(infos)
}

fn read_one<B: ByteOrder>(
    cursor: &mut Cursor<'_, B>,
    header: Header,
    declared_at: u64,
    dimensions: &mut Vec<u64>,
    budget: &mut Budget,
) -> Result<TensorInfo> {
    let name = key_value::name(cursor, header, "a tensor name", budget)?;
    if name.length() >= MAX_NAME && !budget.is_lenient() {
        let malformed = Malformed::OutOfRange {
            what: "the length of a tensor name",
            value: name.length().into(),
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
    let start = dimensions.len();
    for _ in 0..rank {
        let dimension = header.encoding().length(cursor)?;
        budget.grow(dimensions)?;
        dimensions.push(dimension);
    }
    // The file counts dimensions from the innermost, everybody else from the outermost.
    if let Some(added) = dimensions.get_mut(start..) {
        added.reverse();
    }
    let type_id = cursor.u32("a tensor type")?;
    let offset = cursor.u64("a tensor offset")?;
    Ok(TensorInfo {
        name,
        type_id,
        offset,
        declared_at,
        dimensions: (start, dimensions.len()),
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
