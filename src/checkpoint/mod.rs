//! One or more files, opened as one.

#![forbid(unsafe_code)]

mod components;
mod contained;
mod distributed;
mod folder;
mod layout;
mod links;
mod open;
mod report;
mod scale;
mod shards;
mod split;

pub use contained::Links;
pub(crate) use contained::objection as objection_to_name;
pub use layout::{Content, Region};
pub use open::{OpenOptions, open};
pub use report::{Expected, LoadReport, Mismatch};

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::bytes::to_usize;
#[cfg(feature = "digest")]
use crate::bytes::{Span, to_u64};
use crate::error::{Caller, Error, Format, Result};
use crate::findings::{Finding, Verdict};
use crate::index::{Entry, Index, MetadataView, Names, Repeated};
use crate::limits::Budget;
#[cfg(feature = "digest")]
use crate::progress::Job;
use crate::source::Source;
use crate::tensor::{Owner, Piece, Placed, TensorView};

/// An opened checkpoint. Cheap to clone; clones share the files.
///
/// # Example
/// ```
/// # fn main() -> weighbridge::Result<()> {
/// let model = weighbridge::open("tests/files/gguf/network.gguf")?;
/// println!("{} with {} tensors", model.format(), model.len());
/// for tensor in model.tensors() {
///     println!("{} {} {:?}", tensor.name(), tensor.dtype(), tensor.shape());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Checkpoint(Arc<Inner>);

struct Inner {
    format: Format,
    files: Vec<FileInfo>,
    shards: Vec<Shard>,
    /// Look-up by name among all tensors, counted shard by shard; empty for one shard, whose own index
    /// finds its names.
    names: Names,
    /// For each tensor of the first shard, the pieces that it is joined from; empty for most formats.
    pieces: Vec<Vec<PieceAt>>,
}

/// A piece of a tensor: an entry of another shard, and where it belongs.
struct PieceAt {
    shard: usize,
    position: usize,
    offsets: Vec<usize>,
}

/// One file, parsed.
struct Shard {
    file: Source,
    inflated: Vec<Source>,
    index: Index,
    /// How many storages the shards before it have.
    first_storage: u32,
    /// How many entries are tensors; those behind them are pieces of others.
    visible: usize,
    /// How many tensors the shards before it have.
    first_tensor: u32,
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// The path as it was opened; empty for bytes in memory.
    pub path: PathBuf,
    /// The length in bytes when it was opened.
    pub bytes: u64,
}

impl Checkpoint {
    /// Reads a checkpoint from bytes in memory: a `Vec<u8>`, `&'static [u8]`, `Arc<[u8]>`, …
    ///
    /// # Errors
    /// As [`open`], but for those of opening a file.
    ///
    /// # Example
    /// ```
    /// let bytes = std::fs::read("tests/files/safetensors/network.safetensors").unwrap();
    /// let model = weighbridge::Checkpoint::from_bytes(bytes)?;
    /// assert!(model.len() > 0);
    /// # Ok::<(), weighbridge::Error>(())
    /// ```
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self> {
        OpenOptions::new().from_bytes(bytes)
    }

    /// The format of the files.
    #[must_use]
    pub fn format(&self) -> Format {
        self.0.format
    }

    /// The files, in the order that [`Location::file`](crate::tensor::Location::file) counts.
    #[must_use]
    pub fn files(&self) -> &[FileInfo] {
        &self.0.files
    }

