//! Where the bytes of a tensor lie inside its storage.

use super::rebuild::Spec;
use super::storage_id::StorageId;
use crate::bytes::{Span, to_u64};
use crate::dtype::DType;
use crate::error::{Error, Malformed, Result};
use crate::shape;

/// The bytes of the storage that a tensor may use: all, or those of a legacy view.
pub(super) fn window(span: Span, id: &StorageId<'_>) -> Result<Span> {
    let bytes = shape::bytes(id.elements, id.element_bytes);
    if bytes != Some(span.length()) {
        return Err(Error::malformed(Malformed::Mismatch {
            what: "the bytes of a storage",
            found: span.length(),
            expected: bytes.unwrap_or(u64::MAX),
        }));
    }
    let Some((first, count)) = id.view else {
        return Ok(span);
    };
    shape::bytes(first, id.element_bytes)
        .zip(shape::bytes(count, id.element_bytes))
        .and_then(|(start, length)| span.part(start, length))
        .ok_or_else(|| outside(first.saturating_add(count), id.elements))
}

/// The bytes from a tensor's first element to its last.
pub(super) fn part(window: Span, spec: &Spec<'_>) -> Result<Span> {
    let reach = spec.reach()?;
    let block = to_u64(spec.dtype.block_elements());
    let block_bytes = match spec.dtype {
        // Nobody knows its size: everything from the offset on.
        DType::Opaque => return Ok(window),
        dtype => to_u64(dtype.block_bytes()),
    };
    let bytes = |elements: u64| shape::bytes(elements.div_ceil(block), block_bytes);
    bytes(spec.offset)
        .zip(bytes(reach))
        .and_then(|(start, length)| window.part(start, length))
        .ok_or_else(|| {
            let held = window.length().checked_div(block_bytes).unwrap_or_default();
            outside(
                spec.offset.saturating_add(reach),
                held.saturating_mul(block),
            )
        })
}

#[cold]
fn outside(needed: u64, held: u64) -> Error {
    Error::malformed(Malformed::OutOfRange {
        what: "the last element of a tensor in its storage",
        value: needed.into(),
        expected: if held == 0 {
            "none: the storage is empty"
        } else {
            "inside the storage"
        },
    })
}
