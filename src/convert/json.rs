//! JSON into memory that may run out.

use std::io;

use serde::Serialize;

use crate::error::{Error, Result};

/// Appends a value as JSON.
pub(super) fn write(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<()> {
    serde_json::to_writer(Growing(out), value).map_err(|error| Error::io(error.into()))
}

/// Appends a value as JSON of several lines.
pub(super) fn write_pretty(out: &mut Vec<u8>, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer_pretty(Growing(out), value).map_err(|error| Error::io(error.into()))
}

/// Takes what is written, where `Vec` itself would abort.
struct Growing<'v>(&'v mut Vec<u8>);

impl io::Write for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.try_reserve(bytes.len()).is_err() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
