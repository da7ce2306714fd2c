//! Folders that `torch.distributed.checkpoint` writes: `.metadata` and `__RANK_N.distcp` files.
//!
//! Every saved value is a whole archive of `torch.save`, somewhere in one of the files. A tensor that was
//! saved whole is an entry of the file that holds it; one that several ranks saved in chunks is joined when
//! its elements are asked for.

use std::collections::BTreeMap;
use std::path::Path;

use super::open::Opening;
use super::{Checkpoint, Opened, PieceAt};
use crate::bytes::{Span, room, to_u64};
use crate::error::{Context, Error, Format, Malformed, Result};
use crate::formats::torch::distributed::{self, Chunk, Plan, Planned, Stored};
use crate::formats::{Parsed, torch};
use crate::index::{Absence, Builder, Draft, Moved};
use crate::source::{Source, open_regular};
use crate::tensor::covers;

/// The file that describes all others.
pub(super) const METADATA: &str = ".metadata";

/// What one archive holds.
enum Item<'p> {
    /// Something else than a tensor.
    Value(&'p str),
    /// A tensor that was saved whole.
    Whole(&'p Planned, &'p Chunk),
    /// A chunk of a tensor, by the places of both.
    Chunk(usize, usize, &'p Chunk),
}

/// Opens the checkpoint in `folder`.
pub(super) fn open(opening: &Opening<'_>, folder: &Path) -> Result<Checkpoint> {
    let path = folder.join(METADATA);
    let in_file = |error: Error| error.in_file(&path);
    let file = open_regular(&path).map_err(in_file)?;
    opening.job.expect(file.bytes());
    let file = opening.source(file).map_err(in_file)?;
    let plan = distributed::read(file.bytes(), &mut opening.budget()).map_err(in_file)?;
    let (parsed, joined) = describe(opening, &plan).map_err(in_file)?;
    opening.refuse_dangerous(&parsed).map_err(in_file)?;
    let mut opened = vec![Opened {
        visible: parsed.index.len(),
        path: path.clone(),
        file,
        parsed,
    }];
    let mut pieces: Vec<Vec<PieceAt>> = Vec::new();
    for &tensor in &joined {
        let mut places = Vec::new();
        let chunks = plan.tensors.get(tensor).map_or(0, |t| t.chunks.len());
        room::reserve(&mut places, chunks).map_err(in_file)?;
        room::push(&mut pieces, places).map_err(in_file)?;
    }
    for (name, items) in by_file(&plan, &joined).map_err(in_file)? {
        let (path, file) = opening
            .contained(folder, name)
            .map_err(|error| in_file(error.at(0)))?;
        opening.job.expect(file.bytes());
        let shard = opened.len();
        let one = opening
            .source(file)
            .and_then(|file| open_file(opening, &path, file, items, shard, &mut pieces));
        let one = one.map_err(|error| error.in_file(&path))?;
        room::push(&mut opened, one)?;
    }
    Checkpoint::join(
        Format::TorchDistributed,
        opened,
        pieces,
        &mut opening.budget(),
    )
}

/// The index of the tensors that have to be joined, and their places in the plan.
fn describe(opening: &Opening<'_>, plan: &Plan) -> Result<(Parsed, Vec<usize>)> {
    let mut budget = opening.budget();
    let mut builder = Builder::new();
    let mut joined = Vec::new();
    for (place, tensor) in plan.tensors.iter().enumerate() {
        let chunks = tensor.chunks.iter();
        let boxes: Vec<(&[usize], &[usize])> = budget
            .collect(chunks.map(|chunk| (chunk.offsets.as_slice(), chunk.sizes.as_slice())))?;
        if !covers(&tensor.shape, &boxes) {
            let found = "with gaps or overlaps";
            let error = Error::unexpected("the chunks", found, "an exact cover of the tensor");
            return Err(error
                .at(0)
                .for_tensor(&tensor.name)
                .in_format(Format::TorchDistributed));
        }
        if is_whole(tensor) {
            continue;
        }
        let shape: Vec<u64> = room::list(tensor.shape.iter().copied().map(to_u64))?;
        let draft = Draft {
            name: &tensor.name,
            dtype: tensor.dtype,
            shape: &shape,
            absent: Some(Absence::InPieces),
            ..Draft::default()
        };
        builder.push(&draft, &mut budget)?;
        room::push(&mut joined, place)?;
    }
    builder.findings(plan.findings.clone());
    let index = builder.finish(&[], &mut budget)?;
    let parsed = Parsed {
        format: Format::TorchDistributed,
        index,
        inflated: Vec::new(),
    };
    Ok((parsed, joined))
}

/// Whether one chunk is the whole tensor; it covers it, so that it must be.
fn is_whole(tensor: &Planned) -> bool {
    matches!(tensor.chunks.as_slice(), [_])
}

/// What the files hold, by their names.
type ByFile<'p> = BTreeMap<&'p str, Vec<(&'p Stored, Item<'p>)>>;

/// What each file holds: values and whole tensors first, in the order of their bytes.
fn by_file<'p>(plan: &'p Plan, joined: &[usize]) -> Result<ByFile<'p>> {
    let mut files: BTreeMap<&str, Vec<(&Stored, Item<'_>)>> = BTreeMap::new();
    let mut add = |stored: &'p Stored, item| {
        let items = files.entry(&stored.file).or_default();
        room::push(items, (stored, item))
    };
    for (name, stored) in &plan.values {
        add(stored, Item::Value(name))?;
    }
    for tensor in plan.tensors.iter().filter(|tensor| is_whole(tensor)) {
        for chunk in &tensor.chunks {
            add(&chunk.stored, Item::Whole(tensor, chunk))?;
        }
    }
    for (place, &tensor) in joined.iter().enumerate() {
        let chunks = plan.tensors.get(tensor).map(|tensor| &tensor.chunks);
        for (number, chunk) in chunks.into_iter().flatten().enumerate() {
            add(&chunk.stored, Item::Chunk(place, number, chunk))?;
        }
    }
    Ok(files)
}

