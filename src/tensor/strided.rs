//! Walks a tensor's elements in row-major order, as runs that lie side by side.

use super::TensorView;
use crate::bytes::{to_u64, to_usize};
use crate::dtype::{Class, DType, Fields};
use crate::error::{Caller, Error, Result};
use crate::index::Signs;
use crate::progress::Job;

/// Bytes of the buffer through which strided or swapped elements pass: within the L1 cache, and
/// larger than any block.
const CHUNK_BYTES: usize = 8 * 1024;

/// Elements that are decoded between two calls of a callback: below 3 ms for the slowest type on one
/// thread.
const STEP_ELEMENTS: usize = 1 << 19;

impl TensorView<'_> {
    /// Calls `visit` with the tensor's bytes, in chunks of whole blocks: row-major, little-endian,
    /// whatever the file's order and strides. A contiguous little-endian tensor is one chunk,
    /// borrowed from the file; others pass through a buffer of 8 KiB.
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
        let raw = self.raw()?;
        if self.strides.is_none() && !self.is_swapped() && self.entry.signs().are_plain() {
            return visit(raw);
        }
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
        let mut chunk = Chunk::new(self);
        for run in Runs::new(self) {
            let bytes = to_usize(run.first)
                .and_then(|first| self.bytes_of(first))
                .zip(self.bytes_of(run.elements))
                .and_then(|(start, length)| raw.get(start..start.checked_add(length)?));
            // `None` cannot be: the builder proved that shape and strides stay inside the span.
            let bytes = bytes.unwrap_or_default();
            chunk.push(bytes, &mut visit)?;
        }
        chunk.flush(&mut visit)
    }

    /// Copies the tensor's bytes into `out`: row-major, little-endian, blocks for block types.
    ///
    /// `out` must hold exactly [`byte_length`](Self::byte_length) bytes.
    ///
    /// # Errors
    /// `Caller` if `out` has another length, or the tensor has no data.
    pub fn copy_into(&self, out: &mut [u8]) -> Result<()> {
        self.expect_length("bytes", out.len(), to_usize(self.byte_length()))?;
        let mut rest = out;
        self.for_each_chunk(|chunk| {
            if let Some((head, tail)) = std::mem::take(&mut rest).split_at_mut_checked(chunk.len())
            {
                head.copy_from_slice(chunk);
                rest = tail;
            }
            Ok(())
        })
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

/// Elements that lie side by side.
struct Run {
    /// Index of the first one, counted from the start of the span.
    first: u64,
    elements: usize,
}

/// The runs of a strided tensor, in row-major order. Memory: one index per dimension.
struct Runs<'a> {
    /// Dimensions and strides that are stepped through, outermost first.
    outer: Vec<(usize, usize)>,
    index: Vec<usize>,
    first: u64,
    elements: usize,
    done: bool,
    _tensor: std::marker::PhantomData<&'a ()>,
}

impl<'a> Runs<'a> {
    fn new(tensor: &'a TensorView<'_>) -> Self {
        let shape = tensor.shape();
        let mut outer: Vec<(usize, usize)> = shape.iter().copied().zip(tensor.strides()).collect();
        // Innermost dimensions that continue each other make one run.
        let mut elements: usize = 1;
        while let Some(&(dimension, stride)) = outer.last() {
            if dimension != 1 && stride != elements {
                break;
            }
            elements = elements.saturating_mul(dimension);
            outer.pop();
        }
        Self {
            index: vec![0; outer.len()],
            outer,
            first: 0,
            elements,
            done: shape.contains(&0),
            _tensor: std::marker::PhantomData,
        }
    }

    /// Steps to the next run like an odometer.
    fn step(&mut self) {
        for (&(dimension, stride), index) in self.outer.iter().zip(&mut self.index).rev() {
            let stride = to_u64(stride);
            let next = index.saturating_add(1);
            if next < dimension {
                *index = next;
                self.first = self.first.saturating_add(stride);
                return;
            }
            let back = to_u64(*index).saturating_mul(stride);
            self.first = self.first.saturating_sub(back);
            *index = 0;
        }
        self.done = true;
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        if self.done {
            return None;
        }
        let run = Run {
            first: self.first,
            elements: self.elements,
        };
        self.step();
        Some(run)
    }
}

/// Collects runs into chunks of whole blocks, little-endian.
struct Chunk {
    bytes: Vec<u8>,
    most: usize,
    block_bytes: usize,
    swapped: &'static [Fields],
    signs: Signs,
    /// The floating-point numbers of one element.
    numbers: &'static [Fields],
}

impl Chunk {
    fn new(tensor: &TensorView<'_>) -> Self {
        let block_bytes = tensor.dtype().block_bytes().max(1);
        let blocks = CHUNK_BYTES.checked_div(block_bytes).unwrap_or(1).max(1);
        let most = blocks.saturating_mul(block_bytes);
        Self {
            bytes: Vec::with_capacity(most),
            most,
            block_bytes,
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

    fn push(&mut self, mut run: &[u8], visit: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while !run.is_empty() {
            let room = self.most.saturating_sub(self.bytes.len());
            let (head, tail) = run.split_at(run.len().min(room));
            self.bytes.extend_from_slice(head);
            run = tail;
            if self.bytes.len() == self.most {
                self.flush(visit)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, visit: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        if !self.swapped.is_empty() {
            for block in self.bytes.chunks_exact_mut(self.block_bytes) {
                swap_fields(block, self.swapped);
            }
        }
        if !self.signs.are_plain() {
            for element in self.bytes.chunks_exact_mut(self.block_bytes) {
                change_signs(element, self.numbers, self.signs);
            }
        }
        visit(&self.bytes)?;
        self.bytes.clear();
        Ok(())
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
