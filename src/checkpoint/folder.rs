//! Which files of a folder are the model.
//!
//! A folder of a hub may hold one model several times, in several formats and precisions. An index, a file
//! alone, numbered shards without an index, the shards of a GGUF split, a distributed checkpoint, and the
//! components that a `model_index.json` lists are one model each. Pickles count only where there is nothing
//! else, as in transformers; of anything else there must be one.
//!
//! Names: transformers 5 `utils/__init__.py` and diffusers 0.42 `utils/constants.py`. A variant stands before
//! the ending (`model.fp16.safetensors`, `model.safetensors.index.fp16.json`), before or behind the number
//! (`model.fp16-00001-of-00002.safetensors`, `model-00001-of-00002.fp16.safetensors`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::open::Opening;
use super::{Checkpoint, components, distributed};
use crate::bytes::{room, to_u64};
use crate::error::{Caller, Error, ErrorKind, Format, Result};
use crate::formats::json::Json;
use crate::limits::Limit;

/// Endings of pickled checkpoints. They only choose the file: what it is, its content says.
const PICKLES: &[&str] = &[".bin", ".pt", ".pth", ".ckpt"];

/// What trainers write beside a model (transformers `trainer.py`, accelerate `constants.py`): no models.
const BESIDE: &[&str] = &[
    "training_args.",
    "optimizer",
    "scheduler",
    "scaler",
    "rng_state",
    "random_states",
];

/// One model that a folder may stand for.
#[derive(Debug)]
pub(super) enum Model {
    /// A file, an index, or the first shard of a GGUF split.
    File(PathBuf),
    /// Numbered shards that no index lists.
    Shards(PathBuf, Vec<String>),
    /// What `model_index.json` lists.
    Components(PathBuf),
}

/// Opens the one model of a folder.
pub(super) fn open(opening: &Opening<'_>, folder: &Path) -> Result<Checkpoint> {
    if folder.join(distributed::METADATA).is_file() {
        return distributed::open(opening, folder);
    }
    match only_model(opening, folder)? {
        Model::File(path) => opening.open(&path),
        Model::Shards(folder, names) => {
            let opened = opening.open_all(&folder, &names, false)?;
            let format = opened.first().map(|first| first.parsed.format);
            let format = format.unwrap_or(Format::ShardIndex);
            Checkpoint::join(format, opened, Vec::new(), &mut opening.budget())
        }
        Model::Components(path) => components::open(opening, folder, &path),
    }
}

/// The one model of a folder.
pub(super) fn only_model(opening: &Opening<'_>, folder: &Path) -> Result<Model> {
    let mut found = models(opening, folder).map_err(|error| error.in_file(folder))?;
    match (found.pop(), found.is_empty()) {
        (Some((_, model)), true) => Ok(model),
        (last, _) => {
            let found = found.into_iter().chain(last).map(|(name, _)| name);
            let error = Error::caller(Caller::NotOneModel {
                found: room::list(found)?,
            });
            Err(error.in_file(folder))
        }
    }
}

