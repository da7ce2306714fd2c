//! The one error type: what is wrong, who can act on it, and where it stands.
//!
//! Kinds are grouped by who can act ([`ErrorKind`]): the environment, the file's author, this
//! library, the caller's limits, the caller's policy, the caller's code. Every error carries what
//! is known of its place: format, file, archive member or stream, tensor name and byte offset. The
//! details are values ([`Malformed`], [`Caller`], …), so nobody has to match on a sentence.

#![forbid(unsafe_code)]

mod caller;
mod format;
mod malformed;
mod shortened;

pub use caller::Caller;
pub use format::Format;
pub use malformed::Malformed;
pub(crate) use shortened::{shortened, shortened_bytes, shortened_display};

use std::fmt;
use std::path::{Path, PathBuf};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

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
    /// The caller, whose callback stopped the work.
    Cancelled,
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
            Self::Cancelled => "cancelled",
        }
    }
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
    #[error("cancelled: {what}, after {done} of {total} bytes")]
    Cancelled {
        what: &'static str,
        done: u64,
        total: u64,
    },
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
        let value = shortened_display(value);
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

    /// The caller's callback stopped `what`.
    #[cold]
    pub(crate) fn cancelled(what: &'static str, done: u64, total: u64) -> Self {
        Self::new(Cause::Cancelled { what, done, total })
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
        let found = shortened_display(found);
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
            Cause::Cancelled { .. } => ErrorKind::Cancelled,
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

    /// What was stopped, how many bytes were done and to do, for [`ErrorKind::Cancelled`].
    #[must_use]
    pub fn as_cancelled(&self) -> Option<(&'static str, u64, u64)> {
        match self.0.cause {
            Cause::Cancelled { what, done, total } => Some((what, done, total)),
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
}
