//! Sources that are read piece by piece.

use std::fs::File;
use std::io;

#[cfg(feature = "rayon")]
use rayon::prelude::*;

use super::Memory;
use crate::bytes::{to_u64, to_usize};
use crate::error::{Error, Result};
use crate::progress::Job;

/// A source of the caller's: an object store, an encrypted file, a file system that must not be mapped.
///
/// The index of a safetensors file is read with two calls, that of a GGUF file with a few; then every
/// tensor, or part of one, with exactly its range. Calls may come from several threads at once.
///
/// # Example
/// ```
/// use std::io;
/// use weighbridge::{OpenOptions, ReadAt};
///
/// /// Bytes behind a key, for the sake of the example.
/// struct Hidden(Vec<u8>);
///
/// impl ReadAt for Hidden {
///     fn length(&self) -> io::Result<u64> {
///         Ok(self.0.len() as u64)
///     }
///     fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
///         let from = usize::try_from(offset).map_err(io::Error::other)?;
///         let part = self.0.get(from..).and_then(|rest| rest.get(..out.len()));
///         let part = part.ok_or(io::ErrorKind::UnexpectedEof)?;
///         for (out, byte) in out.iter_mut().zip(part) {
///             *out = byte ^ 0x5a;
///         }
///         Ok(())
///     }
/// }
///
/// let mut file = std::fs::read("tests/files/safetensors/network.safetensors").unwrap();
/// file.iter_mut().for_each(|byte| *byte ^= 0x5a);
/// let model = OpenOptions::new().from_reader(Hidden(file))?;
/// let weight = model.tensor("embed.weight")?.load()?;
/// assert_eq!(weight.bytes()?.len() as u64, weight.byte_length());
/// # Ok::<(), weighbridge::Error>(())
/// ```
pub trait ReadAt: Send + Sync {
    /// How many bytes there are.
    ///
    /// # Errors
    /// Whatever keeps the source from telling.
    fn length(&self) -> io::Result<u64>;

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Whatever keeps the source from filling all of `out`.
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()>;

    /// The most bytes to ask for in one call; longer ranges are cut. Work can be stopped between calls.
    fn request_bytes(&self) -> usize {
        16 << 20
    }
}

impl ReadAt for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, out, offset)
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut out: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !out.is_empty() {
            let read = std::os::windows::fs::FileExt::seek_read(self, out, offset)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            out = out.get_mut(read..).unwrap_or_default();
            offset = offset.saturating_add(to_u64(read));
        }
        Ok(())
    }

    #[cfg(not(any(unix, windows)))]
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        // A handle of its own would share the position all the same: one reader at a time.
        static ONE_READER: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _only = ONE_READER.lock();
        let mut file = self;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(out)
    }

    fn request_bytes(&self) -> usize {
        Job::STEP_BYTES
    }
}

/// The start of a source, and the way to its other bytes.
pub(super) struct Lazy {
    reader: Box<dyn ReadAt>,
    length: u64,
    head: Vec<u8>,
}

impl Lazy {
    pub(super) fn new(reader: Box<dyn ReadAt>, length: u64, head: Vec<u8>) -> Self {
        Self {
            reader,
            length,
            head,
        }
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(super) fn reader(&self) -> &dyn ReadAt {
        &*self.reader
    }

    pub(super) const fn length(&self) -> u64 {
        self.length
    }
}

/// As many bytes as a file has, of which only the start is known: what a format's reader is shown when the
/// rest lies elsewhere. The unknown bytes are zero and take no memory.
pub(crate) struct Sparse(Memory);

impl Sparse {
    pub(crate) fn new(length: u64, head: &[u8]) -> Result<Self> {
        let length = to_usize(length).ok_or_else(Error::out_of_memory)?;
        let mut memory = Memory::sparse(length)?;
        if let Some(start) = memory.bytes_mut().get_mut(..head.len()) {
            start.copy_from_slice(head);
        }
        Ok(Self(memory))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Fills `out` from `offset` on, on several threads where that pays.
pub(crate) fn fill(reader: &dyn ReadAt, offset: u64, out: &mut [u8], job: &Job<'_>) -> Result<()> {
    let step = reader.request_bytes().max(1);
    let read = |(place, part): (usize, &mut [u8])| {
        job.advance(0)?;
        read_one(reader, offset, place.saturating_mul(step), part)?;
        job.advance(to_u64(part.len()))
    };
    #[cfg(feature = "rayon")]
    return out.par_chunks_mut(step).enumerate().try_for_each(read);
    #[cfg(not(feature = "rayon"))]
    out.chunks_mut(step).enumerate().try_for_each(read)
}

/// Fills `part`, which stands `start` bytes behind `offset`.
fn read_one(reader: &dyn ReadAt, offset: u64, start: usize, part: &mut [u8]) -> Result<()> {
    let start = offset.saturating_add(to_u64(start));
    reader.read_exact_at(part, start).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return super::shrunk().at(start);
        }
        Error::io(error).at(start)
    })
}

/// The error of a file that is not what it was.
#[cold]
pub(super) fn changed() -> io::Error {
    io::Error::other("the file has changed since it was opened")
}
