//! Opening: which file, how its bytes are reached, how much it may ask for.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::contained::{contained_folder, open_contained, open_in};
use super::{Checkpoint, Links, Opened, folder, shards, split};
use crate::bytes::{room, to_u64, to_usize};
use crate::error::{Error, Format, Result};
use crate::findings::Verdict;
use crate::formats::{self, Head};
use crate::limits::{Budget, Limit, Limits, Strictness};
use crate::policy::Policy;
use crate::progress::{Job, Progress, Watcher};
use crate::source::{Access, Memory, OpenedFile, ReadAt, Source, Sparse, fill, open_regular};

/// Opens a model of any format, told apart by its content: a file; an index of shards
/// (`model.safetensors.index.json`, `pytorch_model.bin.index.json`); any shard of a split GGUF model; or a
/// folder that holds one model, or a distributed checkpoint of torch.
///
/// Nothing in the file is run. Headers are read and checked, tensors stay where they are: the file
/// is mapped. A file that changes while it is mapped can give wrong numbers, never an access
/// outside it; a file that another process *truncates* while it is mapped ends this process with
/// `SIGBUS` when the missing part is touched. Where that can happen, read the file instead:
/// [`OpenOptions::access`] with [`Access::Read`].
///
/// # Errors
/// `Io` if the file cannot be opened, `Unsupported` if its content is of no format that we read,
/// `Malformed` if it breaks a rule of its format, `Limit` if it needs more than the default
/// [`Limits`] allow, `Refused` if it is a pickle that would run code when loaded with Python.
///
/// # Example
/// ```
/// let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
/// let weight = model.tensors().next().unwrap();
/// let mut values = vec![0.0_f32; weight.elements()];
/// weight.dequantize_into(&mut values)?;
/// # Ok::<(), weighbridge::Error>(())
/// ```
pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint> {
    OpenOptions::new().open(path)
}

/// How to open a checkpoint.
///
/// # Example
/// ```
/// use weighbridge::{Access, Limits, OpenOptions};
/// let model = OpenOptions::new()
///     .access(Access::Read)
///     .limits(Limits::paranoid())
///     .open("tests/files/gguf/network.gguf")?;
/// # Ok::<(), weighbridge::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    access: Access,
    limits: Limits,
    strictness: Strictness,
    allow_dangerous: bool,
    single_file: bool,
    policy: Option<Arc<Policy>>,
    links: Links,
    watcher: Watcher,
}

impl OpenOptions {
    /// The defaults: map the file, default limits, strict, refuse dangerous pickles.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How the bytes of the file are reached.
    #[must_use]
    pub const fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// How much the file may ask for.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether sloppy files are accepted.
    #[must_use]
    pub const fn strictness(mut self, strictness: Strictness) -> Self {
        self.strictness = strictness;
        self
    }

    /// Whether a pickle with the verdict [`Verdict::Dangerous`] is opened all the same. Opening
    /// runs nothing either way; what the file would have run stands in its findings.
    #[must_use]
    pub const fn allow_dangerous(mut self, allow: bool) -> Self {
        self.allow_dangerous = allow;
        self
    }

    /// Whether a shard of a split model is opened alone, without its siblings.
    #[must_use]
    pub const fn single_file(mut self, single: bool) -> Self {
        self.single_file = single;
        self
    }

    /// Which globals a pickle may name; [`Policy::default`] if none is given.
    #[must_use]
    pub fn policy(mut self, policy: impl Into<Arc<Policy>>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// Where a link may lead that stands under a name from inside a file (the shards of an index, the
    /// siblings of a split). The path that is opened may be any link.
    #[must_use]
    pub const fn links(mut self, links: Links) -> Self {
        self.links = links;
        self
    }

    /// Who watches the opening, and can stop it: `done` and `total` count the bytes of the files that are
    /// opened, whether they are mapped or read. What is done with the tensors later is watched by a
    /// [`Job`](crate::Job) of its own.
    ///
    /// # Example
    /// ```
    /// use std::ops::ControlFlow;
    /// let options = weighbridge::OpenOptions::new().progress(|progress| {
    ///     println!("{} of {} bytes", progress.done, progress.total);
    ///     ControlFlow::Continue(())
    /// });
    /// let model = options.open("tests/files/safetensors/sharded")?;
    /// # assert!(model.len() > 0);
    /// # Ok::<(), weighbridge::Error>(())
    /// ```
    #[must_use]
    pub fn progress(
        mut self,
        callback: impl Fn(Progress) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        self.watcher = Watcher::new(callback);
        self
    }

    /// Opens a model file; see [`open`].
    ///
    /// # Errors
    /// As [`open`]; `Cancelled` if the [`progress`](Self::progress) callback says so.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Checkpoint> {
        Opening::new(self).open(path.as_ref())
    }

