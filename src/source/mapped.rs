//! The one memory mapping of the library.

#![allow(unsafe_code)]

use std::fs::File;

use memmap2::Mmap;

use crate::error::{Error, Result};

/// A read-only mapping of a whole file.
pub(super) struct Mapped(Mmap);

impl Mapped {
    /// Maps the file as it is long now.
    pub(super) fn new(file: &File) -> Result<Self> {
        // SAFETY: `Mmap::map` asks that the mapped bytes do not change while they are borrowed.
        // No process can promise that of a file that others may write. What the library relies on
        // instead: (1) the mapping is private and read-only, and lives as long as every slice of
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
}
