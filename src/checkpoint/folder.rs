//! Which files of a folder are the model.
//!
//! A folder of a hub may hold one model several times, in several formats. An index, a file alone and the
//! shards of a GGUF split are one model each. Pickles count only where there is nothing else, as in
//! transformers; of anything else there must be one.

use std::path::{Path, PathBuf};

use crate::error::{Caller, Error, Result};

/// Endings of pickled checkpoints. They only choose the file: what it is, its content says.
const PICKLES: &[&str] = &[".bin", ".pt", ".pth", ".ckpt"];

/// The one model of a folder: an index, a file, or the first shard of a split.
pub(super) fn only_model(folder: &Path) -> Result<PathBuf> {
    let in_folder = |error: Error| error.in_file(folder);
    let entries = std::fs::read_dir(folder).map_err(|error| in_folder(Error::io(error)))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| in_folder(Error::io(error)))?;
        // A name that is not UTF-8 is none of the names that are looked for.
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort();
    let ending = |endings: &[&str]| -> Vec<String> {
        let found = names.iter();
        found
            .filter(|name| endings.iter().any(|ending| name.ends_with(ending)))
            .cloned()
            .collect()
    };
    // An index stands for its shards, whose names have its stem.
    let unlisted = |files: Vec<String>, indexes: &[String]| -> Vec<String> {
        let listed = |name: &str| shard_stem(name).is_some() && !indexes.is_empty();
        files.into_iter().filter(|name| !listed(name)).collect()
    };
    let (of_pickles, of_safetensors): (Vec<_>, Vec<_>) = names
        .iter()
        .filter(|name| name.contains(".index.") && name.ends_with(".json"))
        .filter(|name| name.contains(".safetensors.") || name.contains(".bin."))
        .cloned()
        .partition(|name| name.contains(".bin."));
    let mut found = unlisted(ending(&[".safetensors"]), &of_safetensors);
    found.extend(of_safetensors);
    found.extend(first_shards(ending(&[".gguf"])));
    if found.is_empty() {
        found = unlisted(ending(PICKLES), &of_pickles);
        found.extend(of_pickles);
    }
    match found.as_slice() {
        [only] => Ok(folder.join(only)),
        _ => Err(in_folder(Error::caller(Caller::NotOneModel { found }))),
    }
}

/// GGUF files without the later shards of splits; without a first shard, the one that is there says what
/// is missing.
fn first_shards(names: Vec<String>) -> Vec<String> {
    let first = names.first().cloned();
    let mut firsts = names;
    firsts.retain(|name| {
        !matches!(
            shard_stem(name.strip_suffix(".gguf").unwrap_or(name)),
            Some((_, 2..))
        )
    });
    match (firsts.is_empty(), first) {
        (true, Some(first)) => vec![first],
        _ => firsts,
    }
}

/// What stands before `-0000N-of-0000M`, and N.
fn shard_stem(name: &str) -> Option<(&str, u64)> {
    let (rest, count) = name.rsplit_once("-of-")?;
    let (stem, no) = rest.rsplit_once('-')?;
    let digits: String = count.chars().take_while(char::is_ascii_digit).collect();
    let number = |text: &str| text.parse().ok().filter(|_| text.len() >= 5);
    number(&digits).map(|_: u64| ())?;
    Some((stem, number(no)?))
}
