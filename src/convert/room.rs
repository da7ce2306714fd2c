//! Room for what grows with a model: memory that cannot be had is an error, not an abort.
//!
//! Without a budget: the source paid for its names and texts when it was opened, and what is listed here is a small
//! multiple of them.

use std::collections::{HashMap, HashSet, TryReserveError};
use std::hash::Hash;
use std::io;

use serde::Serialize;

use crate::error::{Error, Result};

/// Appends an element.
pub(super) fn push<T>(list: &mut Vec<T>, item: T) -> Result<()> {
    list.try_reserve(1).map_err(none)?;
    list.push(item);
    Ok(())
}

/// Appends elements.
pub(super) fn append<T: Copy>(list: &mut Vec<T>, more: &[T]) -> Result<()> {
    list.try_reserve(more.len()).map_err(none)?;
    list.extend_from_slice(more);
    Ok(())
}

/// Makes room for so many more elements.
pub(super) fn reserve<T>(list: &mut Vec<T>, more: usize) -> Result<()> {
    list.try_reserve(more).map_err(none)
}

/// Gives a list another length, with `value` where it was shorter.
pub(super) fn resize<T: Clone>(list: &mut Vec<T>, length: usize, value: T) -> Result<()> {
    let more = length.saturating_sub(list.len());
    list.try_reserve(more).map_err(none)?;
    list.resize(length, value);
    Ok(())
}

/// Lists what an iterator gives.
pub(super) fn list<T>(items: impl IntoIterator<Item = T>) -> Result<Vec<T>> {
    let mut list = Vec::new();
    for item in items {
        push(&mut list, item)?;
    }
    Ok(list)
}

/// Adds an element to a set; whether it is new.
pub(super) fn insert<T: Eq + Hash>(set: &mut HashSet<T>, item: T) -> Result<bool> {
    set.try_reserve(1).map_err(none)?;
    Ok(set.insert(item))
}

/// Adds a key to a map.
pub(super) fn insert_key<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, value: V) -> Result<()> {
    map.try_reserve(1).map_err(none)?;
    map.insert(key, value);
    Ok(())
}

/// One text of several, with `between` between any two of them.
pub(super) fn join<'t>(parts: impl IntoIterator<Item = &'t str>, between: &str) -> Result<String> {
    let mut text = String::new();
    for (place, part) in parts.into_iter().enumerate() {
        if place > 0 {
            add(&mut text, between)?;
        }
        add(&mut text, part)?;
    }
    Ok(text)
}

/// A text of its own.
pub(super) fn copy(text: &str) -> Result<String> {
    join([text], "")
}

/// A text of bytes, with U+FFFD for those that are not UTF-8.
pub(super) fn lossy(bytes: &[u8]) -> Result<String> {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        add(&mut text, chunk.valid())?;
        if !chunk.invalid().is_empty() {
            add(&mut text, "\u{FFFD}")?;
        }
    }
    Ok(text)
}

/// Appends to a text.
pub(super) fn add(text: &mut String, more: &str) -> Result<()> {
    text.try_reserve(more.len()).map_err(none)?;
    text.push_str(more);
    Ok(())
}

/// Appends a value as JSON.
pub(super) fn json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<()> {
    serde_json::to_writer(Growing(out), value).map_err(|error| Error::io(error.into()))
}

/// Appends a value as JSON of several lines.
pub(super) fn pretty_json(out: &mut Vec<u8>, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer_pretty(Growing(out), value).map_err(|error| Error::io(error.into()))
}

/// Takes what is written, where `Vec` itself would abort.
struct Growing<'v>(&'v mut Vec<u8>);

impl io::Write for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.try_reserve(bytes.len()).is_err() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cold]
fn none(_: TryReserveError) -> Error {
    Error::out_of_memory()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_the_text_that_the_standard_library_makes_of_them() {
        for bytes in [
            &b""[..],
            b"plain",
            b"\xff",
            b"a\xe2\x82b\xf0\x9f\x98",
            "\u{20ac}\u{fffd}".as_bytes(),
        ] {
            assert_eq!(lossy(bytes).unwrap(), String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn texts_are_joined_as_the_standard_library_joins_them() {
        for parts in [&[][..], &[""], &["a"], &["a", "", "bc"]] {
            assert_eq!(join(parts.iter().copied(), "\n").unwrap(), parts.join("\n"));
        }
    }
}
