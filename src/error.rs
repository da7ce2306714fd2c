//! The one error type: what is wrong, who can act on it, and where it stands.
//!
//! Kinds are grouped by who can act ([`ErrorKind`]): the environment, the file's author, this
//! library, the caller's limits, the caller's policy, the caller's code. Every error carries what
//! is known of its place: format, file, archive member or stream, tensor name and byte offset. The
//! details are values ([`Malformed`], [`Caller`], …), so nobody has to match on a sentence.

#![forbid(unsafe_code)]

use std::fmt;
use std::path::{Path, PathBuf};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A file format that the library reads, or a layer of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Format {
    /// A `.safetensors` file: JSON header, then raw tensors.
    Safetensors,
    /// A GGUF file, version 1 to 3, either byte order.
    Gguf,
    /// A zip archive written by `torch.save` (torch 1.6 and later).
    TorchZip,
    /// The stream that `torch.save` wrote from 0.1.10 to 1.5.
    TorchLegacy,
    /// The tar archive that `torch.save` wrote before 0.1.10.
    TorchTar,
    /// A zip archive written by `torch.jit.save`.
    TorchScript,
    /// A zip archive written by `torch.package`.
    TorchPackage,
    /// A zip archive written by `torch.export.save` (PT2).
    TorchExport,
    /// A folder written by `torch.distributed.checkpoint`.
    TorchDistributed,
    /// A bare Python pickle.
    Pickle,
    /// A zip archive, as the layer below a format.
    Zip,
    /// A tar archive, as the layer below a format.
    Tar,
    /// A `*.index.json` that names the shards of a checkpoint.
    ShardIndex,
}

impl Format {
    /// The name used in errors and in `inspect --json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Gguf => "gguf",
            Self::TorchZip => "torch-zip",
            Self::TorchLegacy => "torch-legacy",
            Self::TorchTar => "torch-tar",
            Self::TorchScript => "torchscript",
            Self::TorchPackage => "torch-package",
            Self::TorchExport => "torch-export",
            Self::TorchDistributed => "torch-distributed",
            Self::Pickle => "pickle",
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::ShardIndex => "shard-index",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Who can act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The environment: the file cannot be opened or read, memory is exhausted.
    Io,
    /// The file's author: the bytes break a rule of their format.
    Malformed,
    /// This library: the file may be right, but we cannot read it.
    Unsupported,
    /// The caller, who may raise a limit.
    Limit,
    /// The caller's policy: the file is readable, and refused.
    Refused,
    /// The caller's code: never caused by the content of a file.
    Caller,
}

impl ErrorKind {
    /// The name used in `--json` output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::Limit => "limit",
            Self::Refused => "refused",
            Self::Caller => "caller",
        }
    }
}

/// How a file breaks the rules of its format, with the offending values.
///
/// `what` names the field or part in the words of the format's specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A part reaches past the end of what holds it.
    #[error("{what}: {needed} bytes needed, {available} left")]
    Truncated {
        /// The part that is cut off.
        what: &'static str,
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that are there.
        available: u64,
    },
    /// Bytes follow the last part of the file.
    #[error("{count} bytes follow {what}")]
    TrailingBytes {
        /// The part that should be last.
        what: &'static str,
        /// How many bytes follow it.
        count: u64,
    },
    /// Text that must be UTF-8 is not.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// The text.
        what: &'static str,
    },
    /// A name, key or field stands twice.
    #[error("duplicate {what} {name:?}")]
    Duplicate {
        /// What is repeated: `tensor`, `key`, `member`, …
        what: &'static str,
        /// The repeated name, shortened to 200 characters.
        name: String,
    },
    /// A required part is absent.
    #[error("missing {what} {name:?}")]
    Missing {
        /// The kind of the part.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A number is outside its range.
    #[error("{what} is {value}, expected {expected}")]
    OutOfRange {
        /// The number's name.
        what: &'static str,
        /// The number in the file.
        value: i128,
        /// The allowed range, in words.
        expected: &'static str,
    },
    /// Something other than what the format asks for.
    #[error("{what} is {found}, expected {expected}")]
    Unexpected {
        /// The field or part.
        what: &'static str,
        /// What stands there, printable and shortened.
        found: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// Text does not follow its grammar.
    #[error("{what} is invalid: {reason}")]
    Invalid {
        /// The text.
        what: &'static str,
        /// What its parser says.
        reason: String,
    },
    /// Two statements of one file disagree on a size or count.
    #[error("{what} is {found}, expected {expected}")]
    Mismatch {
        /// What is stated twice.
        what: &'static str,
        /// What one place says.
        found: u64,
        /// What follows from the others.
        expected: u64,
    },
    /// A size cannot be represented: it exceeds 2^63 − 1.
    #[error("{what} overflows 63 bits")]
    Overflow {
        /// The size.
        what: &'static str,
    },
    /// A row or tensor does not divide into whole blocks.
    #[error("{elements} elements is not a multiple of block length {block} ({dtype})")]
    PartialBlock {
        /// Elements of the row (or tensor).
        elements: u64,
        /// Elements of one block.
        block: u64,
        /// The element type.
        dtype: &'static str,
    },
    /// Bytes between two parts belong to nothing.
    #[error("{count} bytes before {what} belong to nothing")]
    Gap {
        /// The part after the gap.
        what: &'static str,
        /// The size of the gap.
        count: u64,
    },
    /// Two parts share bytes.
    #[error("{what} overlaps {other:?} by {count} bytes")]
    Overlap {
        /// The later part.
        what: &'static str,
        /// The earlier part's name.
        other: String,
        /// Shared bytes.
        count: u64,
    },
}

impl Malformed {
    /// A stable machine-readable name of the broken rule.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "truncated",
            Self::TrailingBytes { .. } => "trailing-bytes",
            Self::NotUtf8 { .. } => "not-utf8",
            Self::Duplicate { .. } => "duplicate",
            Self::Missing { .. } => "missing",
            Self::OutOfRange { .. } => "out-of-range",
            Self::Unexpected { .. } => "unexpected",
            Self::Invalid { .. } => "invalid",
            Self::Mismatch { .. } => "mismatch",
            Self::Overflow { .. } => "overflow",
            Self::PartialBlock { .. } => "partial-block",
            Self::Gap { .. } => "gap",
            Self::Overlap { .. } => "overlap",
        }
    }
}

