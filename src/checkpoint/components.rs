//! Pipelines of diffusers: `model_index.json` and a folder of weights for each component.
//!
//! ```text
//! {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"],
//!  "scheduler": ["diffusers", "PNDMScheduler"], "safety_checker": [null, null]}
//! ```
//!
//! Source: diffusers 0.42 `pipelines/pipeline_utils.py`. A component whose folder holds no weights (a tokenizer,
//! a scheduler) has no tensors; every tensor of another is called `COMPONENT/NAME`.

use std::path::Path;

use super::folder::{self, Model};
use super::open::Opening;
use super::{Checkpoint, Opened};
use crate::bytes::room;
use crate::error::{Error, Format, Result};
use crate::formats::json::Json;
use crate::index::{Builder, Moved};
use crate::limits::Limit;
use crate::progress::Job;
use crate::source::{Access, Source, open_regular};

/// The file that lists the components.
pub(super) const INDEX: &str = "model_index.json";

/// Opens every component that the index at `path` lists.
pub(super) fn open(opening: &Opening<'_>, folder: &Path, path: &Path) -> Result<Checkpoint> {
    let in_index = |error: Error| error.in_format(Format::ShardIndex).at(0).in_file(path);
    let file = open_regular(path).map_err(in_index)?;
    let mut budget = opening.budget();
    budget
        .allow(Limit::HeaderBytes, file.bytes())
        .map_err(in_index)?;
    let text = Source::from_file(file, Access::Read, &Job::unwatched()).map_err(in_index)?;
    let json = Json::parse(text.bytes(), &mut budget).map_err(in_index)?;
    let mut opened = Vec::new();
    for (name, component) in json.root().items() {
        // Settings of the pipeline start with `_` or are no pair; a component that was left out is
        // [null, null].
        let mut pair = component.items();
        let is_pair = matches!((pair.next(), pair.next(), pair.next()), (Some((_, class)), Some(_), None)
            if class.as_str().is_some());
        if name.starts_with('_') || component.is_object() || !is_pair {
            continue;
        }
        let place = opening.contained_folder(folder, name).map_err(in_index)?;
        room::extend(&mut opened, open_one(opening, &place, name)?)?;
    }
    let format = opened.first().map(|first: &Opened| first.parsed.format);
    let format = format.ok_or_else(|| in_index(Error::missing("weights of", "any component")))?;
    Checkpoint::join(format, opened, Vec::new(), &mut opening.budget())
}

/// The files of one component, its name before every tensor's.
fn open_one(opening: &Opening<'_>, folder: &Path, name: &str) -> Result<Vec<Opened>> {
    if folder::models(opening, folder)
        .map_err(|error| error.in_file(folder))?
        .is_empty()
    {
        return Ok(Vec::new());
    }
    let opened = match folder::only_model(opening, folder)? {
        Model::File(path) => opening.open_files(&path)?.1,
        Model::Shards(folder, names) => opening.open_all(&folder, &names, false)?,
        // A pipeline is not a component of another: nothing here calls itself.
        Model::Components(path) => {
            let error = Error::unsupported("a pipeline inside a pipeline:", path.display());
            return Err(error.in_file(folder));
        }
    };
    let prefix = format!("{name}/");
    let mut files = Vec::new();
    for opened in opened {
        room::push(&mut files, renamed(opening, opened, &prefix)?)?;
    }
    Ok(files)
}

fn renamed(opening: &Opening<'_>, mut opened: Opened, prefix: &str) -> Result<Opened> {
    let in_file = |error: Error| error.in_file(&opened.path);
    let mut budget = opening.budget();
    let mut builder = Builder::new();
    let moved = Moved {
        prefix,
        name: None,
        stream: "",
        offset: 0,
        source: 0,
        buffers: 0,
    };
    let bytes = opened.file.bytes();
    builder
        .absorb(&opened.parsed.index, bytes, moved, &mut budget)
        .map_err(in_file)?;
    opened.parsed.index = builder.finish(bytes, &mut budget).map_err(in_file)?;
    Ok(opened)
}
