//! Moves tensors into files, several at a time, and compares them afterwards.

use std::fs::File;
use std::time::Duration;

use super::atomic::{self, Pending};
use super::crew::{self, Aside, Meter, Scratch};
use super::item::{Item, Part, Parts};
use crate::bytes::{room, to_u64, to_usize};
use crate::checkpoint::{Checkpoint, OpenOptions};
use crate::error::{Context, Error, Result};
use crate::limits::Limits;
use crate::progress;
use crate::tensor::TensorView;

/// Small chunks are collected up to this many bytes for one call.
const COLLECTED_BYTES: usize = 256 << 10;

/// Larger ones go to the file as they are, so many bytes between two reports.
const COPY_BYTES: usize = 4 << 20;

/// So much is worth a call that waits for the disk.
const FLUSH_BYTES: u64 = 64 << 20;

/// A tensor and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'p, 'a> {
    pub(super) item: &'p Item<'a>,
    /// Which of the output's files.
    pub(super) file: usize,
    /// Offset of its first byte in that file.
    pub(super) offset: u64,
}

/// What one worker does at a time.
enum Job<'j, 'p, 'a> {
    /// A piece of a tensor.
    Piece(&'j Placed<'p, 'a>, Part),
    /// Small tensors that follow each other in one file.
    Several(&'j [Placed<'p, 'a>]),
}

/// The jobs of a list of tensors, made as they are asked for.
struct Jobs<'j, 'p, 'a> {
    left: &'j [Placed<'p, 'a>],
    current: Option<(&'j Placed<'p, 'a>, Parts)>,
}

impl<'j, 'p, 'a> Iterator for Jobs<'j, 'p, 'a> {
    type Item = Job<'j, 'p, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((placed, parts)) = &mut self.current {
                if let Some(part) = parts.next() {
                    return Some(Job::Piece(placed, part));
                }
                self.current = None;
            }
            let several = small_ones(self.left);
            if several > 0 {
                let (now, later) = self.left.split_at_checked(several)?;
                self.left = later;
                return Some(Job::Several(now));
            }
            let (placed, later) = self.left.split_first()?;
            self.left = later;
            self.current = Some((placed, placed.item.parts()));
        }
    }
}

/// How many of the next tensors are small and fit one buffer.
fn small_ones(list: &[Placed<'_, '_>]) -> usize {
    let Some(first) = list.first() else {
        return 0;
    };
    let fits = |placed: &&Placed<'_, '_>| {
        let end = placed.offset.saturating_add(placed.item.bytes);
        placed.item.is_small()
            && placed.file == first.file
            && end.saturating_sub(first.offset) <= to_u64(COLLECTED_BYTES)
    };
    list.iter().take_while(fits).count()
}

/// Writes every tensor to its place.
///
/// # Errors
/// `Io` for what the file system refuses, `Caller` if the callback stops the job or a tensor has no data.
pub(super) fn write(
    placed: &[Placed<'_, '_>],
    files: &[Pending],
    watch: &progress::Job<'_>,
) -> Result<()> {
    let jobs = Jobs {
        left: placed,
        current: None,
    };
    let work = |job: Job<'_, '_, '_>, scratch: &mut Scratch, meter: &Meter<'_>| {
        let file = match &job {
            Job::Piece(placed, _) => placed.file,
            Job::Several(list) => list.first().map_or(0, |placed| placed.file),
        };
        let Some(pending) = files.get(file) else {
            return Ok(());
        };
        let mut sink = Sink {
            file: pending.file(),
            meter,
        };
        sink.write(&job, scratch)
            .map_err(|error| error.in_file(pending.path()))
    };
    let mut asides: Vec<Aside<'_>> = Vec::new();
    let bytes = placed.iter().map(|placed| placed.item.bytes);
    if bytes.fold(0, u64::saturating_add) > 2 * FLUSH_BYTES {
        asides.push(Box::new(|meter| flush_meanwhile(files, meter)));
    }
    crew::run(jobs, work, asides, watch)
}

/// Sends what was written to the disk while more is written. Otherwise the disk would idle until the last
/// byte is in memory: 2 GiB took 7.3 s that way and as long as the disk needs with it.
fn flush_meanwhile(files: &[Pending], meter: &Meter<'_>) -> Result<()> {
    let mut flushed = 0;
    loop {
        match meter.heard() {
            (_, true) => return Ok(()),
            (written, _) if written.saturating_sub(flushed) < FLUSH_BYTES => {
                std::thread::sleep(Duration::from_millis(5));
            }
            (written, _) => {
                files.iter().try_for_each(Pending::flush)?;
                flushed = written;
            }
        }
    }
}

/// Where the bytes of one job go.
struct Sink<'s> {
    file: &'s File,
    meter: &'s Meter<'s>,
}

