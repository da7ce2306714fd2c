//! A tensor's bytes in row-major order, whatever its strides, byte order and source.

use super::TensorView;
use super::gather::Layout;
use crate::bytes::{room, to_u64, to_usize};
use crate::dtype::{Class, DType, Fields};
use crate::error::{Caller, Error, Result};
use crate::index::Signs;
use crate::progress::Job;

/// Bytes of the buffer through which strided or swapped elements pass: within the L2 cache, larger than any
/// block, and room for tiles of 16 rows of 8192 floats.
const CHUNK_BYTES: usize = 512 * 1024;
/// Runs from here on are shown as they lie in the file.
const BORROWED_BYTES: usize = 32 * 1024;
/// Bytes of a tensor that is not in memory that are read at a time.
const LOADED_BYTES: usize = 2 << 20;

/// Elements that are decoded between two calls of a callback: below 3 ms for the slowest type on one
/// thread.
const STEP_ELEMENTS: usize = 1 << 18;

impl TensorView<'_> {
    /// Calls `visit` with the tensor's bytes, in chunks of whole blocks: row-major, little-endian,
    /// whatever the file's order and strides. A contiguous little-endian tensor is one chunk,
    /// borrowed from the file; long runs of a strided one are borrowed too; others pass through a buffer of
    /// 512 KiB.
    ///
    /// # Errors
    /// `Caller` if the tensor has no data, `Limit` if a view of repeated elements (stride 0) exceeds
    /// [`Limits::expanded_bytes`](crate::Limits), `Cancelled` if a [`Job`] that watches is stopped, and
    /// whatever `visit` returns.
    pub fn for_each_chunk(&self, mut visit: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let Some(job) = self.job else {
            return self.chunks(visit);
        };
        job.advance(0)?;
        let step = self.step_bytes();
        self.chunks(|chunk| {
            for part in chunk.chunks(step) {
                visit(part)?;
                job.advance(to_u64(part.len()))?;
            }
            Ok(())
        })
    }

    fn chunks(&self, visit: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match &self.pieces {
            Some(pieces) => self.join(pieces, visit),
            None => self.for_each_own_chunk(visit),
        }
    }

    /// Whole blocks that are worked on between two calls of a callback.
    fn step_bytes(&self) -> usize {
        let dtype = self.dtype();
        let block_bytes = dtype.block_bytes().max(1);
        let by_bytes = Job::STEP_BYTES.checked_div(block_bytes);
        let by_elements = STEP_ELEMENTS.checked_div(dtype.block_elements());
        let blocks = by_bytes.min(by_elements).unwrap_or(1).max(1);
        blocks.saturating_mul(block_bytes)
    }

    /// The chunks of a tensor that is not joined from pieces.
    pub(super) fn for_each_own_chunk(
        &self,
        mut visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if self.is_away() {
            return self.for_each_loaded_part(|part| part.for_each_chunk_in_memory(&mut visit));
        }
        self.for_each_chunk_in_memory(visit)
    }

    fn for_each_chunk_in_memory(&self, mut visit: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let raw = self.raw()?;
        let fixes = Fixes::of(self);
        if self.strides.is_none() && fixes.are_none() {
            return visit(raw);
        }
        self.expect_copyable()?;
        let layout = Layout::of(self).ok_or_else(Error::out_of_memory)?;
        if fixes.are_none() && layout.run() >= BORROWED_BYTES {
            return layout.slabs(layout.run(), |slab| {
                visit(layout.borrowed(slab, raw).unwrap_or_default())
            });
        }
        let mut chunk = Vec::new();
        layout.slabs(CHUNK_BYTES, |slab| {
            room::resize(&mut chunk, slab.length, 0)?;
            layout.gather(slab, raw, &mut chunk)?;
            fixes.apply(&mut chunk);
            visit(&chunk)
        })
    }

    /// Copies the tensor's bytes into `out`: row-major, little-endian, blocks for block types.
    ///
    /// `out` must hold exactly [`byte_length`](Self::byte_length) bytes. Nothing else is allocated but a few
    /// numbers per dimension (for a tensor that is not in memory and not contiguous, the parts that are read).
    ///
    /// # Errors
    /// `Caller` if `out` has another length, or the tensor has no data; `Limit` as
    /// [`for_each_chunk`](Self::for_each_chunk); `Cancelled` if a [`Job`] that watches is stopped.
    pub fn copy_into(&self, out: &mut [u8]) -> Result<()> {
        self.expect_length("bytes", out.len(), to_usize(self.byte_length()))?;
        let mut rest = out;
        if self.pieces.is_none() && !self.is_away() {
            return self.copy_own_into(rest);
        }
        let unwatched = Job::unwatched();
        let job = self.job.unwrap_or(&unwatched);
        if self.pieces.is_none() && self.strides.is_none() {
            let fixes = Fixes::of(self);
            if !fixes.are_none() {
                self.expect_copyable()?;
            }
            let read = self.source.read_into(self.span, rest, job);
            read.map_err(|error| error.for_tensor(self.name()))?;
            fixes.apply(rest);
            return Ok(());
        }
        self.for_each_chunk(|chunk| {
            if let Some((head, tail)) = std::mem::take(&mut rest).split_at_mut_checked(chunk.len())
            {
                head.copy_from_slice(chunk);
                rest = tail;
            }
            Ok(())
        })
    }

    /// Copies a tensor that is in memory, not joined from pieces.
    fn copy_own_into(&self, out: &mut [u8]) -> Result<()> {
        let raw = self.raw()?;
        let fixes = Fixes::of(self);
        if self.strides.is_some() || !fixes.are_none() {
            self.expect_copyable()?;
        }
        let layout = Layout::of(self).ok_or_else(Error::out_of_memory)?;
        // Larger parts have more room for tiles; a watched copy must come back in time.
        let most = if let Some(job) = self.job {
            job.advance(0)?;
            Job::STEP_BYTES
        } else {
            usize::MAX
        };
        let mut rest = out;
        layout.slabs(most, |slab| {
            let Some((part, tail)) = std::mem::take(&mut rest).split_at_mut_checked(slab.length)
            else {
                return Ok(());
            };
            layout.gather(slab, raw, part)?;
            fixes.apply(part);
            rest = tail;
            self.job
                .map_or(Ok(()), |job| job.advance(to_u64(slab.length)))
        })
    }

    /// Refuses what cannot or must not be copied element by element.
    fn expect_copyable(&self) -> Result<()> {
        if self.dtype() == DType::Opaque {
            // Nobody knows which bytes to swap or where an element ends.
            return Err(self.error(Caller::ByteOrder));
        }
        let length = self.byte_length();
        let allowed = self.entry.expanded_bytes();
        if length > self.span.length() && length > allowed {
            let error = Error::limit("expanded_bytes", length, allowed);
            return Err(error.for_tensor(self.name()));
        }
        Ok(())
    }

    /// Whether the bytes have to be read before they can be used.
    pub(super) fn is_away(&self) -> bool {
        !self.source.is_in_memory()
            && self.loaded.is_none()
            && self.entry.absent().is_none()
            && self.span.length() > 0
    }

    /// Reads the tensor part by part, in row-major order, and shows each part.
    ///
    /// A tensor whose strides do not fall from the outside in has its elements all over its span: that is
    /// read at once.
    fn for_each_loaded_part(
        &self,
        mut visit: impl FnMut(&TensorView<'_>) -> Result<()>,
    ) -> Result<()> {
        let job = Job::unwatched();
        let mut show = |part: &TensorView<'_>| {
            let loaded = part.read(&job)?;
            visit(&TensorView {
                loaded: loaded.as_ref(),
                ..part.clone()
            })
        };
        let strides = self.strides();
        let long = self
            .shape
            .iter()
            .zip(&strides)
            .filter(|(length, _)| **length > 1);
        let falling = long.map(|(_, stride)| stride).is_sorted_by(|a, b| a >= b);
        // Rows that end inside a block are not cut.
        let block = self.dtype().block_elements();
        let whole = self.shape.last().copied().unwrap_or(1).checked_rem(block) == Some(0);
        let most = to_u64(LOADED_BYTES);
        let axis = (0..self.shape.len()).find(|&axis| self.shape.get(axis) > Some(&1));
        let (Some(axis), true, true) = (axis, falling && whole, self.span.length() > most) else {
            return show(self);
        };
        // The index of one axis whose inside fits is cut into parts; those before it are stepped through.
        let mut cut = axis;
        let mut row = self.narrow(axis, ..1);
        while let Ok(one) = &row
            && one.span.length() > most
            && let Some(next) = (cut.saturating_add(1)..self.shape.len())
                .find(|&axis| self.shape.get(axis) > Some(&1))
        {
            row = one.narrow(next, ..1);
            cut = next;
        }
        let stride = strides.get(cut).copied().unwrap_or(1).max(1);
        let most_elements = LOADED_BYTES
            .checked_div(self.dtype().block_bytes())
            .unwrap_or(1)
            .saturating_mul(self.dtype().block_elements());
        let step = most_elements.checked_div(stride).unwrap_or(1).max(1);
        let outer: Vec<usize> = self.shape.iter().copied().take(cut).collect();
        let mut index = vec![0_usize; outer.len()];
        loop {
            let mut part = self.clone();
            for (axis, &at) in index.iter().enumerate() {
                part = part.narrow(axis, at..=at)?;
            }
            let length = self.shape.get(cut).copied().unwrap_or_default();
            let mut at: usize = 0;
            while at < length {
                let end = at.saturating_add(step).min(length);
                show(&part.narrow(cut, at..end)?)?;
                at = end;
            }
            if !next_index(&outer, &mut index) {
                return Ok(());
            }
        }
    }

    pub(super) fn expect_length(
        &self,
        unit: &'static str,
        found: usize,
        expected: Option<usize>,
    ) -> Result<()> {
        if Some(found) == expected {
            return Ok(());
        }
        Err(self.error(Caller::OutputLength {
            unit,
            found: to_u64(found),
            expected: expected.map_or(u64::MAX, to_u64),
        }))
    }
}