/// Opens one file, and notes where its chunks are.
fn open_file(
    opening: &Opening<'_>,
    path: &Path,
    file: Source,
    items: Vec<(&Stored, Item<'_>)>,
    shard: usize,
    pieces: &mut [Vec<PieceAt>],
) -> Result<Opened> {
    let total = to_u64(file.bytes().len());
    let mut budget = opening.budget();
    let mut builder = Builder::new();
    let mut inflated = Vec::new();
    let mut visible = 0;
    for (stored, item) in items {
        let what = "the bytes of a saved value";
        let span = Span::new(what, stored.offset, stored.length, total)
            .in_format(Format::TorchDistributed)?;
        let bytes = span.slice(file.bytes()).unwrap_or_default();
        let mut parsed = torch::read_zip(bytes, &mut budget)?;
        opening.refuse_dangerous(&parsed)?;
        let (prefix, name, expected) = match item {
            Item::Value(name) => (format!("{name}."), None, None),
            Item::Whole(tensor, chunk) => (String::new(), Some(&*tensor.name), Some(chunk)),
            Item::Chunk(tensor, number, chunk) => {
                (format!("{tensor}/{number}/"), None, Some(chunk))
            }
        };
        if let Some(chunk) = expected {
            check(&parsed, chunk).at(stored.offset)?;
        }
        let position = builder.len();
        let moved = Moved {
            prefix: &prefix,
            name,
            stream: "",
            offset: stored.offset,
            source: 0,
            buffers: u32::try_from(inflated.len()).unwrap_or(u32::MAX),
        };
        builder.absorb(&parsed.index, bytes, moved, &mut budget)?;
        room::extend(&mut inflated, parsed.inflated.drain(..))?;
        match item {
            Item::Chunk(tensor, _, chunk) => {
                if let Some(pieces) = pieces.get_mut(tensor) {
                    let piece = PieceAt {
                        shard,
                        position,
                        offsets: chunk.offsets.clone(),
                    };
                    room::push(pieces, piece)?;
                }
            }
            _ => visible = builder.len(),
        }
    }
    let index = builder.finish(file.bytes(), &mut budget)?;
    Ok(Opened {
        visible,
        path: path.to_path_buf(),
        file,
        parsed: Parsed {
            format: Format::TorchDistributed,
            index,
            inflated,
        },
    })
}

/// An archive of a chunk holds one tensor of the chunk's dimensions.
fn check(parsed: &Parsed, chunk: &Chunk) -> Result<()> {
    let mut entries = parsed.index.iter();
    let (Some(entry), None) = (entries.next(), entries.next()) else {
        let error = Error::malformed(Malformed::Mismatch {
            what: "the number of tensors in the archive of a chunk",
            found: to_u64(parsed.index.len()),
            expected: 1,
        });
        return Err(error.in_format(Format::TorchDistributed));
    };
    if entry.shape() != chunk.sizes.as_slice() {
        let found = format!("{:?}", entry.shape());
        let error = Error::unexpected("the dimensions of a chunk", found, "those of .metadata");
        return Err(error.in_format(Format::TorchDistributed));
    }
    Ok(())
}
