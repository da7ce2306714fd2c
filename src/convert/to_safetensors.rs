//! Any checkpoint as safetensors: one file, or shards with an index.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::atomic::{self, Pending, Target};
use super::item::Item;
use super::job::{self, Job};
use super::metadata::{self, Pairs};
use super::options::{ConvertOptions, Converted};
use super::transfer::Placed;
use super::{header, json, plan};
use crate::bytes::{room, to_u64};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::progress::{self, Callback};
use crate::tensor::TensorView;

/// What the key of a companion's original dtype starts with.
const COMPANION: &str = "weighbridge.dtype.";

/// One file of the output, before it is written.
struct File<'p, 'a> {
    items: Vec<&'p Item<'a>>,
    /// What the source says of itself, and what companions were.
    metadata: Pairs<'p>,
    /// Removed names of tied weights that this file holds under another one.
    aliases: Vec<(&'p str, &'p str)>,
    head: Vec<u8>,
}

/// The index of shards, as `transformers` writes it.
#[derive(serde::Serialize)]
struct Index<'f> {
    metadata: IndexMetadata,
    weight_map: BTreeMap<&'f str, Cow<'f, str>>,
}

#[derive(serde::Serialize)]
struct IndexMetadata {
    total_size: u64,
}

pub(super) fn convert<'a>(
    options: &ConvertOptions,
    model: &'a Checkpoint,
    views: Vec<TensorView<'a>>,
    path: &Path,
    progress: Option<Callback<'_>>,
) -> Result<Converted> {
    let mut converted = Converted::default();
    let place = |view| plan::in_safetensors(options, view);
    let alias = !options.clone_shared;
    let items = plan::items(options, model, views, alias, &mut converted, place)?;
    let carried = metadata::carried(model, &mut converted)?;
    let aliases = std::mem::take(&mut converted.aliases);
    let unknown = job::unknown(model)?;

    let groups = split(&items, options.shard_bytes)?;
    let paths = names(path, groups.len())?;
    let mut files = Vec::new();
    for group in groups {
        let mut file = File::new(group, &carried, &aliases)?;
        file.head = file.head_with(options, model, &unknown)?;
        room::push(&mut files, file)?;
    }
    let index = match files.len() > 1 {
        true => {
            let (path, text) = index(path, &paths, &files)?;
            Some((Target::new(&path, options.replace)?, text))
        }
        false => None,
    };
    let mut pending = Vec::new();
    for (path, file) in paths.iter().zip(&files) {
        let target = Target::new(path, options.replace)?;
        room::push(&mut pending, Pending::create(target, file.length())?)?;
    }
    let placed = placed(&files)?;
    converted.tensors = placed.len();
    converted.tensor_bytes = placed.iter().map(|placed| placed.item.bytes).sum();

    let phases = if options.verify { 2 } else { 1 };
    let total = converted.tensor_bytes.saturating_mul(phases);
    let watch = progress::Job::optional("converting", total, progress);
    let job = Job {
        options,
        model,
        placed: &placed,
        files: &pending,
    };
    job.run(&watch, |sha256| {
        let mut heads = Vec::new();
        for file in &files {
            room::push(&mut heads, file.head_with(options, model, sha256)?)?;
        }
        Ok(heads)
    })?;
    converted.aliases = aliases;
    converted.verified = options.verify;
    converted.files = publish(pending, index)?;
    Ok(converted)
}

/// Names the files, which are on the disk. An old index goes first and the new one comes last, so that no
/// index ever stands beside shards that it does not describe; a process killed in between leaves none.
pub(super) fn publish(
    mut pending: Vec<Pending>,
    index: Option<(Target, Vec<u8>)>,
) -> Result<Vec<PathBuf>> {
    // Open files are not freed, which takes longer than everything below: traced, 1 instead of 30 milliseconds
    // without an index for three shards of 8 MiB.
    let old = room::list(pending.iter().map(Pending::open_old))?;
    let mut files = Vec::new();
    // So that nothing but the file system can fail between the first name and the last.
    room::reserve(&mut files, pending.len().saturating_add(1))?;
    if let Some((target, text)) = index {
        let path = target.path().to_path_buf();
        let in_file = |error| Error::io(error).in_file(&path);
        let index = Pending::create(target, to_u64(text.len()))?;
        atomic::write_at(index.file(), &text, 0).map_err(in_file)?;
        index.sync()?;
        index.remove_old().map_err(in_file)?;
        room::push(&mut pending, index)?;
    }
    for pending in pending {
        match pending.publish() {
            Ok(path) => files.push(path),
            Err(error) => {
                // Half a model is none.
                for path in files {
                    let _ = std::fs::remove_file(path);
                }
                return Err(error);
            }
        }
    }
    // Once for all: a crash of the machine before it leaves what a kill leaves.
    if let Some(path) = files.first() {
        atomic::sync_folder_of(path);
    }
    drop(old);
    Ok(files)
}

