//! Checkpoints of many files that an index names: `model.safetensors.index.json`,
//! `pytorch_model.bin.index.json` and their variants.
//!
//! ```text
//! {"metadata": {"total_size": 18816}, "weight_map": {"embed.weight": "model-00001-of-00002.safetensors", …}}
//! ```
//!
//! Source: huggingface_hub 1.2 `serialization/_base.py`, transformers 5 `modeling_utils.py`. Stricter: every
//! tensor must stand in exactly the shard that the index names, and no shard may hold others.

use std::path::Path;

use super::Opened;
use super::open::Opening;
use crate::bytes::to_u64;
use crate::error::{Error, Format, Result, shortened};
use crate::findings::{Finding, Severity};
use crate::formats::json::{Json, JsonValue};
use crate::limits::{Budget, Limit};
use crate::source::{Access, OpenedFile, Source};

/// Opens every shard that the index at `path` names, in the order of their names.
pub(super) fn open(opening: &Opening<'_>, path: &Path, index: OpenedFile) -> Result<Vec<Opened>> {
    read(opening, path, index).map_err(|error| error.in_file(path))
}

fn read(opening: &Opening<'_>, path: &Path, index: OpenedFile) -> Result<Vec<Opened>> {
    let in_index = |error: Error| error.in_format(Format::ShardIndex).at(0);
    let mut budget = opening.budget();
    budget
        .allow(Limit::HeaderBytes, index.bytes())
        .map_err(in_index)?;
    opening.job.expect(index.bytes());
    // Names of an index are kept while the shards are opened: it is read, however the shards are.
    let index = Source::from_file(index, Access::Read, &opening.job)?;
    let json = Json::parse(index.bytes(), &mut budget).map_err(in_index)?;
    let map = json.root().get("weight_map");
    let map = map
        .filter(|map| map.is_object())
        .ok_or_else(|| in_index(Error::missing("key", "weight_map")))?;
    let listed = Listed::new(map, &mut budget).map_err(in_index)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shards = opening
        .open_all(folder, &listed.shards, true)
        .map_err(|error| match error.format() {
            // A name that is refused stands in the index.
            None if error.file().is_none() => in_index(error),
            _ => error,
        })?;
    listed.check(&shards)?;
    let stated = json.root().get("metadata");
    let stated = stated.and_then(|metadata| metadata.get("total_size")?.as_u64());
    check_size(stated, &mut shards);
    Ok(shards)
}

/// What an index lists.
struct Listed<'j> {
    /// File names, each once, sorted.
    shards: Vec<&'j str>,
    /// Tensors and their shards, sorted by tensor; a parser saw to it that none stands twice.
    tensors: Vec<(&'j str, &'j str)>,
}

impl<'j> Listed<'j> {
    fn new(map: JsonValue<'j>, budget: &mut Budget) -> Result<Self> {
        let mut shards: Vec<&str> = Vec::new();
        let mut tensors = Vec::new();
        for (tensor, shard) in map.items() {
            let shard = shard.as_str().ok_or_else(|| {
                Error::unexpected("a shard", "not text", "a file name").for_tensor(tensor)
            })?;
            budget.grow(&mut tensors)?;
            tensors.push((tensor, shard));
            // Tensors of one shard mostly follow each other.
            if shards.last() != Some(&shard) {
                budget.grow(&mut shards)?;
                shards.push(shard);
            }
        }
        budget.allow(Limit::Tensors, to_u64(tensors.len()))?;
        shards.sort_unstable();
        shards.dedup();
        budget.allow(Limit::Shards, to_u64(shards.len()))?;
        tensors.sort_unstable();
        Ok(Self { shards, tensors })
    }

    /// The shard that a tensor should stand in.
    fn shard_of(&self, tensor: &str) -> Option<&'j str> {
        let place = self
            .tensors
            .binary_search_by(|(name, _)| (*name).cmp(tensor));
        self.tensors.get(place.ok()?).map(|(_, shard)| *shard)
    }

    /// Every tensor listed stands in its shard, and every tensor of a shard is listed for it.
    fn check(&self, opened: &[Opened]) -> Result<()> {
        for &(tensor, shard) in &self.tensors {
            let place = self.shards.binary_search(&shard).ok();
            let shard = place.and_then(|place| opened.get(place));
            let Some(shard) = shard else { continue };
            if shard.parsed.index.find(tensor).is_none() {
                let error = Error::missing("tensor of the index", tensor).for_tensor(tensor);
                return Err(error.in_format(Format::ShardIndex).in_file(&shard.path));
            }
        }
        for (&name, shard) in self.shards.iter().zip(opened) {
            for entry in shard.parsed.index.iter() {
                let found = match self.shard_of(entry.name()) {
                    Some(listed) if listed == name => continue,
                    Some(other) => format!("listed for {:?}", shortened(other)),
                    None => String::from("not listed"),
                };
                let error = Error::unexpected("a tensor", found, "a tensor listed for this shard");
                let error = error.for_tensor(entry.name());
                return Err(error.in_format(Format::ShardIndex).in_file(&shard.path));
            }
        }
        Ok(())
    }
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
