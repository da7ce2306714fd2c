//! Checkpoints of many files that an index names: `model.safetensors.index.json`,
//! `pytorch_model.bin.index.json` and their variants.
//!
//! ```text
//! {"metadata": {"total_size": 18816}, "weight_map": {"embed.weight": "model-00001-of-00002.safetensors", …}}
//! ```
//!
//! Source: huggingface_hub 1.2 `serialization/_base.py`, transformers 5 `modeling_utils.py`. Stricter: every
//! tensor must stand in exactly the shard that the index names, and no shard may hold others.

use std::collections::HashMap;
use std::path::Path;

use super::contained::contained;
use super::{OpenOptions, Opened};
use crate::bytes::to_u64;
use crate::error::{Error, Format, Result, shortened};
use crate::findings::{Finding, Severity};
use crate::formats::json::{Json, JsonValue};
use crate::limits::{Budget, Limit};
use crate::source::Source;

/// Opens every shard that the index at `path` names, in the order of their names.
pub(super) fn open(options: &OpenOptions, path: &Path, index: &Source) -> Result<Vec<Opened>> {
    read(options, path, index).map_err(|error| error.in_file(path))
}

fn read(options: &OpenOptions, path: &Path, index: &Source) -> Result<Vec<Opened>> {
    let in_index = |error: Error| error.in_format(Format::ShardIndex).at(0);
    let mut budget = options.budget();
    budget
        .allow(Limit::HeaderBytes, to_u64(index.bytes().len()))
        .map_err(in_index)?;
    let json = Json::parse(index.bytes(), &mut budget).map_err(in_index)?;
    let map = json.root().get("weight_map");
    let map = map
        .filter(|map| map.is_object())
        .ok_or_else(|| in_index(Error::missing("key", "weight_map")))?;
    let names = shard_names(map, &mut budget).map_err(in_index)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shards = Vec::new();
    for name in &names {
        shards.push(options.open_one(&contained(folder, name).map_err(in_index)?)?);
    }
    check(map, &names, &shards)?;
    let stated = json.root().get("metadata");
    let stated = stated.and_then(|metadata| metadata.get("total_size")?.as_u64());
    check_size(stated, &mut shards);
    Ok(shards)
}

/// The shards' file names, each once, sorted.
fn shard_names<'j>(map: JsonValue<'j>, budget: &mut Budget) -> Result<Vec<&'j str>> {
    let mut names: Vec<&str> = Vec::new();
    for (tensor, shard) in map.items() {
        let shard = shard.as_str().ok_or_else(|| {
            Error::unexpected("a shard", "not text", "a file name").for_tensor(tensor)
        })?;
        // Tensors of one shard mostly follow each other.
        if names.last() != Some(&shard) {
            budget.grow(&mut names)?;
            names.push(shard);
        }
    }
    names.sort_unstable();
    names.dedup();
    budget.allow(Limit::Shards, to_u64(names.len()))?;
    Ok(names)
}

/// Every tensor of the map stands in its shard, and every tensor of a shard in the map.
fn check(map: JsonValue<'_>, names: &[&str], shards: &[Opened]) -> Result<()> {
    let mut listed: HashMap<&str, &str> = HashMap::new();
    for (tensor, shard) in map.items() {
        listed.insert(tensor, shard.as_str().unwrap_or_default());
        let shard = names
            .iter()
            .position(|&name| Some(name) == shard.as_str())
            .and_then(|place| shards.get(place));
        let Some(shard) = shard else { continue };
        if shard.parsed.index.find(tensor).is_none() {
            let error = Error::missing("tensor of the index", tensor);
            return Err(error.in_format(Format::ShardIndex).in_file(&shard.path));
        }
    }
    for (&name, shard) in names.iter().zip(shards) {
        for entry in shard.parsed.index.iter() {
            if listed.get(entry.name()) != Some(&name) {
                let found = "not listed for this shard";
                let error = Error::unexpected("a tensor", found, "the tensors of the index");
                let error = error.for_tensor(entry.name());
                return Err(error.in_format(Format::ShardIndex).in_file(&shard.path));
            }
        }
    }
    Ok(())
}

/// The stated size is often stale in honest files, and nothing is read by it.
fn check_size(stated: Option<u64>, shards: &mut [Opened]) {
    let found: u64 = shards
        .iter()
        .flat_map(|shard| shard.parsed.index.iter())
        .map(|entry| {
            entry
                .dtype()
                .bytes_for(entry.elements())
                .unwrap_or_default()
        })
        .fold(0, u64::saturating_add);
    if let (Some(stated), Some(first)) = (stated, shards.first_mut())
        && stated != found
    {
        let message = format!("the index states {stated} bytes, its tensors have {found}");
        let finding = Finding::new(Severity::Warning, "total-size", shortened(&message));
        first.parsed.index.add_finding(finding);
    }
}
