//! Lays strided blocks side by side, a part that fits the cache at a time.
//!
//! Axes that continue each other are merged first, so that what is left is a run of bytes and the axes that
//! step from run to run. Where another axis than the innermost has the smallest step (a transposed matrix),
//! both are cut into tiles: then every line of the cache that is fetched is used up before it is dropped.

use super::TensorView;
use crate::bytes::to_usize;
use crate::error::{Error, Result};
use crate::shape;

/// Runs from here on are not worth tiling: each uses up its lines by itself.
const LINE_BYTES: usize = 64;
/// Runs of one row of a tile: with a line for each, a quarter of the L1 cache.
const TILE: usize = 128;

/// An axis: its length, and the step from one index to the next in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    length: usize,
    step: usize,
}

/// Where the blocks of a view lie.
pub(super) struct Layout {
    /// Outermost first; none has length 1.
    axes: Vec<Axis>,
    /// Bytes that lie side by side.
    run: usize,
    /// Bytes of one block: runs are cut between blocks only.
    block: usize,
}

/// A part of a layout: some indices of one axis, everything inside it.
pub(super) struct Slab {
    /// Offset of the first byte from the start of the span.
    start: usize,
    /// Bytes of the part.
    pub(super) length: usize,
    /// The part's place: axes from `axis` on, of which the first is cut to `count` indices. Past the last
    /// axis the part is a piece of a run.
    axis: usize,
    count: usize,
}

impl Layout {
    /// The layout of a view that is not joined from pieces; `None` if sizes overflow.
    pub(super) fn of(view: &TensorView<'_>) -> Option<Self> {
        let dtype = view.dtype();
        let (block, elements) = (dtype.block_bytes(), dtype.block_elements());
        let mut run = block;
        let mut axes: Vec<Axis> = Vec::new();
        if view.is_contiguous() {
            run = to_usize(view.byte_length())?;
            let block = block.max(1);
            return Some(Self { axes, run, block });
        }
        let strides = view.strides();
        let innermost = strides.len().checked_sub(1)?;
        for (place, (&length, &stride)) in view.shape().iter().zip(&strides).enumerate() {
            // Blocks lie along the innermost axis, side by side: `narrow` sees to it.
            let (length, step) = match (elements, place == innermost) {
                (1, _) => (length, stride.checked_mul(block)?),
                (_, true) => (length.checked_div(elements)?, block),
                (_, false) => (length, stride.checked_div(elements)?.checked_mul(block)?),
            };
            if length == 1 {
                continue;
            }
            match axes.last_mut() {
                // The outer axis goes on where the inner one ends.
                Some(outer) if Some(outer.step) == length.checked_mul(step) => {
                    let length = outer.length.checked_mul(length)?;
                    *outer = Axis { length, step };
                }
                _ => axes.push(Axis { length, step }),
            }
        }
        if let Some(last) = axes.last().filter(|last| last.step == run) {
            run = run.checked_mul(last.length)?;
            axes.pop();
        }
        Some(Self { axes, run, block })
    }

    /// Bytes of everything from `axis` on.
    fn bytes_from(&self, axis: usize) -> usize {
        let inner = self.axes.get(axis..).unwrap_or_default().iter();
        inner.fold(self.run, |bytes, axis| bytes.saturating_mul(axis.length))
    }

    /// Cuts the layout, in row-major order, into parts of at most `most` bytes, or one block.
    pub(super) fn slabs(
        &self,
        most: usize,
        mut visit: impl FnMut(&Slab) -> Result<()>,
    ) -> Result<()> {
        if self.bytes_from(0) == 0 {
            return Ok(());
        }
        // The first axis whose inside fits is cut; what stands before it is stepped through.
        let inner = (0..=self.axes.len()).find(|&axis| self.bytes_from(axis) <= most);
        let cut = inner.unwrap_or(self.axes.len().saturating_add(1));
        let Some(cut) = cut.checked_sub(1) else {
            return visit(&self.slab(0, 0, usize::MAX));
        };
        let outer = self.axes.get(..cut).unwrap_or_default();
        let mut index = vec![0_usize; outer.len()];
        let mut start: usize = 0;
        loop {
            self.cut_axis(cut, start, most, &mut visit)?;
            if !step(outer, &mut index, &mut start) {
                return Ok(());
            }
        }
    }

