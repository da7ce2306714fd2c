//! The one memory mapping of files.

#![allow(unsafe_code)]

use std::fs::File;

use memmap2::Mmap;

use super::Advice;
use crate::bytes::{Span, to_usize};
use crate::error::{Error, Result};
use crate::progress::Job;

/// A read-only mapping of a whole file.
pub(super) struct Mapped(Mmap);

impl Mapped {
    /// Maps the file as it is long now.
    pub(super) fn new(file: &File) -> Result<Self> {
        // SAFETY: `Mmap::map` asks that the mapped bytes do not change while they are borrowed.
        // No process can promise that of a file that others may write. What the library relies on
        // instead: (1) the mapping is read-only, and lives as long as every slice of
        // it, because `bytes` borrows `self`; (2) names, shapes, offsets and lengths are copied
        // out of the bytes and checked once, and whatever is read from the mapping after that is
        // checked again before it serves as a length or an index, so that changed bytes give
        // wrong numbers, never an access outside the mapping; (3) no type is laid over the bytes
        // whose validity depends on their value (every bit pattern of the integers and floats
        // handed out is valid). A truncation by another process ends this one with a signal,
        // which `open` documents and `Access::Read` avoids.
        let map = unsafe { Mmap::map(file) }.map_err(Error::io)?;
        Ok(Self(map))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Tells the system what is going to happen with the bytes of `span`.
    pub(super) fn advise(&self, advice: Advice, span: Span) -> Result<()> {
        let Some((start, length)) = self.inside(span) else {
            return Err(super::shrunk());
        };
        #[cfg(unix)]
        {
            use memmap2::UncheckedAdvice;
            let advised = match advice {
                Advice::WillNeed => self
                    .0
                    .advise_range(memmap2::Advice::WillNeed, start, length),
                Advice::Sequential => {
                    self.0
                        .advise_range(memmap2::Advice::Sequential, start, length)
                }
                Advice::Random => self.0.advise_range(memmap2::Advice::Random, start, length),
                // SAFETY: `unchecked_advise_range` asks that the advice does not change what the bytes
                // are. `DontNeed` drops pages of this process; a later access brings them back from the
                // file, which is where they came from: the mapping is shared (`Mmap::map` maps with
                // `MAP_SHARED`) and read-only, so that no page can hold anything but the file's bytes. The
                // range was checked to lie inside, and rounding it out to whole pages stays inside the
                // mapping's own pages.
                Advice::Done => unsafe {
                    self.0
                        .unchecked_advise_range(UncheckedAdvice::DontNeed, start, length)
                },
            };
            advised.map_err(Error::io)
        }
        #[cfg(not(unix))]
        {
            let _ = (advice, start, length);
            Ok(())
        }
    }

    /// Brings the bytes of `span` into memory; a file that has become shorter is an error, not a signal.
    ///
    /// Linux 5.14 and later (`MADV_POPULATE_READ`). Elsewhere this is [`Advice::WillNeed`].
    pub(super) fn prefetch(&self, span: Span, job: &Job<'_>) -> Result<()> {
        let Some((start, length)) = self.inside(span) else {
            return Err(super::shrunk());
        };
        let mut done: usize = 0;
        while done < length {
            let now = Job::STEP_BYTES.min(length.saturating_sub(done));
            self.populate(start.saturating_add(done), now)?;
            done = done.saturating_add(now);
            job.advance(crate::bytes::to_u64(now))?;
        }
        Ok(())
    }

    /// Copies the bytes of `span` into `out`, which has its length, each step of it brought into memory first:
    /// a file that was truncated before is an error, not a signal. Between the two a signal remains possible,
    /// for some microseconds of each step.
    pub(super) fn copy_into(&self, span: Span, out: &mut [u8], job: &Job<'_>) -> Result<()> {
        let bytes = span.slice(&self.0).ok_or_else(super::shrunk)?;
        let mut start = to_usize(span.start()).ok_or_else(super::shrunk)?;
        let step = Job::STEP_BYTES;
        for (out, bytes) in out.chunks_mut(step).zip(bytes.chunks(step)) {
            self.populate(start, bytes.len())?;
            out.copy_from_slice(bytes);
            start = start.saturating_add(bytes.len());
            job.advance(crate::bytes::to_u64(bytes.len()))?;
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn populate(&self, start: usize, length: usize) -> Result<()> {
        let populate = memmap2::Advice::PopulateRead;
        let Err(error) = self.0.advise_range(populate, start, length) else {
            return Ok(());
        };
        match error.raw_os_error() {
            // EFAULT: the access would have ended in SIGBUS.
            Some(14) => Err(super::shrunk().at(crate::bytes::to_u64(start))),
            // EINVAL: the system is older than the advice.
            Some(22) => self
                .0
                .advise_range(memmap2::Advice::WillNeed, start, length)
                .map_err(Error::io),
            _ => Err(Error::io(error)),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn populate(&self, start: usize, length: usize) -> Result<()> {
        #[cfg(unix)]
        return self
            .0
            .advise_range(memmap2::Advice::WillNeed, start, length)
            .map_err(Error::io);
        #[cfg(not(unix))]
        {
            let _ = (start, length);
            Ok(())
        }
    }

    /// Start and length of a span that lies inside; `None` otherwise.
    fn inside(&self, span: Span) -> Option<(usize, usize)> {
        span.slice(&self.0)?;
        to_usize(span.start()).zip(to_usize(span.length()))
    }
}