/// What a caller asked for that cannot be given. Never caused by the content of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Caller {
    /// The checkpoint has no tensor of that name.
    #[error("no tensor {name:?}")]
    NoSuchTensor {
        /// The name asked for.
        name: String,
    },
    /// An output slice has another length than the tensor needs.
    #[error("the output holds {found} {unit}, the tensor has {expected}")]
    OutputLength {
        /// `elements` or `bytes`.
        unit: &'static str,
        /// Length of the slice given.
        found: u64,
        /// Length needed.
        expected: u64,
    },
    /// A typed view of another type than the tensor's.
    #[error("the tensor holds {found}, not {wanted}")]
    DType {
        /// The tensor's type.
        found: String,
        /// The type asked for.
        wanted: &'static str,
    },
    /// The tensor's bytes do not start at a multiple of the type's alignment.
    #[error("the tensor's bytes are not aligned to {alignment}")]
    Unaligned {
        /// Alignment of the type, in bytes.
        alignment: u64,
    },
    /// The elements do not lie side by side in row-major order.
    #[error("the tensor is strided; copy it with copy_into or dequantize_into")]
    Strided,
    /// The bytes of the file are in the other byte order.
    #[error("the tensor's bytes are big-endian; copy it with copy_into or dequantize_into")]
    ByteOrder,
    /// The values are the bytes with other signs (a conjugated or negated view of torch).
    #[error("the tensor is conjugated or negated; copy it with copy_into or dequantize_into")]
    Signs,
    /// The tensor has no bytes in the file (a meta tensor, for example).
    #[error("the tensor has no data: {reason}")]
    NoData {
        /// Why there are none.
        reason: &'static str,
    },
    /// An axis or range outside the tensor's shape.
    #[error("range {start}..{end} on axis {axis} is outside the shape {shape:?}")]
    Range {
        /// The axis, 0 is outermost.
        axis: usize,
        /// Start of the range.
        start: usize,
        /// End of the range, exclusive.
        end: usize,
        /// The tensor's shape.
        shape: Vec<usize>,
    },
    /// A range that would cut a block of a quantized type.
    #[error("range {start}..{end} cuts a block of {block} elements ({dtype})")]
    CutsBlock {
        /// Start of the range.
        start: usize,
        /// End of the range, exclusive.
        end: usize,
        /// Elements of one block.
        block: usize,
        /// The element type.
        dtype: &'static str,
    },
    /// A folder that does not hold exactly one model.
    #[error("the folder holds {} models ({}); name one file", found.len(), found.join(", "))]
    NotOneModel {
        /// The files that could be meant.
        found: Vec<String>,
    },
    /// A tensor of another shape than the caller expects.
    #[error("the shape is {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor's shape.
        found: Vec<usize>,
        /// The shape asked for.
        expected: Vec<usize>,
    },
    /// A metadata value of another type than the accessor's.
    #[error("metadata {key:?} is {found}, not {wanted}")]
    ValueType {
        /// The key.
        key: String,
        /// The type in the file.
        found: &'static str,
        /// The type asked for.
        wanted: &'static str,
    },
    /// Another misuse.
    #[error("{0}")]
    Misuse(&'static str),
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Io(std::io::Error),
    #[error(transparent)]
    Malformed(Malformed),
    #[error("not supported: {what} {value}")]
    Unsupported { what: &'static str, value: String },
    #[error("{limit} is limited to {allowed}, {needed} needed")]
    Limit {
        limit: &'static str,
        needed: u64,
        allowed: u64,
    },
    #[error("refused: {0}")]
    Refused(String),
    #[error(transparent)]
    Caller(Caller),
}

#[derive(Debug)]
struct Inner {
    cause: Cause,
    format: Option<Format>,
    file: Option<PathBuf>,
    member: Option<String>,
    tensor: Option<String>,
    offset: Option<u64>,
}

/// What went wrong, and where. One word wide.
///
/// # Example
/// ```
/// let error = weighbridge::Checkpoint::from_bytes(&b"GGUF\x09\0\0\0"[..]).unwrap_err();
/// assert_eq!(error.kind(), weighbridge::ErrorKind::Unsupported);
/// assert_eq!(error.offset(), Some(4));
/// assert_eq!(error.to_string(), "gguf: at byte 0x4: not supported: version 9");
/// ```
pub struct Error(Box<Inner>);

impl Error {
    #[cold]
    fn new(cause: Cause) -> Self {
        Self(Box::new(Inner {
            cause,
            format: None,
            file: None,
            member: None,
            tensor: None,
            offset: None,
        }))
    }

    /// The environment failed.
    #[cold]
    pub(crate) fn io(error: std::io::Error) -> Self {
        Self::new(Cause::Io(error))
    }

    /// The file breaks a rule.
    #[cold]
    pub(crate) fn malformed(malformed: Malformed) -> Self {
        Self::new(Cause::Malformed(malformed))
    }

    /// The file may be right, but `what` with this `value` is not read here.
    #[cold]
    pub(crate) fn unsupported(what: &'static str, value: impl fmt::Display) -> Self {
        let value = shortened(&value.to_string());
        Self::new(Cause::Unsupported { what, value })
    }

    /// A limit of the caller's is too low for this file.
    #[cold]
    pub(crate) fn limit(limit: &'static str, needed: u64, allowed: u64) -> Self {
        Self::new(Cause::Limit {
            limit,
            needed,
            allowed,
        })
    }

    /// The policy refuses a readable file.
    #[cold]
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::new(Cause::Refused(reason.into()))
    }

    /// The caller asked for what cannot be given.
    #[cold]
    pub(crate) fn caller(caller: Caller) -> Self {
        Self::new(Cause::Caller(caller))
    }

    /// Memory for `bytes` could not be had.
    #[cold]
    pub(crate) fn out_of_memory() -> Self {
        Self::io(std::io::ErrorKind::OutOfMemory.into())
    }

    /// A shorthand for [`Malformed::Unexpected`].
    #[cold]
    pub(crate) fn unexpected(
        what: &'static str,
        found: impl fmt::Display,
        expected: &'static str,
    ) -> Self {
        let found = shortened(&found.to_string());
        Self::malformed(Malformed::Unexpected {
            what,
            found,
            expected,
        })
    }

    /// A shorthand for [`Malformed::Duplicate`].
    #[cold]
    pub(crate) fn duplicate(what: &'static str, name: &str) -> Self {
        let name = shortened(name);
        Self::malformed(Malformed::Duplicate { what, name })
    }

    /// A shorthand for [`Malformed::Missing`].
    #[cold]
    pub(crate) fn missing(what: &'static str, name: &str) -> Self {
        let name = shortened(name);
        Self::malformed(Malformed::Missing { what, name })
    }

    /// Adds the format, unless an inner layer already named one.
    pub(crate) fn in_format(mut self, format: Format) -> Self {
        self.0.format.get_or_insert(format);
        self
    }

    /// Adds the byte offset, unless an inner layer already knew a nearer one.
    pub(crate) fn at(mut self, offset: u64) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// Adds the tensor's name, shortened to 200 characters.
    pub(crate) fn for_tensor(mut self, name: &str) -> Self {
        self.0.tensor.get_or_insert_with(|| shortened(name));
        self
    }

    /// Adds the archive member or pickle stream.
    pub(crate) fn in_member(mut self, member: &str) -> Self {
        self.0.member.get_or_insert_with(|| shortened(member));
        self
    }

    /// Adds the file's path.
    pub(crate) fn in_file(mut self, path: &Path) -> Self {
        self.0.file.get_or_insert_with(|| path.to_path_buf());
        self
    }

    /// Who can act on it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &self.0.cause {
            Cause::Io(_) => ErrorKind::Io,
            Cause::Malformed(_) => ErrorKind::Malformed,
            Cause::Unsupported { .. } => ErrorKind::Unsupported,
            Cause::Limit { .. } => ErrorKind::Limit,
            Cause::Refused(_) => ErrorKind::Refused,
            Cause::Caller(_) => ErrorKind::Caller,
        }
    }

    /// The format that was being read, where that was known.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        self.0.format
    }

    /// The byte offset of the fault: in the file, or in [`member`](Self::member) where one is named.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The tensor concerned, shortened to 200 characters.
    #[must_use]
    pub fn tensor(&self) -> Option<&str> {
        self.0.tensor.as_deref()
    }

    /// The archive member or pickle stream concerned.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.0.member.as_deref()
    }

    /// The file concerned, where a checkpoint has several or the file could not be opened.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// The broken rule and its values, for [`ErrorKind::Malformed`].
    #[must_use]
    pub fn as_malformed(&self) -> Option<&Malformed> {
        match &self.0.cause {
            Cause::Malformed(malformed) => Some(malformed),
            _ => None,
        }
    }

    /// The misuse and its values, for [`ErrorKind::Caller`].
    #[must_use]
    pub fn as_caller(&self) -> Option<&Caller> {
        match &self.0.cause {
            Cause::Caller(caller) => Some(caller),
            _ => None,
        }
    }

    /// The limit's field name, the amount needed and the amount allowed, for [`ErrorKind::Limit`].
    #[must_use]
    pub fn as_limit(&self) -> Option<(&'static str, u64, u64)> {
        match &self.0.cause {
            Cause::Limit {
                limit,
                needed,
                allowed,
            } => Some((limit, *needed, *allowed)),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(file) = &inner.file {
            write!(formatter, "{}: ", file.display().to_string().escape_debug())?;
        }
        if let Some(format) = inner.format {
            write!(formatter, "{format}: ")?;
        }
        if let Some(member) = &inner.member {
            write!(formatter, "in {member:?}: ")?;
        }
        match (&inner.tensor, inner.offset) {
            (Some(tensor), Some(offset)) => {
                write!(formatter, "tensor {tensor:?} at byte {offset:#x}: ")?;
            }
            (Some(tensor), None) => write!(formatter, "tensor {tensor:?}: ")?,
            (None, Some(offset)) => write!(formatter, "at byte {offset:#x}: ")?,
            (None, None) => {}
        }
        write!(formatter, "{}", inner.cause)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}({self})", self.kind())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.cause {
            Cause::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Adds a place to the error of a `Result`.
pub(crate) trait Context<T> {
    /// See [`Error::at`].
    fn at(self, offset: u64) -> Result<T>;
    /// See [`Error::for_tensor`].
    fn for_tensor(self, name: &str) -> Result<T>;
    /// See [`Error::in_format`].
    fn in_format(self, format: Format) -> Result<T>;
    /// See [`Error::in_member`].
    fn in_member(self, member: &str) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn at(self, offset: u64) -> Self {
        self.map_err(|error| error.at(offset))
    }
    fn for_tensor(self, name: &str) -> Self {
        self.map_err(|error| error.for_tensor(name))
    }
    fn in_format(self, format: Format) -> Self {
        self.map_err(|error| error.in_format(format))
    }
    fn in_member(self, member: &str) -> Self {
        self.map_err(|error| error.in_member(member))
    }
}

/// At most 200 characters of `text`: a file must not be able to fill a log through an error.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn display_is_one_line_with_every_place() {
        let error = Error::malformed(Malformed::PartialBlock {
            elements: 4000,
            block: 256,
            dtype: "Q4_K",
        })
        .in_format(Format::Gguf)
        .for_tensor("blk.0.attn_q.weight")
        .at(0x1a40);
        assert_eq!(
            error.to_string(),
            "gguf: tensor \"blk.0.attn_q.weight\" at byte 0x1a40: \
             4000 elements is not a multiple of block length 256 (Q4_K)"
        );
    }

    #[test]
    fn inner_place_wins_over_outer() {
        let error = Error::unsupported("version", 9)
            .at(4)
            .at(100)
            .in_format(Format::Gguf);
        assert_eq!(error.offset(), Some(4));
    }

    #[test]
    fn long_names_are_shortened_on_a_character_boundary() {
        let name = "é".repeat(500);
        assert_eq!(shortened(&name).chars().count(), 201);
    }
}
