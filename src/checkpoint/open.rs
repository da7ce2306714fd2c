//! Opening: which file, how its bytes are reached, how much it may ask for.

use std::path::Path;

use super::{Checkpoint, Opened, distributed, folder, shards, split};
use crate::bytes::{to_u64, to_usize};
use crate::error::{Error, Format, Result};
use crate::findings::Verdict;
use crate::formats::{self, Head};
use crate::limits::{Budget, Limits, Strictness};
use crate::progress::Job;
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

    /// Opens a model file; see [`open`].
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Checkpoint> {
        let path = path.as_ref();
        if path.is_dir() && !self.single_file {
            if path.join(distributed::METADATA).is_file() {
                return distributed::open(self, path);
            }
            return self.open(folder::only_model(path)?);
        }
        let in_file = |error: Error| error.in_file(path);
        let source = Source::open(path, self.access).map_err(in_file)?;
        let is_index = matches!(formats::detect(source.bytes()), Ok(Format::ShardIndex));
        if is_index && !self.single_file {
            let opened = shards::open(self, path, &source)?;
            let format = opened.first().map(|first| first.parsed.format);
            return Checkpoint::join(format.unwrap_or(Format::ShardIndex), opened, Vec::new());
        }
        let first = self.read(path, source).map_err(in_file)?;
        let format = first.parsed.format;
        if self.single_file {
            return Checkpoint::join(format, vec![first], Vec::new());
        }
        Checkpoint::join(format, split::with_siblings(self, first)?, Vec::new())
    }

    /// Reads a checkpoint from bytes in memory; see [`Checkpoint::from_bytes`].
    ///
    /// # Errors
    /// As [`open`], but for those of opening a file.
    pub fn from_bytes(
        &self,
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    ) -> Result<Checkpoint> {
        let opened = self.read(Path::new(""), Source::borrowed(bytes))?;
        Checkpoint::join(opened.parsed.format, vec![opened], Vec::new())
    }

    /// Opens one file alone.
    pub(super) fn open_one(&self, path: &Path) -> Result<Opened> {
        open_regular(path)
            .and_then(|file| self.read_file(path, file))
            .map_err(|error| error.in_file(path))
    }

    /// Reads one opened file, the way that the caller chose.
    pub(super) fn read_file(&self, path: &Path, file: OpenedFile) -> Result<Opened> {
        if self.access == Access::Lazy {
            return self.read_lazily(path, Box::new(file));
        }
        let source = Source::from_file(file, self.access, &Job::unwatched())?;
        self.read(path, source)
    }

    /// Reads a checkpoint from a source of the caller's: its index now, with few and exact ranges, each tensor
    /// when it is asked for ([`TensorView::load`](crate::TensorView::load), or a copy). Formats whose index
    /// lies all over the file (archives, pickles) are read whole, now.
    ///
    /// # Errors
    /// As [`open`]; `Io` with whatever the source says.
    pub fn from_reader(&self, reader: impl ReadAt + 'static) -> Result<Checkpoint> {
        let opened = self.read_lazily(Path::new(""), Box::new(reader))?;
        Checkpoint::join(opened.parsed.format, vec![opened], Vec::new())
    }

    /// Reads the start of a file, as far as its index reaches.
    fn read_lazily(&self, path: &Path, reader: Box<dyn ReadAt>) -> Result<Opened> {
        let job = Job::unwatched();
        let length = reader.length().map_err(Error::io)?;
        let mut head: Vec<u8> = Vec::new();
        loop {
            let given = head.len();
            let needed = match formats::head(&head, length, &mut self.budget())? {
                Head::Bytes(needed) => to_usize(needed).ok_or_else(Error::out_of_memory)?,
                Head::Whole => {
                    let length = to_usize(length).ok_or_else(Error::out_of_memory)?;
                    let mut memory = Memory::zeroed(length)?;
                    fill(&*reader, 0, memory.bytes_mut(), &job)?;
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
            fill(&*reader, to_u64(given), rest, &job)?;
        }
        let shown = Sparse::new(length, &head)?;
        let parsed = formats::read(shown.bytes(), &mut self.budget())?;
        drop(shown);
        self.opened(path, Source::lazy(reader, length, head), parsed)
    }

    fn read(&self, path: &Path, file: Source) -> Result<Opened> {
        let mut budget = self.budget();
        let parsed = formats::read(file.bytes(), &mut budget)?;
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

    pub(super) const fn access_in_force(&self) -> Access {
        self.access
    }

    /// Refuses what loading with Python would run, unless the caller asked for it all the same.
    pub(super) fn refuse_dangerous(&self, parsed: &formats::Parsed) -> Result<()> {
        match self.allow_dangerous {
            true => Ok(()),
            false => refuse_dangerous(parsed),
        }
    }

    pub(super) fn budget(&self) -> Budget {
        Budget::new(self.limits, self.strictness)
    }

    pub(super) const fn limits_in_force(&self) -> &Limits {
        &self.limits
    }
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