    /// Reads a checkpoint from bytes in memory; see [`Checkpoint::from_bytes`].
    ///
    /// # Errors
    /// As [`open`], but for those of opening a file.
    pub fn from_bytes(
        &self,
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    ) -> Result<Checkpoint> {
        let opening = Opening::new(self);
        Checkpoint::of_one(opening.read(Path::new(""), Source::borrowed(bytes))?)
    }

    /// Reads a checkpoint from a source of the caller's: its index now, with few and exact ranges, each tensor
    /// when it is asked for ([`TensorView::load`](crate::TensorView::load), or a copy). Formats whose index
    /// lies all over the file (archives, pickles) are read whole, now.
    ///
    /// # Errors
    /// As [`open`]; `Io` with whatever the source says.
    pub fn from_reader(&self, reader: impl ReadAt + 'static) -> Result<Checkpoint> {
        let opening = Opening::new(self);
        Checkpoint::of_one(opening.read_lazily(Path::new(""), Box::new(reader))?)
    }
}

/// One call of `open`: its options, and how far it is.
pub(super) struct Opening<'a> {
    options: &'a OpenOptions,
    pub(super) job: Arc<Job<'static>>,
}

impl<'a> Opening<'a> {
    fn new(options: &'a OpenOptions) -> Self {
        let job = Arc::new(options.watcher.job("opening"));
        Self { options, job }
    }

    pub(super) fn open(&self, path: &Path) -> Result<Checkpoint> {
        let file = match open_regular(path) {
            // Asked only now: most paths are files, and each question about a path costs.
            Err(_) if !self.options.single_file && path.is_dir() => {
                return folder::open(self, path);
            }
            file => file.map_err(|error| error.in_file(path))?,
        };
        let (format, opened) = self.files_of(path, file)?;
        Checkpoint::join(format, opened, Vec::new(), &mut self.budget())
    }

    /// Opens a file, or the files that an index lists, or all shards of a split.
    pub(super) fn open_files(&self, path: &Path) -> Result<(Format, Vec<Opened>)> {
        let file = open_regular(path).map_err(|error| error.in_file(path))?;
        self.files_of(path, file)
    }

    /// The file that was opened at `path`, and those that it leads to.
    fn files_of(&self, path: &Path, file: OpenedFile) -> Result<(Format, Vec<Opened>)> {
        let single = self.options.single_file;
        let in_file = |error: Error| error.in_file(path);
        if !single && is_shard_index(&file).map_err(in_file)? {
            let opened = shards::open(self, path, file)?;
            let format = opened.first().map(|first| first.parsed.format);
            return Ok((format.unwrap_or(Format::ShardIndex), opened));
        }
        self.job.expect(file.bytes());
        let first = self.read_file(path, file).map_err(in_file)?;
        let format = first.parsed.format;
        let opened = match single {
            true => vec![first],
            false => split::with_siblings(self, first)?,
        };
        Ok((format, opened))
    }

    /// Opens several files of one folder, at the same time; the result is in their order, and so is the
    /// error that is reported when several fail.
    pub(super) fn open_all(
        &self,
        folder: &Path,
        names: &[impl AsRef<str> + Sync],
        from_inside: bool,
    ) -> Result<Vec<Opened>> {
        let sizes = names
            .iter()
            .filter_map(|name| std::fs::metadata(folder.join(name.as_ref())).ok());
        self.job
            .expect(sizes.fold(0, |sum, file| sum.saturating_add(file.len())));
        let open_one = |name: &str| {
            let links = self.options.links;
            let (path, file) = if from_inside {
                open_contained(folder, name, links)?
            } else {
                open_in(folder, name, links)?
            };
            self.read_file(&path, file)
                .map_err(|error| error.in_file(&path))
        };
        let mut places = room::list(names.iter().map(|_| None))?;
        let open_into = |(place, name): (&mut Option<Result<Opened>>, &_)| {
            *place = Some(open_one(AsRef::<str>::as_ref(name)));
        };
        #[cfg(feature = "rayon")]
        {
            use rayon::prelude::*;
            places.par_iter_mut().zip(names).for_each(open_into);
        }
        #[cfg(not(feature = "rayon"))]
        places.iter_mut().zip(names).for_each(open_into);
        let mut opened = Vec::new();
        // And what the caller adds.
        room::reserve(&mut opened, names.len().saturating_add(1))?;
        for one in places.into_iter().flatten() {
            opened.push(one?);
        }
        // Each file kept to the limit by itself; so must all of them.
        let tensors = opened.iter().map(|one| to_u64(one.parsed.index.len()));
        let tensors = tensors.fold(0, u64::saturating_add);
        self.budget().allow(Limit::Tensors, tensors)?;
        Ok(opened)
    }

