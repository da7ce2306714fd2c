//! Takes over the tensors of a file that stands inside another one.

use super::{Builder, Draft, Index, Value};
use crate::bytes::{Span, to_u64};
use crate::error::{Error, Result};
use crate::limits::Budget;

/// How an inner file's tensors are called and found in the outer one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved<'a> {
    /// What stands before every name.
    pub(crate) prefix: &'a str,
    /// The whole name, for a file that is one tensor.
    pub(crate) name: Option<&'a str>,
    /// What stands before the stream of every finding.
    pub(crate) stream: &'a str,
    /// Where the inner file starts in its source.
    pub(crate) offset: u64,
    /// The source that holds the inner file.
    pub(crate) source: u32,
    /// How many buffers stand before those of the inner file.
    pub(crate) buffers: u32,
}

impl Builder {
    /// Adds everything that `index`, of the file `bytes`, holds.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub(crate) fn absorb(
        &mut self,
        index: &Index,
        bytes: &[u8],
        moved: Moved<'_>,
        budget: &mut Budget,
    ) -> Result<()> {
        let first_storage = self.index.storages;
        self.index.storages = first_storage.saturating_add(index.storages());
        let (mut shape, mut strides) = (Vec::new(), Vec::new());
        for entry in index.iter() {
            let name = match moved.name {
                Some(name) => budget.join(&[name])?,
                None => budget.join(&[moved.prefix, entry.name()])?,
            };
            widen(entry.shape(), &mut shape)?;
            widen(entry.strides().unwrap_or_default(), &mut strides)?;
            let (source, offset) = match entry.source() {
                0 => (moved.source, moved.offset),
                buffer => (buffer.saturating_add(moved.buffers), 0),
            };
            let start = entry.span().start().saturating_add(offset);
            let end = start.saturating_add(entry.span().length());
            let draft = Draft {
                name: &name,
                dtype: entry.dtype(),
                code: match entry.dtype() {
                    crate::dtype::DType::Opaque => entry.dtype_name(),
                    _ => "",
                },
                shape: &shape,
                strides: entry.strides().is_some().then_some(strides.as_slice()),
                span: Span::new("a tensor", start, entry.span().length(), end)?,
                source,
                storage: Some(first_storage.saturating_add(entry.storage())),
                endian: entry.endian(),
                signs: entry.signs(),
                attributes: entry.attributes(),
                absent: entry.absent(),
                declared_at: moved.offset,
            };
            self.push(&draft, budget)?;
            // The index has a copy of its own.
            budget.refund_heap(to_u64(name.capacity()));
        }
        for (key, value) in index.metadata().view(bytes).iter() {
            let key = budget.join(&[moved.prefix, key.as_str().unwrap_or_default()])?;
            let metadata = self.metadata();
            match value {
                Value::String(text) => {
                    let text = text.as_str().unwrap_or_default();
                    metadata.push_string(&key, text, 0, budget)?;
                }
                other => {
                    if let Some(bytes) = scalar_bytes(other) {
                        let value_type = other.value_type();
                        metadata.push_scalar(&key, value_type, &bytes, 0, budget)?;
                    }
                }
            }
            budget.refund_heap(to_u64(key.capacity()));
        }
        self.findings(index.findings().in_stream(moved.stream));
        Ok(())
    }
}

/// Replaces what `wide` holds by `numbers`: one list serves every tensor.
fn widen(numbers: &[usize], wide: &mut Vec<u64>) -> Result<()> {
    wide.clear();
    wide.try_reserve(numbers.len())
        .map_err(|_| Error::out_of_memory())?;
    wide.extend(numbers.iter().copied().map(to_u64));
    Ok(())
}

/// The little-endian bytes of a number or truth value.
fn scalar_bytes(value: Value<'_>) -> Option<Vec<u8>> {
    Some(match value {
        Value::U8(value) => value.to_le_bytes().to_vec(),
        Value::I8(value) => value.to_le_bytes().to_vec(),
        Value::U16(value) => value.to_le_bytes().to_vec(),
        Value::I16(value) => value.to_le_bytes().to_vec(),
        Value::U32(value) => value.to_le_bytes().to_vec(),
        Value::I32(value) => value.to_le_bytes().to_vec(),
        Value::U64(value) => value.to_le_bytes().to_vec(),
        Value::I64(value) => value.to_le_bytes().to_vec(),
        Value::F32(value) => value.to_le_bytes().to_vec(),
        Value::F64(value) => value.to_le_bytes().to_vec(),
        Value::Bool(value) => vec![value],
        Value::String(_) | Value::Array(_) => return None,
    })
}
