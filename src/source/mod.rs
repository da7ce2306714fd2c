//! Where the bytes are: mapped from a file, read into memory, the caller's, or read piece by piece.
//!
//! The only `unsafe` of this layer stands in `mapped`: the mapping, and the advice to forget a part of it.

use std::fmt;
use std::path::Path;

use crate::bytes::{Buffer, Span, to_u64, to_usize};
use crate::error::{Caller, Error, Result};
use crate::progress::Job;

mod file;
mod lazy;
#[cfg(feature = "mmap")]
mod mapped;
mod memory;

pub use lazy::ReadAt;

pub(crate) use file::{OpenedFile, open_regular, open_without_links};
pub(crate) use lazy::{Sparse, fill};
pub(crate) use memory::Memory;

/// How the bytes of a file are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Map the file: nothing is read before it is used, nothing is copied. Another process that
    /// truncates the file meanwhile makes a later read end the program with `SIGBUS`.
    #[default]
    Map,
    /// Read the whole file into memory, on several threads: immune to later changes of the file. A file
    /// that changes between opening and the end of reading is an error; one that another program is in the
    /// middle of writing is taken as it stands.
    Read,
    /// Read the index now, and each tensor when it is asked for ([`load`], or a copy): a file that has
    /// changed since is an error. Formats whose index lies all over the file (archives, pickles) are read
    /// whole. Without the `mmap` feature, opening takes as much memory as the file has bytes, for a moment.
    ///
    /// [`load`]: crate::TensorView::load
    Lazy,
}

/// What is going to happen with a tensor's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// They will be read soon: start to read them from the disk.
    WillNeed,
    /// They will be read from start to end: read ahead far.
    Sequential,
    /// They will be read here and there: do not read ahead.
    Random,
    /// They will not be read again soon: this process need not hold them in memory.
    Done,
}

/// The bytes of one file, or of one inflated archive member.
pub struct Source(Kind);

enum Kind {
    #[cfg(feature = "mmap")]
    Mapped(mapped::Mapped),
    Read(Memory),
    Owned(Buffer),
    Borrowed(Box<dyn AsRef<[u8]> + Send + Sync>),
    Lazy(lazy::Lazy),
}

