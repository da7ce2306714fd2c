//! Any checkpoint as safetensors: one file, or shards with an index.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::atomic::{self, Pending, Target};
use super::item::Item;
use super::job::{self, Job};
use super::metadata::{self, Pairs};
use super::options::{ConvertOptions, Converted};
use super::transfer::Placed;
use super::{header, plan};
use crate::bytes::to_u64;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::progress::{self, Callback};
use crate::tensor::TensorView;

/// What the key of a companion's original dtype starts with.
const COMPANION: &str = "weighbridge.dtype.";

/// One file of the output, before it is written.
struct File<'p, 'a> {
    items: Vec<&'p Item<'a>>,
    metadata: Pairs,
    head: Vec<u8>,
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
    let carried = metadata::carried(model, &mut converted);
    let unknown = job::unknown(model);

    let groups = split(&items, options.shard_bytes);
    let paths = names(path, groups.len());
    let mut files = Vec::new();
    for group in groups {
        files.push(File::new(
            group, options, model, &carried, &unknown, &converted,
        )?);
    }
    let index = (files.len() > 1).then(|| index(path, &paths, &files));
    let index = match index {
        Some((path, text)) => Some((Target::new(&path, options.replace)?, text?)),
        None => None,
    };
    let mut pending = Vec::new();
    for (path, file) in paths.iter().zip(&files) {
        let target = Target::new(path, options.replace)?;
        pending.push(Pending::create(target, file.length())?);
    }
    let placed = placed(&files);
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
        let heads = files
            .iter()
            .map(|file| file.head_with(options, model, sha256));
        heads.collect()
    })?;
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
    let old: Vec<_> = pending.iter().map(Pending::open_old).collect();
    if let Some((target, text)) = index {
        let path = target.path().to_path_buf();
        let in_file = |error| Error::io(error).in_file(&path);
        let index = Pending::create(target, to_u64(text.len()))?;
        atomic::write_at(index.file(), &text, 0).map_err(in_file)?;
        index.sync()?;
        index.remove_old().map_err(in_file)?;
        pending.push(index);
    }
    let mut files = Vec::new();
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
    fn new(
        mut items: Vec<&'p Item<'a>>,
        options: &ConvertOptions,
        model: &Checkpoint,
        carried: &Pairs,
        sha256: &[String],
        converted: &Converted,
    ) -> Result<Self> {
        header::sort(&mut items);
        let mut metadata = metadata::of_safetensors(options, model, carried, sha256);
        for item in &items {
            if let Some(dtype) = item.companion_of() {
                let key = format!("{COMPANION}{}", item.name);
                metadata.insert(key, dtype.to_owned());
            }
        }
        let held: HashSet<&str> = items.iter().map(|item| &*item.name).collect();
        for (removed, kept) in &converted.aliases {
            if held.contains(kept.as_str()) {
                // As the official writer: a key that is taken stays what it is.
                let entry = metadata.entry(removed.clone());
                entry.or_insert_with(|| kept.clone());
            }
        }
        let head = header::build(&items, &metadata)?;
        Ok(Self {
            items,
            metadata,
            head,
        })
    }

    /// The header with the digests of the source; its length stays the same.
    fn head_with(
        &self,
        options: &ConvertOptions,
        model: &Checkpoint,
        sha256: &[String],
    ) -> Result<Vec<u8>> {
        let mut metadata = self.metadata.clone();
        if options.provenance {
            metadata.extend(metadata::provenance(model, sha256));
            metadata.extend(options.metadata.iter().cloned());
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

fn placed<'p, 'a>(files: &[File<'p, 'a>]) -> Vec<Placed<'p, 'a>> {
    let mut placed = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let mut offset = to_u64(file.head.len());
        for &item in &file.items {
            placed.push(Placed {
                item,
                file: number,
                offset,
            });
            offset = offset.saturating_add(item.bytes);
        }
    }
    placed
}

/// Distributes tensors over files as Hugging Face's libraries do: in their order, a new file before one
/// would exceed `most` bytes.
fn split<'p, 'a>(items: &'p [Item<'a>], most: Option<u64>) -> Vec<Vec<&'p Item<'a>>> {
    let most = most.unwrap_or(u64::MAX);
    let mut groups: Vec<Vec<&Item<'_>>> = vec![Vec::new()];
    let mut bytes: u64 = 0;
    for item in items {
        let with = bytes.saturating_add(item.bytes);
        if let Some(group) = groups.last_mut()
            && (with <= most || group.is_empty())
        {
            group.push(item);
            bytes = with;
            continue;
        }
        groups.push(vec![item]);
        bytes = item.bytes;
    }
    groups
}

/// `model.safetensors`, or `model-00001-of-00002.safetensors` and so on.
fn names(path: &Path, count: usize) -> Vec<PathBuf> {
    if count <= 1 {
        return vec![path.to_path_buf()];
    }
    let extension = path.extension().unwrap_or("safetensors".as_ref());
    let numbers = 1..=count;
    let name = |number: usize| {
        let mut name = OsString::from(path.file_stem().unwrap_or_default());
        name.push(format!("-{number:05}-of-{count:05}."));
        name.push(extension);
        path.with_file_name(name)
    };
    numbers.map(name).collect()
}

/// Path and text of the index, as `transformers` writes it.
fn index(path: &Path, paths: &[PathBuf], files: &[File<'_, '_>]) -> (PathBuf, Result<Vec<u8>>) {
    let mut map = BTreeMap::new();
    for (path, file) in paths.iter().zip(files) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for item in &file.items {
            map.insert(&*item.name, name.clone());
        }
    }
    let size: u64 = files.iter().map(File::tensor_bytes).sum();
    let index = serde_json::json!({
        "metadata": { "total_size": size },
        "weight_map": map,
    });
    let text = serde_json::to_vec_pretty(&index).map(|mut text| {
        text.push(b'\n');
        text
    });
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(".index.json");
    (
        path.with_file_name(name),
        text.map_err(|error| Error::io(error.into())),
    )
}