    /// Reads one opened file, the way that the caller chose.
    pub(super) fn read_file(&self, path: &Path, file: OpenedFile) -> Result<Opened> {
        if self.options.access == Access::Lazy {
            return self.read_lazily(path, Box::new(file));
        }
        self.read(path, self.source(file)?)
    }

    /// All the bytes of a file.
    pub(super) fn source(&self, file: OpenedFile) -> Result<Source> {
        Source::from_file(file, self.options.access, &self.job)
    }

    /// Opens one file of `folder`, named inside another file.
    pub(super) fn contained(&self, folder: &Path, name: &str) -> Result<(PathBuf, OpenedFile)> {
        open_contained(folder, name, self.options.links)
    }

    /// The folder `name` of `folder`, named inside a file: a folder, no link.
    pub(super) fn contained_folder(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        contained_folder(folder, name, self.options.links)
    }

    /// Reads the start of a file, as far as its index reaches.
    fn read_lazily(&self, path: &Path, reader: Box<dyn ReadAt>) -> Result<Opened> {
        let length = reader.length().map_err(Error::io)?;
        let mut head: Vec<u8> = Vec::new();
        loop {
            let given = head.len();
            let needed = match formats::head(&head, length, &mut self.budget())? {
                Head::Bytes(needed) => to_usize(needed).ok_or_else(Error::out_of_memory)?,
                Head::Whole => {
                    let length = to_usize(length).ok_or_else(Error::out_of_memory)?;
                    let mut memory = Memory::zeroed(length)?;
                    fill(&*reader, 0, memory.bytes_mut(), &self.job)?;
                    return self.read(path, Source::read(memory));
                }
            };
            if needed <= given {
                break;
            }
            head.try_reserve_exact(needed.saturating_sub(given))
                .map_err(|_| Error::out_of_memory())?;
            head.resize(needed, 0);
            let rest = head.get_mut(given..).unwrap_or_default();
            fill(&*reader, to_u64(given), rest, &self.job)?;
        }
        let shown = Sparse::new(length, &head)?;
        let parsed = formats::read(shown.bytes(), &mut self.budget())?;
        drop(shown);
        self.job
            .advance(length.saturating_sub(to_u64(head.len())))?;
        self.opened(path, Source::lazy(reader, length, head), parsed)
    }

    fn read(&self, path: &Path, file: Source) -> Result<Opened> {
        let parsed = formats::read(file.bytes(), &mut self.budget())?;
        self.opened(path, file, parsed)
    }

    fn opened(&self, path: &Path, file: Source, parsed: formats::Parsed) -> Result<Opened> {
        self.refuse_dangerous(&parsed)?;
        Ok(Opened {
            visible: parsed.index.len(),
            path: path.to_path_buf(),
            file,
            parsed,
        })
    }

    /// Refuses what loading with Python would run, unless the caller asked for it all the same.
    pub(super) fn refuse_dangerous(&self, parsed: &formats::Parsed) -> Result<()> {
        match self.options.allow_dangerous {
            true => Ok(()),
            false => refuse_dangerous(parsed),
        }
    }

    /// A full budget, which ends when the opening is stopped.
    pub(super) fn budget(&self) -> Budget {
        let options = self.options;
        let budget = Budget::new(options.limits, options.strictness).watched(&self.job);
        match &options.policy {
            Some(policy) => budget.with_policy(Arc::clone(policy)),
            None => budget,
        }
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.options.limits
    }
}

/// Whether a file names shards; only its start is read.
fn is_shard_index(file: &OpenedFile) -> Result<bool> {
    let length = file.bytes().min(formats::FIRST_BYTES);
    let mut start = vec![0; to_usize(length).unwrap_or_default()];
    file.read_exact_at(&mut start, 0).map_err(Error::io)?;
    Ok(matches!(
        formats::format_of_start(&start),
        Ok(Format::ShardIndex)
    ))
}

fn refuse_dangerous(parsed: &formats::Parsed) -> Result<()> {
    let findings = parsed.index.findings();
    if findings.verdict() != Verdict::Dangerous {
        return Ok(());
    }
    let worst = findings
        .as_slice()
        .iter()
        .find(|finding| finding.severity == crate::findings::Severity::Verdict(Verdict::Dangerous));
    let reason = worst.map_or("loading it would run code", |finding| &finding.message);
    let error = Error::refused(reason).in_format(parsed.format);
    Err(match worst.and_then(|finding| finding.offset) {
        Some(offset) => error.at(offset),
        None => error,
    })
}
