//! From a plan to files: written, compared, flushed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::atomic::{self, Pending};
use super::crew::Meter;
use super::options::ConvertOptions;
use super::transfer::{self, Placed};
use crate::bytes::room;
use crate::checkpoint::Checkpoint;
use crate::digest::Algorithm;
use crate::error::{Error, Result};
use crate::progress;

/// Everything that is decided before the first byte is written.
pub(super) struct Job<'j, 'p, 'a> {
    pub(super) options: &'j ConvertOptions,
    pub(super) model: &'j Checkpoint,
    pub(super) placed: &'j [Placed<'p, 'a>],
    pub(super) files: &'j [Pending],
}

impl Job<'_, '_, '_> {
    /// Fills the files and brings them to the disk.
    ///
    /// `heads` gives what stands before the first tensor of each file, for the digests of the source: of the
    /// same length whatever they are. They are known last, because a digest takes one thread as long as the
    /// copy and the comparison take all others.
    pub(super) fn run(
        &self,
        watch: &progress::Job<'_>,
        mut heads: impl FnMut(&[String]) -> Result<Vec<Vec<u8>>>,
    ) -> Result<()> {
        let stop = AtomicBool::new(false);
        let sha256 = thread::scope(|scope| {
            let digest = self.options.provenance.then(|| {
                let work = || sha256(self.model, &stop);
                thread::Builder::new().spawn_scoped(scope, work)
            });
            let moved = transfer::write(self.placed, self.files, watch)
                .and_then(|()| self.write_heads(&heads(&unknown(self.model)?)?))
                .and_then(|()| self.verify(watch));
            stop.store(moved.is_err(), Ordering::Relaxed);
            moved?;
            let Some(digest) = digest.transpose().map_err(Error::io)? else {
                return Ok(None);
            };
            while !digest.is_finished() {
                if let Err(error) = watch.advance(0) {
                    stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                thread::sleep(Duration::from_millis(1));
            }
            // A thread that panicked has no digest.
            digest.join().unwrap_or_else(|_| Err(cancelled())).map(Some)
        })?;
        if let Some(sha256) = sha256 {
            self.write_heads(&heads(&sha256)?)?;
            if self.options.verify {
                transfer::reopen(self.placed, self.files)?;
            }
        }
        self.files.iter().try_for_each(Pending::sync)
    }

    /// Compares the files with their source; meanwhile brings them to the disk.
    fn verify(&self, watch: &progress::Job<'_>) -> Result<()> {
        if !self.options.verify {
            return Ok(());
        }
        let sync = |_: &Meter<'_>| self.files.iter().try_for_each(Pending::flush);
        transfer::verify(self.placed, self.files, Box::new(sync), watch)
    }

    fn write_heads(&self, heads: &[Vec<u8>]) -> Result<()> {
        let mut pairs = self.files.iter().zip(heads);
        pairs.try_for_each(|(pending, head)| {
            let written = atomic::write_at(pending.file(), head, 0);
            written.map_err(|error| Error::io(error).in_file(pending.path()))
        })
    }
}

/// As many digits as the digests of the source have.
///
/// # Errors
/// `Io` if there is no memory for them.
pub(super) fn unknown(model: &Checkpoint) -> Result<Vec<String>> {
    room::list(model.files().iter().map(|_| "0".repeat(64)))
}

/// The digest of each file of the source.
fn sha256(model: &Checkpoint, stop: &AtomicBool) -> Result<Vec<String>> {
    let mut digests = Vec::new();
    for file in 0..model.files().len() {
        let advance = |_| match stop.load(Ordering::Relaxed) {
            true => Err(cancelled()),
            false => Ok(()),
        };
        let digest = Algorithm::Sha256.of_file(model, file, advance)?;
        room::push(&mut digests, digest.to_string())?;
    }
    Ok(digests)
}

#[cold]
fn cancelled() -> Error {
    Error::cancelled("digesting the source", 0, 0)
}
