//! The header of a safetensors file, byte for byte as the official writer makes it.
//!
//! ```text
//! u64 length of the JSON | JSON, padded with spaces to a multiple of 8 | tensors, without gaps
//! ```
//! Source: safetensors 0.8.0 `src/tensor.rs` (`prepare`). Tensors stand in the order of their dtypes, the
//! most aligned first, then of their names, so that every offset is a multiple of the element's size. Only
//! where the official writer gives no order (more than one metadata key) ours is our own: by key.

use std::collections::BTreeMap;

use super::item::Item;
use super::json;
use crate::bytes::{align_up, room, to_u64};
use crate::dtype::DType;
use crate::error::{Caller, Error, Format, Result};

/// What every reader accepts at most.
const MOST_BYTES: u64 = 100_000_000;

/// The order of safetensors' `Dtype`, least aligned first; a file stands in the reverse one.
const ORDER: &[DType] = &[
    DType::BOOL,
    DType::F4,
    DType::F6_E2M3,
    DType::F6_E3M2,
    DType::U8,
    DType::I8,
    DType::F8_E5M2,
    DType::F8_E4M3,
    DType::F8_E8M0,
    DType::F8_E4M3FNUZ,
    DType::F8_E5M2FNUZ,
    DType::I16,
    DType::U16,
    DType::F16,
    DType::BF16,
    DType::I32,
    DType::U32,
    DType::F32,
    DType::C64,
    DType::F64,
    DType::I64,
    DType::U64,
];

/// Puts tensors into the order of the file.
pub(super) fn sort(items: &mut [&Item<'_>]) {
    let rank = |dtype: DType| ORDER.iter().position(|&known| known == dtype);
    // No two names are the same.
    items.sort_unstable_by(|a, b| {
        let by_dtype = rank(b.dtype).cmp(&rank(a.dtype));
        by_dtype.then_with(|| a.name.cmp(&b.name))
    });
}

/// Length and JSON, padded. The first tensor follows at once.
///
/// # Errors
/// `Caller` if the header is larger than readers accept; `Io` if there is no memory for it.
pub(super) fn build(items: &[&Item<'_>], metadata: &BTreeMap<&str, &str>) -> Result<Vec<u8>> {
    let mut json = Vec::from(*b"\0\0\0\0\0\0\0\0{");
    if !metadata.is_empty() {
        room::append(&mut json, b"\"__metadata__\":")?;
        json::write(&mut json, metadata)?;
    }
    let mut offset: u64 = 0;
    for (place, item) in items.iter().enumerate() {
        if place > 0 || !metadata.is_empty() {
            room::append(&mut json, b",")?;
        }
        let end = offset
            .checked_add(item.bytes)
            .ok_or_else(|| does_not_fit("the size of all tensors", "2^64 bytes"))?;
        json::write(&mut json, &*item.name)?;
        room::append(&mut json, b":{\"dtype\":")?;
        json::write(&mut json, item.dtype.safetensors_name().unwrap_or_default())?;
        room::append(&mut json, b",\"shape\":")?;
        json::write(&mut json, &item.shape)?;
        room::append(&mut json, b",\"data_offsets\":")?;
        json::write(&mut json, &[offset, end])?;
        room::append(&mut json, b"}")?;
        offset = end;
    }
    room::append(&mut json, b"}")?;
    let padded = align_up(to_u64(json.len()), 8).unwrap_or_default();
    while to_u64(json.len()) < padded {
        room::append(&mut json, b" ")?;
    }
    let length = padded.saturating_sub(8);
    if length > MOST_BYTES {
        return Err(does_not_fit("a header of", &format!("{length} bytes")));
    }
    if let Some(first) = json.first_chunk_mut() {
        *first = length.to_le_bytes();
    }
    Ok(json)
}

#[cold]
fn does_not_fit(what: &'static str, value: &str) -> Error {
    Error::caller(Caller::DoesNotFit {
        what,
        value: format!("{:?}", crate::error::shortened(value)),
        format: Format::Safetensors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_official_crate() {
        assert_eq!(ORDER.len(), 22);
        let official = |dtype: &DType| {
            let name = serde_json::Value::from(dtype.safetensors_name().unwrap());
            serde_json::from_value::<safetensors::Dtype>(name).unwrap()
        };
        assert!(
            ORDER
                .windows(2)
                .all(|pair| official(&pair[0]) < official(&pair[1]))
        );
    }
}