    /// How many tensors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.shards.iter().map(|shard| shard.visible).sum()
    }

    /// Whether there is no tensor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// `Caller` if there is none.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        self.find(name).ok_or_else(|| {
            Error::caller(Caller::NoSuchTensor {
                name: crate::error::shortened(name),
            })
        })
    }

    /// Whether there is a tensor of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Every tensor, in the order in which the files declare them.
    pub fn tensors(&self) -> impl Iterator<Item = TensorView<'_>> {
        let shards = self.0.shards.iter().enumerate();
        shards.flat_map(move |(file, shard)| {
            let entries = shard.index.iter().take(shard.visible);
            entries.map(move |entry| self.view(entry, file))
        })
    }

    /// Every tensor whose name starts with `prefix`, in the order of their names: the layers of one block, the
    /// parts of one module. All of them for an empty prefix.
    ///
    /// # Example
    /// ```
    /// let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
    /// let names: Vec<&str> = model.tensors_under("blocks.0.").iter().map(|t| t.name()).collect();
    /// assert_eq!(names, ["blocks.0.attention.weight", "blocks.0.mlp.bias", "blocks.0.mlp.weight"]);
    /// # Ok::<(), weighbridge::Error>(())
    /// ```
    #[must_use]
    pub fn tensors_under(&self, prefix: &str) -> Vec<TensorView<'_>> {
        let all = self.tensors();
        let mut found: Vec<TensorView<'_>> = all
            .filter(|tensor| tensor.name().starts_with(prefix))
            .collect();
        found.sort_by_key(TensorView::name);
        found
    }

    /// Every tensor, in the order of their bytes: for reading whole files from start to end.
    #[must_use]
    pub fn tensors_by_offset(&self) -> Vec<TensorView<'_>> {
        let shards = self.0.shards.iter().enumerate();
        shards
            .flat_map(|(file, shard)| {
                let entries = shard.index.iter().take(shard.visible);
                let mut entries: Vec<Entry<'_>> = entries.collect();
                let place = |entry: &Entry<'_>| {
                    let span = entry.span();
                    (entry.source(), span.start(), span.end())
                };
                entries.sort_by_key(place);
                let entries = entries.into_iter();
                entries.map(move |entry| self.view(entry, file))
            })
            .collect()
    }

    /// Keys and values of the first file's own metadata: other shards repeat nothing but their place.
    #[must_use]
    pub fn metadata(&self) -> MetadataView<'_> {
        static NONE: std::sync::LazyLock<Index> = std::sync::LazyLock::new(Index::default);
        match self.0.shards.first() {
            Some(shard) => shard.index.metadata().view(shard.file.bytes()),
            None => NONE.metadata().view(&[]),
        }
    }

    /// What a user should know before trusting the files, file by file.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        let shards = self.0.shards.iter();
        shards.flat_map(|shard| shard.index.findings().as_slice())
    }

    /// How many more findings there were than are kept.
    #[must_use]
    pub fn dropped_findings(&self) -> u64 {
        let shards = self.0.shards.iter();
        shards.map(|shard| shard.index.findings().dropped()).sum()
    }

    /// The worst of the findings. [`Verdict::Safe`] says that everything was read and nothing in
    /// it could run code; it says nothing about the values of the tensors.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let shards = self.0.shards.iter();
        let verdicts = shards.map(|shard| shard.index.findings().verdict());
        verdicts.max().unwrap_or_default()
    }

    /// Gives the bytes of a file in order, in pieces, also where they are not in memory.
    #[cfg(feature = "digest")]
    pub(crate) fn for_each_file_piece(
        &self,
        file: usize,
        mut visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let Some(shard) = self.0.shards.get(file) else {
            return Ok(());
        };
        let source = &shard.file;
        if source.is_in_memory() {
            return source.bytes().chunks(Job::STEP_BYTES).try_for_each(visit);
        }
        let mut piece = vec![0; Job::STEP_BYTES];
        let (mut at, length) = (0, source.length());
        while at < length {
            let now = to_u64(piece.len()).min(length.saturating_sub(at));
            let span = Span::new("a piece of the file", at, now, length)?;
            let part = to_usize(now).and_then(|now| piece.get_mut(..now));
            let part = part.unwrap_or_default();
            source.read_into(span, part, &Job::unwatched())?;
            visit(part)?;
            at = at.saturating_add(now);
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Option<TensorView<'_>> {
        if let [shard] = self.0.shards.as_slice() {
            return shard.index.find(name).map(|entry| self.view(entry, 0));
        }
        let shards = &self.0.shards;
        let names = &self.0.names;
        let tensor = names.find(name.as_bytes(), |tensor| name_of(shards, tensor).as_bytes())?;
        let (file, shard, position) = placed(shards, tensor)?;
        Some(self.view(shard.index.entry(position)?, file))
    }

    /// The view of an entry of shard `file`.
    fn view<'a>(&'a self, entry: Entry<'a>, file: usize) -> TensorView<'a> {
        let pieces = match file {
            0 => self.0.pieces.get(entry.position()),
            _ => None,
        };
        let view = self.view_of(entry, file);
        let Some(pieces) = pieces else {
            return view;
        };
        let pieces = pieces.iter().filter_map(|piece| {
            let shard = self.0.shards.get(piece.shard)?;
            let entry = shard.index.entry(piece.position)?;
            Some(Piece {
                offsets: piece.offsets.clone(),
                view: self.view_of(entry, piece.shard),
            })
        });
        view.assembled(pieces.collect())
    }

    /// The view of an entry of shard `file`, by itself.
    fn view_of<'a>(&'a self, entry: Entry<'a>, file: usize) -> TensorView<'a> {
        let member = usize::try_from(entry.source())
            .unwrap_or(usize::MAX)
            .checked_sub(1);
        let shard = self.0.shards.get(file);
        let source = shard.and_then(|shard| match member {
            None => Some(&shard.file),
            Some(member) => shard.inflated.get(member),
        });
        let place = Placed {
            owner: self,
            file,
            in_file: member.is_none(),
        };
        let first_storage = shard.map_or(0, |shard| shard.first_storage);
        let source = source.unwrap_or_else(|| Source::nothing());
        TensorView::new(entry, source, place, first_storage)
    }

    /// A checkpoint of one file.
    fn of_one(opened: Opened) -> Result<Self> {
        // The names of one file are in its own index.
        let mut budget = Budget::default();
        Self::join(opened.parsed.format, vec![opened], Vec::new(), &mut budget)
    }

    /// Joins files that were opened one by one.
    ///
    /// # Errors
    /// `Malformed` if two of them hold a tensor of one name; `Limit` if the heap budget is spent,
    /// `Cancelled` if opening was stopped.
    fn join(
        format: Format,
        opened: Vec<Opened>,
        pieces: Vec<Vec<PieceAt>>,
        budget: &mut Budget,
    ) -> Result<Self> {
        let mut files = Vec::new();
        let mut shards: Vec<Shard> = Vec::new();
        budget.reserve(&mut files, opened.len())?;
        budget.reserve(&mut shards, opened.len())?;
        let mut first_storage: u32 = 0;
        let mut tensors: u32 = 0;
        for one in opened {
            files.push(FileInfo {
                bytes: one.file.length(),
                path: one.path,
            });
            let storages = one.parsed.index.storages();
            let mut inflated = Vec::new();
            budget.reserve(&mut inflated, one.parsed.inflated.len())?;
            inflated.extend(one.parsed.inflated.into_iter().map(Source::owned));
            shards.push(Shard {
                file: one.file,
                inflated,
                index: one.parsed.index,
                first_storage,
                visible: one.visible,
                first_tensor: tensors,
            });
            tensors = u32::try_from(one.visible)
                .ok()
                .and_then(|visible| tensors.checked_add(visible))
                .filter(|&tensors| tensors < u32::MAX)
                .ok_or_else(|| Error::unsupported("a checkpoint of", "2^32 tensors"))?;
            first_storage = first_storage.saturating_add(storages);
        }
        let mut names = Names::default();
        if shards.len() > 1 {
            let entered = Names::enter(tensors, |at| name_of(&shards, at).as_bytes(), budget)?;
            names = entered.map_err(|Repeated(tensor)| {
                let error = Error::duplicate("tensor", name_of(&shards, tensor));
                let file = placed(&shards, tensor).and_then(|(file, ..)| files.get(file));
                let path = file.map(|file: &FileInfo| file.path.clone());
                error.in_format(format).in_file(&path.unwrap_or_default())
            })?;
        }
        Ok(Self(Arc::new(Inner {
            format,
            files,
            shards,
            names,
            pieces,
        })))
    }
}