/// Every model of a folder, by the name of its first file.
pub(super) fn models(opening: &Opening<'_>, folder: &Path) -> Result<Vec<(String, Model)>> {
    let names = names(opening, folder)?;
    let mut found = Vec::new();
    if names.iter().any(|name| name == components::INDEX) {
        let path = folder.join(components::INDEX);
        room::push(
            &mut found,
            (components::INDEX.to_owned(), Model::Components(path)),
        )?;
    }
    let indexes = indexes(opening, folder, &names)?;
    let of_kind = |pickles: bool| -> Result<Vec<(String, Model)>> {
        let endings = if pickles { PICKLES } else { &[".safetensors"] };
        let of_kind = indexes.iter().filter(|index| index.pickles == pickles);
        let indexes: Vec<&ShardIndex> = room::list(of_kind)?;
        let files = names.iter().filter(|name| {
            let is_one = endings.iter().any(|ending| name.ends_with(ending));
            let beside = pickles && BESIDE.iter().any(|prefix| name.starts_with(prefix));
            let listed = indexes.iter().any(|index| index.shards.contains(*name));
            is_one && !beside && !listed
        });
        let mut found = sets(folder, files)?;
        for index in &indexes {
            let path = folder.join(&index.name);
            room::push(&mut found, (index.name.clone(), Model::File(path)))?;
        }
        Ok(found)
    };
    room::extend(&mut found, of_kind(false)?)?;
    let of_gguf = names.iter().filter(|name| name.ends_with(".gguf"));
    room::extend(&mut found, first_shards(folder, of_gguf)?)?;
    if found.is_empty() {
        found = of_kind(true)?;
    }
    // No two start with the same file.
    found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// The names of a folder's files, sorted.
fn names(opening: &Opening<'_>, folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut budget = opening.budget();
    for entry in std::fs::read_dir(folder).map_err(Error::io)? {
        let entry = entry.map_err(Error::io)?;
        // A name that is not UTF-8 is none of the names that are looked for.
        if let Ok(name) = entry.file_name().into_string() {
            budget.spend_heap(to_u64(name.len()))?;
            budget.grow(&mut names)?;
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// An index among a folder's files.
struct ShardIndex {
    name: String,
    shards: BTreeSet<String>,
    pickles: bool,
}

/// The indexes of a folder, and what they list. One whose name says that it is of no format of ours is left
/// out, broken or not.
fn indexes(opening: &Opening<'_>, folder: &Path, names: &[String]) -> Result<Vec<ShardIndex>> {
    let mut found = Vec::new();
    let is_index = |name: &str| name.contains(".index.") && name.ends_with(".json");
    for name in names.iter().filter(|name| is_index(name)) {
        let path = folder.join(name);
        let known = name.contains(".safetensors.") || name.contains(".bin.");
        let shards = match listed(opening, &path) {
            Ok(shards) => shards,
            Err(error) if known || error.kind() == ErrorKind::Cancelled => {
                return Err(error.in_format(Format::ShardIndex).in_file(&path));
            }
            Err(_) => continue,
        };
        let ends = |ending: &str| shards.iter().any(|shard| shard.ends_with(ending));
        let pickles = match (name.contains(".safetensors."), name.contains(".bin.")) {
            (false, true) => true,
            (false, false) => {
                if !ends(".safetensors") && !ends(".bin") {
                    // The index of another framework: TensorFlow, Flax.
                    continue;
                }
                !ends(".safetensors")
            }
            _ => false,
        };
        let index = ShardIndex {
            name: name.clone(),
            shards,
            pickles,
        };
        room::push(&mut found, index)?;
    }
    Ok(found)
}

/// The file names that an index lists.
fn listed(opening: &Opening<'_>, path: &Path) -> Result<BTreeSet<String>> {
    let file = crate::source::open_regular(path)?;
    let mut budget = opening.budget();
    budget.allow(Limit::HeaderBytes, file.bytes())?;
    let source = crate::source::Source::from_file(
        file,
        crate::source::Access::Read,
        &crate::progress::Job::unwatched(),
    )?;
    let json = Json::parse(source.bytes(), &mut budget)?;
    let map = json.root().get("weight_map");
    let shards = map.into_iter().flat_map(|map| map.items());
    let mut names = BTreeSet::new();
    for name in shards.filter_map(|(_, shard)| shard.as_str()) {
        // Most tensors name a shard that another one named.
        if !names.contains(name) {
            names.insert(budget.join(&[name])?);
        }
    }
    Ok(names)
}

/// Files by themselves, and numbered files by their sets, each complete.
fn sets<'n>(
    folder: &Path,
    names: impl Iterator<Item = &'n String>,
) -> Result<Vec<(String, Model)>> {
    let mut found = Vec::new();
    let mut numbered: BTreeMap<(String, u64), Vec<(u64, String)>> = BTreeMap::new();
    for name in names {
        match Numbered::of(name) {
            Some(Numbered { set, no, count }) => {
                let set = numbered.entry((set, count)).or_default();
                room::push(set, (no, name.clone()))?;
            }
            None => {
                let file = Model::File(folder.join(name));
                room::push(&mut found, (name.clone(), file))?;
            }
        }
    }
    for ((_, count), mut shards) in numbered {
        shards.sort_unstable();
        let Some((_, first)) = shards.first().cloned() else {
            continue;
        };
        let whole = (1..=count)
            .zip(&shards)
            .all(|(no, (found, _))| no == *found);
        if !whole || to_u64(shards.len()) != count {
            let missing = (1..=count).find(|no| shards.iter().all(|(found, _)| found != no));
            let what = format!("shard {} of {count} beside it", missing.unwrap_or_default());
            let error = Error::missing("file", &what);
            return Err(error.at(0).in_file(&folder.join(first)));
        }
        let names = room::list(shards.into_iter().map(|(_, name)| name))?;
        let set = Model::Shards(folder.to_path_buf(), names);
        room::push(&mut found, (first, set))?;
    }
    Ok(found)
}

/// GGUF files without the later shards of splits; without a first shard, the one that is there says what
/// is missing.
fn first_shards<'n>(
    folder: &Path,
    names: impl Iterator<Item = &'n String>,
) -> Result<Vec<(String, Model)>> {
    let mut sets: BTreeMap<(String, u64), (u64, &String)> = BTreeMap::new();
    let mut found: Vec<&String> = Vec::new();
    for name in names {
        match Numbered::of(name) {
            Some(Numbered { set, no, count }) => {
                let first = sets.entry((set, count)).or_insert((no, name));
                *first = (*first).min((no, name));
            }
            None => room::push(&mut found, name)?,
        }
    }
    room::extend(&mut found, sets.into_values().map(|(_, name)| name))?;
    let each = found.into_iter();
    room::list(each.map(|name| (name.clone(), Model::File(folder.join(name)))))
}

/// `STEM-0000N-of-0000M.REST`.
struct Numbered {
    /// `STEM` and `REST`.
    set: String,
    no: u64,
    count: u64,
}

impl Numbered {
    fn of(name: &str) -> Option<Self> {
        let (before, after) = name.rsplit_once("-of-")?;
        let (stem, no) = before.rsplit_once('-')?;
        let digits = after.find(|letter: char| !letter.is_ascii_digit());
        let (count, rest) = after.split_at_checked(digits.unwrap_or(after.len()))?;
        let number = |text: &str| {
            let plain = text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse::<u64>().ok())?
        };
        Some(Self {
            set: format!("{stem}{rest}"),
            no: number(no)?,
            count: number(count)?,
        })
    }
}