    /// The parts of one axis, or of a run.
    fn cut_axis(
        &self,
        cut: usize,
        start: usize,
        most: usize,
        visit: &mut impl FnMut(&Slab) -> Result<()>,
    ) -> Result<()> {
        let (length, step, each) = match self.axes.get(cut) {
            Some(axis) => (
                axis.length,
                axis.step,
                self.bytes_from(cut.saturating_add(1)),
            ),
            None => (
                self.run.checked_div(self.block).unwrap_or(1),
                self.block,
                self.block,
            ),
        };
        let count = most.checked_div(each).unwrap_or(1).max(1);
        let mut at: usize = 0;
        while at < length {
            let now = count.min(length.saturating_sub(at));
            let start = start.saturating_add(at.saturating_mul(step));
            visit(&self.slab(start, cut, now))?;
            at = at.saturating_add(now);
        }
        Ok(())
    }

    fn slab(&self, start: usize, axis: usize, count: usize) -> Slab {
        let (count, each) = match self.axes.get(axis) {
            Some(first) => (
                count.min(first.length),
                self.bytes_from(axis.saturating_add(1)),
            ),
            None if count == usize::MAX => (1, self.run),
            None => (count, self.block),
        };
        Slab {
            start,
            length: count.saturating_mul(each),
            axis,
            count,
        }
    }

    /// The bytes of a part that lie side by side already.
    pub(super) fn borrowed<'b>(&self, slab: &Slab, span: &'b [u8]) -> Option<&'b [u8]> {
        let left = self.axes.len().saturating_sub(slab.axis);
        let is_run = left == 0 || (left == 1 && slab.count == 1);
        let end = slab.start.checked_add(slab.length)?;
        is_run.then(|| span.get(slab.start..end))?
    }

    /// Whether parts of the layout that are at least this long can be borrowed.
    pub(super) const fn run(&self) -> usize {
        self.run
    }

    /// Copies a part into `out`, which has its length; `span` holds the whole layout.
    pub(super) fn gather(&self, slab: &Slab, span: &[u8], out: &mut [u8]) -> Result<()> {
        let mut axes: Vec<Axis> = self.axes.get(slab.axis..).unwrap_or_default().to_vec();
        let mut run = self.run;
        match axes.first_mut() {
            Some(first) => first.length = slab.count,
            None => run = slab.length,
        }
        let Some(last) = axes.pop() else {
            let from = span.get(slab.start..).and_then(|rest| rest.get(..run));
            return from.map_or_else(
                || Err(crate::source::shrunk()),
                |from| {
                    out.copy_from_slice(from);
                    Ok(())
                },
            );
        };
        // Steps in `out` of the axes before the last.
        let mut lengths: Vec<usize> = axes.iter().map(|axis| axis.length).collect();
        lengths.push(last.length);
        let mut steps = Vec::new();
        shape::contiguous_strides(&lengths, &mut steps);
        let row = last
            .length
            .checked_mul(run)
            .ok_or_else(Error::out_of_memory)?;
        let fast = axes
            .iter()
            .enumerate()
            .filter(|(_, axis)| axis.step > 0 && axis.step < last.step)
            .min_by_key(|(_, axis)| axis.step);
        let tiled = fast.map(|(place, _)| place).filter(|_| run < LINE_BYTES);
        let rows = match tiled {
            Some(place) => {
                let axis = axes.remove(place);
                let step = steps.remove(place);
                Rows {
                    axis,
                    out_step: step.saturating_mul(run),
                }
            }
            None => Rows {
                axis: Axis { length: 1, step: 0 },
                out_step: 0,
            },
        };
        let tile = Tile {
            rows,
            last,
            run,
            row,
        };
        let mut index = vec![0_usize; axes.len()];
        let mut start = slab.start;
        loop {
            let at = index.iter().zip(&steps);
            let at = at.fold(0_usize, |sum, (&index, &step)| {
                sum.saturating_add(index.saturating_mul(step))
            });
            tile.copy(span, start, out, at.saturating_mul(run));
            if !step(&axes, &mut index, &mut start) {
                return Ok(());
            }
        }
    }
}