impl Sink<'_> {
    fn write(&mut self, job: &Job<'_, '_, '_>, scratch: &mut Scratch) -> Result<()> {
        let Scratch {
            values,
            encoded,
            collected,
        } = scratch;
        collected.clear();
        match job {
            Job::Several(list) => {
                let start = list.first().map_or(0, |placed| placed.offset);
                for placed in *list {
                    // Padding between two tensors is zero.
                    let before = to_usize(placed.offset.saturating_sub(start));
                    room::resize(collected, before.unwrap_or_default(), 0)?;
                    for part in placed.item.parts() {
                        placed.item.produce(&part, values, encoded, |bytes| {
                            room::append(collected, bytes)
                        })?;
                    }
                }
                self.put(collected, start)?;
                let bytes = list.iter().map(|placed| placed.item.bytes).sum();
                self.meter.done(bytes)
            }
            Job::Piece(placed, part) => {
                let place = placed.item.place_of(part);
                let mut at = placed.offset.saturating_add(place);
                placed.item.produce(part, values, encoded, |bytes| {
                    if bytes.len() < COLLECTED_BYTES {
                        room::append(collected, bytes)?;
                        if collected.len() >= COLLECTED_BYTES {
                            at = self.flush(collected, at)?;
                        }
                        return Ok(());
                    }
                    at = self.flush(collected, at)?;
                    for piece in bytes.chunks(COPY_BYTES) {
                        at = self.put(piece, at)?;
                        self.meter.done(to_u64(piece.len()))?;
                    }
                    Ok(())
                })?;
                self.flush(collected, at).map(drop)
            }
        }
    }

    /// Writes what was collected, and gives the offset after it.
    fn flush(&self, collected: &mut Vec<u8>, at: u64) -> Result<u64> {
        let end = self.put(collected, at)?;
        if !collected.is_empty() {
            self.meter.done(to_u64(collected.len()))?;
        }
        collected.clear();
        Ok(end)
    }

    fn put(&self, bytes: &[u8], at: u64) -> Result<u64> {
        atomic::write_at(self.file, bytes, at).map_err(Error::io)?;
        Ok(at.saturating_add(to_u64(bytes.len())))
    }
}

/// Opens the written files again and compares every tensor with its source; meanwhile does `aside`.
///
/// The sources are read a second time, and what they give is compared byte by byte: stronger than digests,
/// and faster.
///
/// # Errors
/// `Io` if a byte differs: the source changed meanwhile, or the file system lost something.
pub(super) fn verify(
    placed: &[Placed<'_, '_>],
    files: &[Pending],
    aside: Aside<'_>,
    watch: &progress::Job<'_>,
) -> Result<()> {
    let written = reopen(placed, files)?;
    let jobs = Jobs {
        left: placed,
        current: None,
    };
    let work = |job: Job<'_, '_, '_>, scratch: &mut Scratch, meter: &Meter<'_>| match job {
        Job::Piece(placed, part) => compare(placed, &part, &written, scratch, meter),
        Job::Several(list) => list.iter().try_for_each(|placed| {
            let mut parts = placed.item.parts();
            parts.try_for_each(|part| compare(placed, &part, &written, scratch, meter))
        }),
    };
    crew::run(jobs, work, vec![aside], watch)
}

/// Opens the written files as any other, and finds every tensor in them.
///
/// # Errors
/// `Io` if one is missing or has another dtype or shape.
pub(super) fn reopen(placed: &[Placed<'_, '_>], files: &[Pending]) -> Result<Vec<Checkpoint>> {
    let options = OpenOptions::new()
        .single_file(true)
        .limits(Limits::trusted());
    let mut written = Vec::new();
    for (number, pending) in files.iter().enumerate() {
        let model = options.open(pending.reading_path())?;
        let expected = placed.iter().filter(|placed| placed.file == number).count();
        if model.len() != expected {
            return Err(differs().in_file(pending.path()));
        }
        room::push(&mut written, model)?;
    }
    for placed in placed {
        let tensor = find(placed, &written)?;
        if tensor.dtype() != placed.item.dtype || tensor.shape() != placed.item.shape {
            return Err(differs().for_tensor(&placed.item.name));
        }
    }
    Ok(written)
}

fn compare(
    placed: &Placed<'_, '_>,
    part: &Part,
    written: &[Checkpoint],
    scratch: &mut Scratch,
    meter: &Meter<'_>,
) -> Result<()> {
    let item = placed.item;
    let bytes = find(placed, written)?.bytes()?;
    let place = to_usize(item.place_of(part)).and_then(|place| bytes.get(place..));
    let mut left = place.unwrap_or_default();
    let (values, encoded) = (&mut scratch.values, &mut scratch.encoded);
    item.produce(part, values, encoded, |bytes| {
        for piece in bytes.chunks(COPY_BYTES) {
            match left.split_at_checked(piece.len()) {
                Some((now, later)) if now == piece => left = later,
                _ => return Err(differs()),
            }
            meter.done(to_u64(piece.len()))?;
        }
        Ok(())
    })
    .for_tensor(&item.name)
}

fn find<'w>(placed: &Placed<'_, '_>, written: &'w [Checkpoint]) -> Result<TensorView<'w>> {
    let model = written.get(placed.file).ok_or_else(differs)?;
    model.tensor(&placed.item.name)
}

#[cold]
fn differs() -> Error {
    let message = "what was written differs from its source";
    Error::io(std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        message,
    ))
}