impl Source {
    /// Opens a regular file.
    ///
    /// # Errors
    /// `Io` if it cannot be opened, mapped or read, or is no regular file: a pipe or device is
    /// refused without blocking.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        Self::from_file(open_regular(path)?, access, &Job::unwatched())
    }

    /// Maps or reads an opened file; [`Access::Lazy`] counts as [`Access::Read`] here.
    pub(crate) fn from_file(file: OpenedFile, access: Access, job: &Job<'_>) -> Result<Self> {
        match access {
            #[cfg(feature = "mmap")]
            Access::Map => {
                let mapped = mapped::Mapped::new(file.file())?;
                job.advance(to_u64(mapped.bytes().len()))?;
                Ok(Self(Kind::Mapped(mapped)))
            }
            _ => Ok(Self(Kind::Read(file.read(job)?))),
        }
    }

    /// Takes bytes that the caller owns, or borrows for the whole program.
    #[must_use]
    pub fn borrowed(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Kind::Borrowed(Box::new(bytes)))
    }

    /// Takes bytes that the library made, an inflated member for example.
    #[must_use]
    pub(crate) fn owned(buffer: Buffer) -> Self {
        Self(Kind::Owned(buffer))
    }

    /// Takes memory that was read from a file.
    pub(crate) fn read(memory: Memory) -> Self {
        Self(Kind::Read(memory))
    }

    /// A file whose start is `head`, and whose other bytes are read when they are needed.
    pub(crate) fn lazy(reader: Box<dyn ReadAt>, length: u64, head: Vec<u8>) -> Self {
        Self(Kind::Lazy(lazy::Lazy::new(reader, length, head)))
    }

    /// A source without bytes.
    pub(crate) fn nothing() -> &'static Self {
        static NOTHING: std::sync::LazyLock<Source> = std::sync::LazyLock::new(|| {
            let none: &'static [u8] = &[];
            Source::borrowed(none)
        });
        &NOTHING
    }

    /// All the bytes; of a lazy source its start only, as far as the index reaches.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            #[cfg(feature = "mmap")]
            Kind::Mapped(mapped) => mapped.bytes(),
            Kind::Read(memory) => memory.bytes(),
            Kind::Owned(owned) => owned.bytes(),
            Kind::Borrowed(borrowed) => (**borrowed).as_ref(),
            Kind::Lazy(lazy) => lazy.head(),
        }
    }

    /// How many bytes there are, in memory or not.
    #[must_use]
    pub fn length(&self) -> u64 {
        match &self.0 {
            Kind::Lazy(lazy) => lazy.length(),
            _ => to_u64(self.bytes().len()),
        }
    }

    /// Whether all the bytes can be borrowed.
    #[must_use]
    pub const fn is_in_memory(&self) -> bool {
        !matches!(self.0, Kind::Lazy(_))
    }

    /// Copies the bytes of `span` into `out`, which has its length. Bytes of a mapped file are brought into
    /// memory first, so that one that was truncated is an error.
    ///
    /// # Errors
    /// `Io` if they cannot be read, or the file has changed; `Cancelled` if `job` is stopped.
    pub fn read_into(&self, span: Span, out: &mut [u8], job: &Job<'_>) -> Result<()> {
        if to_usize(span.length()) != Some(out.len()) {
            return Err(Error::caller(Caller::OutputLength {
                unit: "bytes",
                found: to_u64(out.len()),
                expected: span.length(),
            }));
        }
        if let Kind::Lazy(lazy) = &self.0 {
            return fill(lazy.reader(), span.start(), out, job);
        }
        #[cfg(feature = "mmap")]
        if let Kind::Mapped(mapped) = &self.0 {
            return mapped.copy_into(span, out, job);
        }
        let bytes = span.slice(self.bytes()).ok_or_else(shrunk)?;
        let step = Job::STEP_BYTES;
        for (out, bytes) in out.chunks_mut(step).zip(bytes.chunks(step)) {
            out.copy_from_slice(bytes);
            job.advance(to_u64(bytes.len()))?;
        }
        Ok(())
    }

    /// Tells the system what is going to happen with the bytes of `span`. Only mapped files listen.
    ///
    /// # Errors
    /// `Io` if the system refuses.
    pub fn advise(&self, advice: Advice, span: Span) -> Result<()> {
        match &self.0 {
            #[cfg(feature = "mmap")]
            Kind::Mapped(mapped) => mapped.advise(advice, span),
            _ => {
                let _ = (advice, span);
                Ok(())
            }
        }
    }

    /// Reads the bytes of `span` of a mapped file into memory; nothing to do for any other source.
    ///
    /// # Errors
    /// `Io` if the file has become shorter; `Cancelled` if `job` is stopped.
    pub fn prefetch(&self, span: Span, job: &Job<'_>) -> Result<()> {
        match &self.0 {
            #[cfg(feature = "mmap")]
            Kind::Mapped(mapped) => mapped.prefetch(span, job),
            _ => job.advance(span.length()),
        }
    }
}

/// The error of a source that has fewer bytes than it had.
#[cold]
pub(crate) fn shrunk() -> Error {
    let message = "the file has become shorter since it was opened";
    Error::io(std::io::Error::new(
        std::io::ErrorKind::UnexpectedEof,
        message,
    ))
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            #[cfg(feature = "mmap")]
            Kind::Mapped(_) => "mapped",
            Kind::Read(_) => "read",
            Kind::Owned(_) => "owned",
            Kind::Borrowed(_) => "borrowed",
            Kind::Lazy(_) => "lazy",
        };
        write!(formatter, "Source({kind}, {} bytes)", self.length())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri opens no folder")]
    fn a_folder_is_refused() {
        let error = Source::open(Path::new("src"), Access::Map).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Io);
    }
}