impl<'p, 'a> File<'p, 'a> {
    /// Without its head, which [`head_with`](Self::head_with) gives.
    fn new(
        mut items: Vec<&'p Item<'a>>,
        carried: &'p Pairs<'_>,
        aliases: &'p [(String, String)],
    ) -> Result<Self> {
        header::sort(&mut items);
        let mut metadata = Pairs::new();
        // Not collected: a map that is makes a list first.
        let pairs = carried.iter();
        metadata.extend(pairs.map(|(key, value)| (Cow::Borrowed(&**key), Cow::Borrowed(&**value))));
        let mut held = HashSet::new();
        for item in &items {
            if let Some(dtype) = item.companion_of() {
                let key = room::join([COMPANION, &item.name], "")?;
                metadata.insert(key.into(), dtype.into());
            }
            room::insert(&mut held, &*item.name)?;
        }
        let here = aliases
            .iter()
            .filter(|(_, kept)| held.contains(kept.as_str()))
            .map(|(removed, kept)| (removed.as_str(), kept.as_str()));
        Ok(Self {
            aliases: room::list(here)?,
            items,
            metadata,
            head: Vec::new(),
        })
    }

    /// The header with the digests of the source: of the same length whatever they are.
    ///
    /// Where keys are the same, the caller's pairs win over where the file comes from, and that over the source's.
    fn head_with(
        &self,
        options: &ConvertOptions,
        model: &Checkpoint,
        sha256: &[String],
    ) -> Result<Vec<u8>> {
        let mut metadata: BTreeMap<&str, &str> = BTreeMap::new();
        let pairs = self.metadata.iter();
        metadata.extend(pairs.map(|(key, value)| (&**key, &**value)));
        let provenance;
        if options.provenance {
            provenance = metadata::provenance(model, sha256)?;
            metadata.extend(provenance.iter().map(|(key, value)| (*key, &**value)));
        }
        let own = options.metadata.iter();
        metadata.extend(own.map(|(key, value)| (key.as_str(), value.as_str())));
        for &(removed, kept) in &self.aliases {
            // As the official writer: a key that is taken stays what it is.
            metadata.entry(removed).or_insert(kept);
        }
        header::build(&self.items, &metadata)
    }

    fn tensor_bytes(&self) -> u64 {
        self.items
            .iter()
            .fold(0, |sum, item| sum.saturating_add(item.bytes))
    }

    fn length(&self) -> u64 {
        to_u64(self.head.len()).saturating_add(self.tensor_bytes())
    }
}

fn placed<'p, 'a>(files: &[File<'p, 'a>]) -> Result<Vec<Placed<'p, 'a>>> {
    let mut placed = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let mut offset = to_u64(file.head.len());
        for &item in &file.items {
            let here = Placed {
                item,
                file: number,
                offset,
            };
            room::push(&mut placed, here)?;
            offset = offset.saturating_add(item.bytes);
        }
    }
    Ok(placed)
}

/// Distributes tensors over files as Hugging Face's libraries do: in their order, a new file before one
/// would exceed `most` bytes.
fn split<'p, 'a>(items: &'p [Item<'a>], most: Option<u64>) -> Result<Vec<Vec<&'p Item<'a>>>> {
    let most = most.unwrap_or(u64::MAX);
    let mut groups: Vec<Vec<&Item<'_>>> = vec![Vec::new()];
    let mut bytes: u64 = 0;
    for item in items {
        let with = bytes.saturating_add(item.bytes);
        if let Some(group) = groups.last_mut()
            && (with <= most || group.is_empty())
        {
            room::push(group, item)?;
            bytes = with;
            continue;
        }
        room::push(&mut groups, vec![item])?;
        bytes = item.bytes;
    }
    Ok(groups)
}

/// `model.safetensors`, or `model-00001-of-00002.safetensors` and so on.
fn names(path: &Path, count: usize) -> Result<Vec<PathBuf>> {
    if count <= 1 {
        return Ok(vec![path.to_path_buf()]);
    }
    let extension = path.extension().unwrap_or("safetensors".as_ref());
    let numbers = 1..=count;
    let name = |number: usize| {
        let mut name = OsString::from(path.file_stem().unwrap_or_default());
        name.push(format!("-{number:05}-of-{count:05}."));
        name.push(extension);
        path.with_file_name(name)
    };
    room::list(numbers.map(name))
}

/// Path and text of the index.
fn index(path: &Path, paths: &[PathBuf], files: &[File<'_, '_>]) -> Result<(PathBuf, Vec<u8>)> {
    let mut weight_map = BTreeMap::new();
    for (path, file) in paths.iter().zip(files) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for item in &file.items {
            weight_map.insert(&*item.name, name.clone());
        }
    }
    let total_size = files.iter().map(File::tensor_bytes).sum();
    let index = Index {
        metadata: IndexMetadata { total_size },
        weight_map,
    };
    let mut text = Vec::new();
    json::write_pretty(&mut text, &index)?;
    room::append(&mut text, b"\n")?;
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(".index.json");
    Ok((path.with_file_name(name), text))
}
