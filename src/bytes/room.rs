//! Lists and texts that grow with a file, where no budget is at hand: memory that cannot be had is an error, not an
//! abort. Readers charge a [`Budget`](crate::limits::Budget) before they ask for any.

#![cfg_attr(
    not(feature = "convert"),
    allow(dead_code, reason = "conversions use all of them")
)]

use std::collections::{HashMap, HashSet, TryReserveError};
use std::hash::Hash;

use crate::error::{Error, Result};

/// Appends an element.
pub(crate) fn push<T>(list: &mut Vec<T>, item: T) -> Result<()> {
    list.try_reserve(1).map_err(none)?;
    list.push(item);
    Ok(())
}

/// Appends elements.
pub(crate) fn append<T: Copy>(list: &mut Vec<T>, more: &[T]) -> Result<()> {
    list.try_reserve(more.len()).map_err(none)?;
    list.extend_from_slice(more);
    Ok(())
}

/// Appends what an iterator gives.
pub(crate) fn extend<T>(list: &mut Vec<T>, more: impl IntoIterator<Item = T>) -> Result<()> {
    more.into_iter().try_for_each(|item| push(list, item))
}

/// Makes room for so many more elements.
pub(crate) fn reserve<T>(list: &mut Vec<T>, more: usize) -> Result<()> {
    list.try_reserve(more).map_err(none)
}

/// Gives a list another length, with `value` where it was shorter.
pub(crate) fn resize<T: Clone>(list: &mut Vec<T>, length: usize, value: T) -> Result<()> {
    let more = length.saturating_sub(list.len());
    list.try_reserve(more).map_err(none)?;
    list.resize(length, value);
    Ok(())
}

/// Lists what an iterator gives.
pub(crate) fn list<T>(items: impl IntoIterator<Item = T>) -> Result<Vec<T>> {
    let mut list = Vec::new();
    extend(&mut list, items)?;
    Ok(list)
}

/// Adds an element to a set; whether it is new.
pub(crate) fn insert<T: Eq + Hash>(set: &mut HashSet<T>, item: T) -> Result<bool> {
    set.try_reserve(1).map_err(none)?;
    Ok(set.insert(item))
}

/// Adds a key to a map.
pub(crate) fn insert_key<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, value: V) -> Result<()> {
    map.try_reserve(1).map_err(none)?;
    map.insert(key, value);
    Ok(())
}

/// One text of several, with `between` between any two of them.
pub(crate) fn join<'t>(parts: impl IntoIterator<Item = &'t str>, between: &str) -> Result<String> {
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
pub(crate) fn copy(text: &str) -> Result<String> {
    join([text], "")
}

/// A text of bytes, with U+FFFD for those that are not UTF-8.
pub(crate) fn lossy(bytes: &[u8]) -> Result<String> {
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
pub(crate) fn add(text: &mut String, more: &str) -> Result<()> {
    text.try_reserve(more.len()).map_err(none)?;
    text.push_str(more);
    Ok(())
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
