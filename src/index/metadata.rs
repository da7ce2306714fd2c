//! The metadata of a checkpoint: keys indexed, values where the file has them.

use super::encoding::Encoding;
use super::names::{Names, Repeated};
use super::value::{Text, Value, ValueType};
use crate::bytes::{Span, to_u64, to_usize};
use crate::error::{Error, Result};
use crate::limits::{Budget, Limit};

/// Keys and values of one checkpoint.
///
/// GGUF keys and values stay in the file as spans; those of other formats are interned in one
/// buffer in the same encoding, so that there is one way to read them.
#[derive(Debug, Default)]
pub struct Metadata {
    pool: Vec<u8>,
    items: Vec<Item>,
    keys: Names,
    encoding: Encoding,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    key: Place,
    value: Place,
    value_type: ValueType,
    declared_at: u64,
}

/// Bytes in the file, or in the pool.
#[derive(Clone, Copy, Debug)]
enum Place {
    File(Span),
    Pool { start: usize, length: usize },
}

impl Metadata {
    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Reads keys and values, given the bytes of the checkpoint's first file.
    #[must_use]
    pub const fn view<'a>(&'a self, file: &'a [u8]) -> MetadataView<'a> {
        MetadataView {
            metadata: self,
            file,
        }
    }

    /// Says how values that lie in the file are laid out.
    pub(crate) fn set_encoding(&mut self, encoding: Encoding) {
        self.encoding = encoding;
    }

    /// Adds a key and value that lie in the file; the value's span starts at its first byte (for a
    /// string or array, at its length or element type).
    pub(crate) fn push_span(
        &mut self,
        key: Span,
        value_type: ValueType,
        value: Span,
        budget: &mut Budget,
    ) -> Result<()> {
        self.push(
            Place::File(key),
            value_type,
            Place::File(value),
            key.start(),
            budget,
        )
    }

    /// Adds a key and a string that the file declares at `declared_at`.
    pub(crate) fn push_string(
        &mut self,
        key: &str,
        value: &str,
        declared_at: u64,
        budget: &mut Budget,
    ) -> Result<()> {
        budget.allow(Limit::StringBytes, to_u64(value.len()))?;
        let length = to_u64(value.len()).to_le_bytes();
        self.push_pooled(
            key,
            ValueType::String,
            &[&length, value.as_bytes()],
            declared_at,
            budget,
        )
    }

    /// Adds a key and a number or boolean, given as little-endian bytes of its type.
    pub(crate) fn push_scalar(
        &mut self,
        key: &str,
        value_type: ValueType,
        bytes: &[u8],
        declared_at: u64,
        budget: &mut Budget,
    ) -> Result<()> {
        self.push_pooled(key, value_type, &[bytes], declared_at, budget)
    }

    fn push_pooled(
        &mut self,
        key: &str,
        value_type: ValueType,
        parts: &[&[u8]],
        declared_at: u64,
        budget: &mut Budget,
    ) -> Result<()> {
        budget.allow(Limit::NameBytes, to_u64(key.len()))?;
        let key = self.intern(&[key.as_bytes()], budget)?;
        let value = self.intern(parts, budget)?;
        self.push(key, value_type, value, declared_at, budget)
    }

    fn intern(&mut self, parts: &[&[u8]], budget: &mut Budget) -> Result<Place> {
        let start = self.pool.len();
        let length = parts.iter().map(|part| part.len()).sum();
        if self.pool.capacity().saturating_sub(start) < length {
            budget.reserve(&mut self.pool, length.max(start / 2))?;
        }
        for part in parts {
            self.pool.extend_from_slice(part);
        }
        Ok(Place::Pool { start, length })
    }

    fn push(
        &mut self,
        key: Place,
        value_type: ValueType,
        value: Place,
        declared_at: u64,
        budget: &mut Budget,
    ) -> Result<()> {
        let count = to_u64(self.items.len()).saturating_add(1);
        budget.allow(Limit::MetadataEntries, count)?;
        if count >= u64::from(u32::MAX) {
            return Err(Error::unsupported("a file of", "2^32 keys"));
        }
        budget.grow(&mut self.items)?;
        self.items.push(Item {
            key,
            value,
            value_type,
            declared_at,
        });
        Ok(())
    }

