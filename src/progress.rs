//! How far long work is, and who may stop it.
//!
//! Whatever can take long (opening many shards, reading, copying, decoding, digesting, writing) reports to
//! a [`Job`] in steps of at most [`Job::STEP_BYTES`], and ends with [`ErrorKind::Cancelled`] once the
//! caller's callback says so: a step is a millisecond or two of work.
//!
//! [`ErrorKind::Cancelled`]: crate::error::ErrorKind::Cancelled

#![forbid(unsafe_code)]

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes to do, as far as is known; never less than `done`.
    pub total: u64,
}

/// Called with the progress of a job, from any of its threads; `Break` stops the job.
pub type Callback<'a> = &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync);

/// One piece of long work, watched by a callback, shared by the threads that do it.
///
/// # Example
/// ```
/// use std::ops::ControlFlow;
/// use weighbridge::{ErrorKind, Job};
/// let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
/// let tensor = model.tensor("embed.weight")?;
/// let mut values = vec![0.0_f32; tensor.elements()];
///
/// let draw = |progress: weighbridge::Progress| {
///     println!("{} of {} bytes", progress.done, progress.total);
///     ControlFlow::Continue(())
/// };
/// let job = Job::new("decoding", tensor.byte_length(), &draw);
/// tensor.watched(&job).dequantize_into(&mut values)?;
///
/// let stop = |_| ControlFlow::Break(());
/// let job = Job::new("decoding", tensor.byte_length(), &stop);
/// let error = tensor.watched(&job).dequantize_into(&mut values).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Cancelled);
/// # Ok::<(), weighbridge::Error>(())
/// ```
pub struct Job<'a> {
    what: &'static str,
    done: AtomicU64,
    total: AtomicU64,
    stopped: AtomicBool,
    callback: Heard<'a>,
}

/// A callback that is borrowed, or kept.
enum Heard<'a> {
    Borrowed(Callback<'a>),
    Kept(Arc<Kept>),
}

type Kept = dyn Fn(Progress) -> ControlFlow<()> + Send + Sync;

/// A callback that options keep.
#[derive(Clone, Default)]
pub(crate) struct Watcher(Option<Arc<Kept>>);

impl Watcher {
    pub(crate) fn new(
        callback: impl Fn(Progress) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(callback)))
    }

    /// A job that this callback watches.
    pub(crate) fn job(&self, what: &'static str) -> Job<'static> {
        match &self.0 {
            None => Job::unwatched(),
            Some(kept) => Job {
                callback: Heard::Kept(Arc::clone(kept)),
                ..Job::new(what, 0, &|_| ControlFlow::Continue(()))
            },
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() {
            "Watcher"
        } else {
            "nobody"
        })
    }
}

impl<'a> Job<'a> {
    /// The most bytes that are worked on between two calls of the callback; a source that is not in memory is
    /// read in requests of its own size.
    pub const STEP_BYTES: usize = 1 << 20;

    /// A job of `total` bytes; `what` names it in the error of a cancelled one: "decoding", …
    #[must_use]
    pub const fn new(what: &'static str, total: u64, callback: Callback<'a>) -> Self {
        Self {
            what,
            done: AtomicU64::new(0),
            total: AtomicU64::new(total),
            stopped: AtomicBool::new(false),
            callback: Heard::Borrowed(callback),
        }
    }

    /// A job that a callback may watch.
    #[must_use]
    pub const fn optional(what: &'static str, total: u64, callback: Option<Callback<'a>>) -> Self {
        match callback {
            Some(callback) => Self::new(what, total, callback),
            None => Self::new(what, total, &|_| ControlFlow::Continue(())),
        }
    }

    /// A job that nobody watches.
    #[must_use]
    pub const fn unwatched() -> Self {
        Self::new("work", 0, &|_| ControlFlow::Continue(()))
    }

    /// How far the job is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let done = self.done.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed).max(done);
        Progress { done, total }
    }

    /// Adds work that was not known when the job was made.
    pub fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Reports `bytes` more bytes as done, and asks whether to go on; 0 only asks.
    ///
    /// # Errors
    /// `Cancelled` once the callback has said `Break`, in every thread.
    pub fn advance(&self, bytes: u64) -> Result<()> {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        let call = match &self.callback {
            Heard::Borrowed(callback) => *callback,
            Heard::Kept(kept) => &**kept,
        };
        if self.stopped.load(Ordering::Relaxed) || call(self.progress()).is_break() {
            self.stopped.store(true, Ordering::Relaxed);
            let Progress { done, total } = self.progress();
            return Err(Error::cancelled(self.what, done, total));
        }
        Ok(())
    }
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Progress { done, total } = self.progress();
        write!(formatter, "Job({}, {done} of {total} bytes)", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_stopped_job_stays_stopped_and_names_itself() {
        let stop = |progress: Progress| match progress.done {
            0..20 => ControlFlow::Continue(()),
            20 => ControlFlow::Break(()),
            _ => unreachable!("asked after it was stopped"),
        };
        let job = Job::new("reading", 30, &stop);
        job.advance(10).unwrap();
        let error = job.advance(10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(error.as_cancelled(), Some(("reading", 20, 30)));
        assert_eq!(
            error.to_string(),
            "cancelled: reading, after 20 of 30 bytes"
        );
        assert!(job.advance(10).is_err());
    }

    #[test]
    fn the_total_is_never_less_than_what_is_done() {
        let job = Job::unwatched();
        job.advance(7).unwrap();
        assert_eq!(job.progress(), Progress { done: 7, total: 7 });
        job.expect(9);
        assert_eq!(job.progress().total, 9);
    }
}