/// Steps to the next index like an odometer; `false` after the last.
fn step(axes: &[Axis], index: &mut [usize], start: &mut usize) -> bool {
    for (axis, index) in axes.iter().zip(index).rev() {
        let next = index.saturating_add(1);
        if next < axis.length {
            *index = next;
            *start = start.saturating_add(axis.step);
            return true;
        }
        *start = start.saturating_sub(index.saturating_mul(axis.step));
        *index = 0;
    }
    false
}

/// The axis that becomes the rows of tiles.
struct Rows {
    axis: Axis,
    out_step: usize,
}

/// Two axes that are copied tile by tile.
struct Tile {
    rows: Rows,
    last: Axis,
    /// Bytes of one run, and of all runs of the last axis.
    run: usize,
    row: usize,
}

impl Tile {
    /// Copies from `start` of `span` to `at` of `out`.
    ///
    /// What would lie outside is left out; nothing does, because the entry's strides were proved to stay
    /// inside the span when it was built.
    fn copy(&self, span: &[u8], start: usize, out: &mut [u8], at: usize) {
        let copy = match self.run {
            1 => copy_runs::<1>,
            2 => copy_runs::<2>,
            4 => copy_runs::<4>,
            8 => copy_runs::<8>,
            16 => copy_runs::<16>,
            _ => copy_any_runs,
        };
        let rows = self.rows.axis;
        let height = LINE_BYTES.checked_div(rows.step).unwrap_or(1).max(1);
        let width = match rows.length {
            1 => self.last.length,
            _ => TILE,
        };
        for top in (0..rows.length).step_by(height) {
            for left in (0..self.last.length).step_by(width.max(1)) {
                let wide = width.min(self.last.length.saturating_sub(left));
                for row in top..top.saturating_add(height).min(rows.length) {
                    let from = start
                        .saturating_add(row.saturating_mul(rows.step))
                        .saturating_add(left.saturating_mul(self.last.step));
                    let to = at
                        .saturating_add(row.saturating_mul(self.rows.out_step))
                        .saturating_add(left.saturating_mul(self.run));
                    let end = to.saturating_add(wide.saturating_mul(self.run));
                    debug_assert!(end <= out.len() && wide.saturating_mul(self.run) <= self.row);
                    if let Some(out) = out.get_mut(to..end) {
                        copy(span, from, self.last.step, self.run, out);
                    }
                }
            }
        }
    }
}

/// Copies runs of `RUN` bytes, `step` bytes apart.
fn copy_runs<const RUN: usize>(span: &[u8], start: usize, step: usize, _: usize, out: &mut [u8]) {
    let (outs, _) = out.as_chunks_mut::<RUN>();
    let mut at = start;
    for out in outs {
        if let Some(run) = span.get(at..).and_then(|rest| rest.first_chunk::<RUN>()) {
            *out = *run;
        }
        at = at.saturating_add(step);
    }
}

fn copy_any_runs(span: &[u8], start: usize, step: usize, run: usize, out: &mut [u8]) {
    let mut at = start;
    for out in out.chunks_exact_mut(run.max(1)) {
        if let Some(from) = span.get(at..).and_then(|rest| rest.get(..run)) {
            out.copy_from_slice(from);
        }
        at = at.saturating_add(step);
    }
}
