//! Split GGUF models: `NAME-00001-of-00003.gguf` and its siblings, as one checkpoint.
//!
//! Rules: llama.cpp `src/llama-model-loader.cpp` and `src/llama.cpp` (ggml 0.25.3): `split.no` counts from
//! 0, file names from 1; every shard states the same `split.count` and `split.tensors.count`; the
//! shards' tensors add up to the latter, no name stands twice. The siblings' names are made from the
//! opened file's own name, never from its content.

use std::path::Path;

use super::Opened;
use super::open::Opening;
use crate::bytes::{room, to_u64, to_usize};
use crate::error::{Error, Format, Malformed, Result};
use crate::index::Value;
use crate::limits::Limit;

/// What a shard says of itself.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    no: u64,
    count: u64,
    tensors: Option<u64>,
}

impl Place {
    /// `None` for a model in one file.
    fn of(opened: &Opened) -> Result<Option<Self>> {
        if opened.parsed.format != Format::Gguf {
            return Ok(None);
        }
        let metadata = opened.parsed.index.metadata().view(opened.file.bytes());
        let number = |key: &'static str| match metadata.get(key) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => {
                    let found = match value {
                        Value::String(_) => String::from("a string"),
                        other => format!("{other:?}"),
                    };
                    let at = metadata.offset_of(key).unwrap_or_default();
                    Err(Error::unexpected(key, found, "a number from 0 up").at(at))
                }
            },
        };
        let (no, count) = (number("split.no")?, number("split.count")?);
        let Some(count) = count.filter(|&count| count > 1) else {
            return Ok(None);
        };
        let no = no.ok_or_else(|| Error::missing("key", "split.no"))?;
        let tensors = number("split.tensors.count")?;
        Ok(Some(Self { no, count, tensors }))
    }
}

/// The suffix of a shard's file name; shards are counted from 0 here and from 1 there.
fn suffix(no: u64, count: u64) -> String {
    format!("-{:05}-of-{count:05}.gguf", no.saturating_add(1))
}

/// Opens the other shards of a split model, and gives all in order; any other file alone.
pub(super) fn with_siblings(opening: &Opening<'_>, first: Opened) -> Result<Vec<Opened>> {
    let path = first.path.clone();
    let in_file = |error: Error| error.in_format(Format::Gguf).in_file(&path);
    let Some(place) = Place::of(&first).map_err(in_file)? else {
        return Ok(vec![first]);
    };
    let allowed = Limit::Shards.of(opening.limits());
    if place.count > allowed {
        return Err(in_file(Error::limit(
            Limit::Shards.name(),
            place.count,
            allowed,
        )));
    }
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let expected = suffix(place.no, place.count);
    let prefix = name.strip_suffix(&expected).ok_or_else(|| {
        let found = format!("{name:?}");
        let unexpected =
            Error::unexpected("the file's name", found, "its split.no and split.count");
        in_file(unexpected)
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut names = Vec::new();
    for no in (0..place.count).filter(|&no| no != place.no) {
        let name = format!("{prefix}{}", suffix(no, place.count));
        let is_there = std::fs::symlink_metadata(folder.join(&name)).is_ok();
        room::push(&mut names, name)?;
        if !is_there {
            // The error will be that of this one. A count that no limit bounds must not list names without end.
            break;
        }
    }
    let mut shards = opening.open_all(folder, &names, false)?;
    let own = to_usize(place.no).unwrap_or_default().min(shards.len());
    shards.insert(own, first);
    for (no, shard) in (0..place.count).zip(&shards) {
        check(shard, Place { no, ..place })
            .map_err(|error| error.in_format(Format::Gguf).in_file(&shard.path))?;
    }
    let found = shards
        .iter()
        .map(|shard| to_u64(shard.parsed.index.len()))
        .sum();
    match place.tensors {
        Some(expected) if expected != found => {
            Err(in_file(Error::malformed(Malformed::Mismatch {
                what: "the number of tensors in all shards",
                found,
                expected,
            })))
        }
        _ => Ok(shards),
    }
}

/// A shard must say of itself what its name and the others say.
fn check(shard: &Opened, expected: Place) -> Result<()> {
    let Some(found) = Place::of(shard)? else {
        return Err(Error::missing("key", "split.count"));
    };
    let numbers = [
        ("split.no", Some(found.no), Some(expected.no)),
        ("split.count", Some(found.count), Some(expected.count)),
        ("split.tensors.count", found.tensors, expected.tensors),
    ];
    for (what, found, expected) in numbers {
        if found != expected {
            return Err(Error::malformed(Malformed::Mismatch {
                what,
                found: found.unwrap_or_default(),
                expected: expected.unwrap_or_default(),
            }));
        }
    }
    Ok(())
}