/// The shard of a tensor, counted over all shards, and the tensor's position there.
fn placed(shards: &[Shard], tensor: u32) -> Option<(usize, &Shard, usize)> {
    let behind = shards.partition_point(|shard| shard.first_tensor <= tensor);
    let file = behind.checked_sub(1)?;
    let shard = shards.get(file)?;
    let position = to_usize(tensor.checked_sub(shard.first_tensor)?.into())?;
    Some((file, shard, position))
}

fn name_of(shards: &[Shard], tensor: u32) -> &str {
    placed(shards, tensor)
        .and_then(|(_, shard, position)| shard.index.entry(position))
        .map_or("", |entry| entry.name())
}

impl Owner for Checkpoint {
    fn shared(&self) -> Arc<dyn Owner> {
        Arc::new(self.clone())
    }

    fn whole(&self, file: usize, position: usize) -> TensorView<'_> {
        let shard = self.0.shards.get(file);
        let entry = shard.and_then(|shard| shard.index.entry(position));
        // A kept tensor names an entry that it was made from: it is always there.
        self.view_of(entry.unwrap_or_else(Index::no_entry), file)
    }
}

/// One file, opened and parsed, on its way into a checkpoint.
struct Opened {
    /// How many entries are tensors, not pieces of others.
    visible: usize,
    path: PathBuf,
    file: Source,
    parsed: crate::formats::Parsed,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Checkpoint({}, {} tensors)",
            self.format(),
            self.len()
        )
    }
}