    /// Enters the keys for look-up.
    ///
    /// # Errors
    /// `Malformed` if a key stands twice; `Cancelled` if opening was stopped.
    pub(crate) fn finish(&mut self, file: &[u8], budget: &mut Budget) -> Result<()> {
        if self.keys.len() == self.items.len() {
            return Ok(());
        }
        let view = self.view(file);
        // Limited to fewer than 2^32 by `push`.
        let count = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        let keys = Names::enter(count, |item| view.key(item), budget)?;
        self.keys = keys.map_err(|Repeated(item)| {
            let key = String::from_utf8_lossy(view.key(item));
            let at = self.item(item).map(|item| item.declared_at);
            Error::duplicate("key", &key).at(at.unwrap_or_default())
        })?;
        Ok(())
    }

    fn item(&self, position: u32) -> Option<&Item> {
        self.items.get(to_usize(position.into())?)
    }
}

/// The metadata of a checkpoint, with the bytes it is read from.
#[derive(Clone, Copy, Debug)]
pub struct MetadataView<'a> {
    metadata: &'a Metadata,
    file: &'a [u8],
}

impl<'a> MetadataView<'a> {
    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.metadata.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.metadata.is_empty()
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.value(self.find(key)?)
    }

    /// Where the value of a key starts in the file, if it stayed there.
    #[must_use]
    pub fn offset_of(&self, key: &str) -> Option<u64> {
        match self.find(key)?.value {
            Place::File(span) => Some(span.start()),
            Place::Pool { .. } => None,
        }
    }

    /// Every key and value, in file order. Keys of a strict GGUF file are UTF-8.
    pub fn iter(&self) -> impl Iterator<Item = (Text<'a>, Value<'a>)> + use<'a> {
        let view = *self;
        view.metadata
            .items
            .iter()
            .filter_map(move |item| Some((Text(view.bytes(item.key)?), view.value(item)?)))
    }

    fn find(&self, key: &str) -> Option<&'a Item> {
        let names = &self.metadata.keys;
        let item = names.find(key.as_bytes(), |item| self.key(item))?;
        self.metadata.item(item)
    }

    fn key(&self, item: u32) -> &'a [u8] {
        self.metadata
            .item(item)
            .and_then(|item| self.bytes(item.key))
            .unwrap_or_default()
    }

    fn value(&self, item: &Item) -> Option<Value<'a>> {
        let encoding = match item.value {
            Place::File(_) => self.metadata.encoding,
            Place::Pool { .. } => Encoding::default(),
        };
        Value::decode(self.bytes(item.value)?, item.value_type, encoding).ok()
    }

    fn bytes(&self, place: Place) -> Option<&'a [u8]> {
        match place {
            Place::File(span) => span.slice(self.file),
            Place::Pool { start, length } => {
                self.metadata.pool.get(start..start.checked_add(length)?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limits, Strictness};

    /// By half, and by what is needed; charged before it is reserved.
    #[test]
    fn the_pool_grows_by_half() {
        for (length, free, added, step) in [
            (0, 0, 5, 5),
            (100, 0, 1, 50),
            (101, 0, 1, 50),
            (100, 0, 51, 51),
            (100, 7, 7, 0),
            (100, 7, 8, 50),
        ] {
            let heap = |heap_bytes| {
                let limits = Limits {
                    heap_bytes,
                    ..Limits::default()
                };
                Budget::new(limits, Strictness::Strict)
            };
            let filled = || {
                let mut metadata = Metadata::default();
                metadata.pool.reserve_exact(length + free);
                metadata.pool.resize(length, b'x');
                metadata
            };
            let added = vec![b'y'; added];
            let mut metadata = filled();
            metadata.intern(&[&added], &mut heap(step)).unwrap();
            assert_eq!(metadata.pool.len(), length + added.len());
            if step > 0 {
                let error = filled().intern(&[&added], &mut heap(step - 1));
                assert!(error.is_err(), "{length} and {}", added.len());
            }
        }
    }
}
