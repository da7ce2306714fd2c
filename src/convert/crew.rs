//! Several threads at one job.
//!
//! Threads of their own, not rayon's: the caller may itself run on one of rayon's, and one that waits for a
//! message blocks its pool. A worker holds one [`Scratch`], so that memory does not depend on the model.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::{Error, Result};
use crate::progress::Job;

/// More threads than this add nothing to a copy, which waits for memory and the file system; with it all
/// scratch memory stays below 8 MiB.
const MOST_WORKERS: usize = 6;

/// The buffers of one worker.
#[derive(Default)]
pub(super) struct Scratch {
    /// Decoded values.
    pub(super) values: Vec<f32>,
    /// The same, encoded.
    pub(super) encoded: Vec<u8>,
    /// Small pieces, collected for one call.
    pub(super) collected: Vec<u8>,
}

/// What all threads of a job see.
#[derive(Default)]
struct State {
    stop: AtomicBool,
    done: AtomicU64,
    /// Workers that have not finished.
    working: AtomicUsize,
}

/// One of those that have not finished; dropped also when it panics, so that nobody waits for it.
struct Working<'s>(&'s State);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a worker reports to, and hears from.
pub(super) struct Meter<'s> {
    /// Takes what went wrong.
    sender: Sender<Error>,
    state: &'s State,
    watch: &'s Job<'s>,
}

/// Work beside the jobs, on a thread of its own.
pub(super) type Aside<'s> = Box<dyn FnOnce(&Meter<'_>) -> Result<()> + Send + 's>;

impl Meter<'_> {
    /// Reports that many more bytes are done.
    ///
    /// # Errors
    /// `Cancelled` if the job is to stop.
    pub(super) fn done(&self, bytes: u64) -> Result<()> {
        self.state.done.fetch_add(bytes, Ordering::Relaxed);
        if self.state.stop.load(Ordering::Acquire) {
            let progress = self.watch.progress();
            return Err(Error::cancelled(
                "converting",
                progress.done,
                progress.total,
            ));
        }
        self.watch.advance(bytes)
    }

    /// How many bytes are done, and whether that was all.
    pub(super) fn heard(&self) -> (u64, bool) {
        let ended = self.state.working.load(Ordering::Acquire) == 0;
        let stopped = self.state.stop.load(Ordering::Relaxed);
        (self.state.done.load(Ordering::Relaxed), ended || stopped)
    }

    /// Reports how a task ended; an error stops the others.
    fn report(&self, outcome: Result<()>) {
        if let Err(error) = outcome {
            // In this order: the errors of those that are stopped by it come behind it. Nobody listens any
            // more only after the job has failed.
            let _ = self.sender.send(error);
            self.state.stop.store(true, Ordering::Release);
        }
    }

    fn share(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            state: self.state,
            watch: self.watch,
        }
    }
}

/// Does every job with `work`, and meanwhile each of `asides`, on a thread of its own.
///
/// # Errors
/// The first error of a worker; `Cancelled` if the callback says so.
pub(super) fn run<J: Send>(
    jobs: impl Iterator<Item = J> + Send,
    work: impl Fn(J, &mut Scratch, &Meter<'_>) -> Result<()> + Sync,
    asides: Vec<Aside<'_>>,
    watch: &Job<'_>,
) -> Result<()> {
    let state = State::default();
    let jobs = Mutex::new(jobs.fuse());
    let (sender, receiver) = channel();
    let meter = Meter {
        sender,
        state: &state,
        watch,
    };
    let (jobs, work) = (&jobs, &work);
    thread::scope(|scope| {
        let available = thread::available_parallelism().map_or(1, NonZero::get);
        let workers = available.min(MOST_WORKERS);
        state.working.store(workers, Ordering::Release);
        for aside in asides {
            meter.report(start(scope, meter.share(), aside));
        }
        for worker in 0..workers {
            let task = |meter: &Meter<'_>| {
                let _working = Working(meter.state);
                take_all(jobs, work, meter)
            };
            let started = start(scope, meter.share(), task);
            // One is enough to finish the job.
            if started.is_err() {
                drop(Working(&state));
            }
            if worker == 0 {
                meter.report(started);
            }
        }
        drop(meter);
        first(&receiver)
    })
}

fn start<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    meter: Meter<'scope>,
    task: impl FnOnce(&Meter<'_>) -> Result<()> + Send + 'scope,
) -> Result<()> {
    let started = thread::Builder::new().spawn_scoped(scope, move || meter.report(task(&meter)));
    started.map(drop).map_err(Error::io)
}

fn take_all<J>(
    jobs: &Mutex<impl Iterator<Item = J>>,
    work: &impl Fn(J, &mut Scratch, &Meter<'_>) -> Result<()>,
    meter: &Meter<'_>,
) -> Result<()> {
    let mut scratch = Scratch::default();
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(job) = next else {
            return Ok(());
        };
        work(job, &mut scratch, meter)?;
    }
}

/// Waits until the last worker is gone; the first of the errors.
fn first(receiver: &Receiver<Error>) -> Result<()> {
    let mut outcome = Ok(());
    for error in receiver {
        outcome = outcome.and(Err(error));
    }
    outcome
}