/// Steps to the next index like an odometer; `false` after the last.
fn next_index(shape: &[usize], index: &mut [usize]) -> bool {
    for (&length, index) in shape.iter().zip(index).rev() {
        *index = index.saturating_add(1);
        if *index < length {
            return true;
        }
        *index = 0;
    }
    false
}

/// What has to be done to a tensor's bytes before they are its little-endian elements.
struct Fixes {
    block_bytes: usize,
    swapped: &'static [Fields],
    signs: Signs,
    /// The floating-point numbers of one element.
    numbers: &'static [Fields],
}

impl Fixes {
    fn of(tensor: &TensorView<'_>) -> Self {
        Self {
            block_bytes: tensor.dtype().block_bytes().max(1),
            signs: tensor.entry.signs(),
            numbers: match tensor.dtype().class() {
                Class::Float | Class::Complex => tensor.dtype().swapped_fields(),
                _ => &[],
            },
            swapped: if tensor.is_swapped() {
                tensor.dtype().swapped_fields()
            } else {
                &[]
            },
        }
    }

    const fn are_none(&self) -> bool {
        self.swapped.is_empty() && self.signs.are_plain()
    }

    /// Changes whole blocks in place.
    fn apply(&self, bytes: &mut [u8]) {
        if !self.swapped.is_empty() {
            for block in bytes.chunks_exact_mut(self.block_bytes) {
                swap_fields(block, self.swapped);
            }
        }
        if !self.signs.are_plain() {
            for element in bytes.chunks_exact_mut(self.block_bytes) {
                change_signs(element, self.numbers, self.signs);
            }
        }
    }
}

/// Changes the signs of an element's little-endian numbers: every one if negated, and every second
/// one, the imaginary part, if conjugated.
fn change_signs(element: &mut [u8], numbers: &[Fields], signs: Signs) {
    for fields in numbers {
        let each = element.chunks_exact_mut(fields.bytes.max(1));
        for (place, number) in each.enumerate() {
            let imaginary = place % 2 == 1;
            let change = signs.negated != (signs.conjugated && imaginary);
            if let Some(top) = number.last_mut().filter(|_| change) {
                *top ^= 0x80;
            }
        }
    }
}

/// Reverses the bytes of each multi-byte field of a block.
fn swap_fields(block: &mut [u8], swapped: &[Fields]) {
    for fields in swapped {
        let length = fields.bytes.saturating_mul(fields.count);
        let end = fields.offset.saturating_add(length);
        if let Some(part) = block.get_mut(fields.offset..end) {
            for field in part.chunks_exact_mut(fields.bytes.max(1)) {
                field.reverse();
            }
        }
    }
}
