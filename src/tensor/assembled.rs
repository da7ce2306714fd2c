//! Tensors whose elements lie in several pieces, as distributed checkpoints save them.
//!
//! The pieces are boxes of one grid, disjoint and without gaps (proved when the checkpoint was opened). They
//! are joined on the way out, a slab of rows at a time: nothing is copied before it is asked for.

use std::ops::Range;
use std::sync::Arc;

use super::TensorView;
use crate::bytes::{Span, to_u64};
use crate::error::{Error, Result};

/// Bytes of the slab in which pieces are joined; one row is the least.
const SLAB_BYTES: usize = 1024 * 1024;

/// One piece and its place.
#[derive(Clone)]
pub(crate) struct Piece<'a> {
    /// The indices of its first element in the whole tensor.
    pub(crate) offsets: Vec<usize>,
    pub(crate) view: TensorView<'a>,
}

impl<'a> TensorView<'a> {
    /// The same tensor, joined from pieces.
    pub(crate) fn assembled(mut self, pieces: Vec<Piece<'a>>) -> Self {
        self.pieces = Some(pieces.into());
        self
    }

    /// The part `range` of `axis`, which was checked.
    pub(super) fn narrow_pieces(
        &self,
        pieces: &[Piece<'a>],
        axis: usize,
        range: Range<usize>,
    ) -> Result<Self> {
        let mut kept = Vec::new();
        for piece in pieces {
            let Some((inner, first)) = intersection(piece, axis, &range) else {
                continue;
            };
            let mut offsets = piece.offsets.clone();
            if let Some(offset) = offsets.get_mut(axis) {
                *offset = first;
            }
            let view = piece.view.narrow(axis, inner)?;
            kept.push(Piece { offsets, view });
        }
        let mut shape = self.shape.to_vec();
        if let Some(dimension) = shape.get_mut(axis) {
            *dimension = range.len();
        }
        Ok(Self {
            pieces: Some(kept.into()),
            shape: shape.into(),
            span: Span::default(),
            ..self.clone()
        })
    }

    /// Calls `visit` with the elements, joined slab by slab.
    pub(super) fn join(
        &self,
        pieces: &Arc<[Piece<'a>]>,
        mut visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if self.shape.contains(&0) {
            return Ok(());
        }
        let Some((&rows, inner)) = self.shape.split_first() else {
            // A scalar is one piece.
            let first = pieces.first();
            return first.map_or(Ok(()), |piece| piece.view.for_each_own_chunk(visit));
        };
        // Pieces that repeat their elements (stride 0) must not ask for more than they hold.
        self.expect_bounded()?;
        let row = inner
            .iter()
            .try_fold(1_usize, |product, &next| product.checked_mul(next));
        let row = row.and_then(|row| self.bytes_of(row));
        let row = row.ok_or_else(Error::out_of_memory)?;
        let step = SLAB_BYTES.checked_div(row).unwrap_or(1).clamp(1, rows);
        let size = step.checked_mul(row).ok_or_else(Error::out_of_memory)?;
        let mut slab = Vec::new();
        slab.try_reserve_exact(size)
            .map_err(|_| Error::out_of_memory())?;
        slab.resize(size, 0_u8);
        let mut start = 0;
        while start < rows {
            let end = start.saturating_add(step).min(rows);
            for piece in pieces.iter() {
                if let Some((part, first)) = intersection(piece, 0, &(start..end)) {
                    let part = piece.view.narrow(0, part)?;
                    let mut offsets = piece.offsets.clone();
                    if let Some(offset) = offsets.first_mut() {
                        *offset = first;
                    }
                    let mut place = Place::new(&self.shape, &offsets, &part)?;
                    part.for_each_own_chunk(|chunk| {
                        place.put(chunk, &mut slab);
                        Ok(())
                    })?;
                }
            }
            let used = end.saturating_sub(start).saturating_mul(row);
            visit(slab.get(..used).unwrap_or_default())?;
            start = end;
        }
        Ok(())
    }
}

/// What of a piece lies in `range` of `axis`: the part of the piece, and its first place in the range.
fn intersection(
    piece: &Piece<'_>,
    axis: usize,
    range: &Range<usize>,
) -> Option<(Range<usize>, usize)> {
    let offset = *piece.offsets.get(axis)?;
    let length = *piece.view.shape().get(axis)?;
    let start = range.start.max(offset);
    let end = range.end.min(offset.saturating_add(length));
    (start < end).then(|| {
        let inner = start.saturating_sub(offset)..end.saturating_sub(offset);
        (inner, start.saturating_sub(range.start))
    })
}

/// Where the next bytes of a piece belong in a slab.
struct Place {
    /// Dimensions of the part and strides of the slab in bytes, without the innermost.
    outer: Vec<(usize, usize)>,
    index: Vec<usize>,
    /// Bytes of one run: the innermost dimension of the part.
    run: usize,
    /// Where the current run starts, and how much of it was put.
    start: usize,
    within: usize,
}

impl Place {
    fn new(whole: &[usize], offsets: &[usize], part: &TensorView<'_>) -> Result<Self> {
        let element = part.dtype().block_bytes();
        let mut strides = Vec::new();
        crate::shape::contiguous_strides(whole, &mut strides);
        let mut start: usize = 0;
        let mut outer = Vec::new();
        for ((&stride, &offset), &dimension) in strides.iter().zip(offsets).zip(part.shape()) {
            let stride = stride.saturating_mul(element);
            start = start.saturating_add(offset.saturating_mul(stride));
            outer.push((dimension, stride));
        }
        let (innermost, _) = outer.pop().ok_or_else(Error::out_of_memory)?;
        Ok(Self {
            index: vec![0; outer.len()],
            outer,
            run: innermost.saturating_mul(element),
            start,
            within: 0,
        })
    }

    fn put(&mut self, mut bytes: &[u8], slab: &mut [u8]) {
        while !bytes.is_empty() && self.run > 0 {
            let left = self.run.saturating_sub(self.within);
            let (now, later) = bytes.split_at(left.min(bytes.len()));
            let at = self.start.saturating_add(self.within);
            let target = at
                .checked_add(now.len())
                .and_then(|end| slab.get_mut(at..end));
            if let Some(target) = target {
                target.copy_from_slice(now);
            }
            self.within = self.within.saturating_add(now.len());
            bytes = later;
            if self.within == self.run {
                self.within = 0;
                self.step();
            }
        }
    }

    /// Steps to the next run like an odometer.
    fn step(&mut self) {
        for (&(dimension, stride), index) in self.outer.iter().zip(&mut self.index).rev() {
            let next = index.saturating_add(1);
            if next < dimension {
                *index = next;
                self.start = self.start.saturating_add(stride);
                return;
            }
            self.start = self.start.saturating_sub(index.saturating_mul(stride));
            *index = 0;
        }
    }
}

/// Whether boxes cover a grid of `shape` exactly: inside, disjoint, and as many elements.
pub(crate) fn covers(shape: &[usize], boxes: &[(&[usize], &[usize])]) -> bool {
    let volume = |shape: &[usize]| {
        shape.iter().try_fold(1_u128, |product, &next| {
            product.checked_mul(to_u64(next).into())
        })
    };
    let inside = boxes.iter().all(|(offsets, sizes)| {
        offsets.len() == shape.len()
            && sizes.len() == shape.len()
            && offsets
                .iter()
                .zip(*sizes)
                .zip(shape)
                .all(|((&offset, &size), &length)| {
                    offset.checked_add(size).is_some_and(|end| end <= length)
                })
    });
    let held = boxes
        .iter()
        .try_fold(0_u128, |sum, (_, sizes)| sum.checked_add(volume(sizes)?));
    inside && held.is_some() && held == volume(shape) && are_disjoint(boxes)
}

fn are_disjoint(boxes: &[(&[usize], &[usize])]) -> bool {
    // Sorted by where they start on the first axis, a box only meets those that start before it ends.
    let mut order: Vec<&(&[usize], &[usize])> = boxes.iter().collect();
    order.retain(|(_, sizes)| !sizes.contains(&0));
    order.sort_by_key(|(offsets, _)| offsets.first().copied());
    let meet = |a: &(&[usize], &[usize]), b: &(&[usize], &[usize])| {
        let mut axes = a.0.iter().zip(a.1).zip(b.0.iter().zip(b.1));
        axes.all(|((&a, &length), (&b, &other))| {
            a < b.saturating_add(other) && b < a.saturating_add(length)
        })
    };
    order.iter().enumerate().all(|(place, first)| {
        let end = first.0.first().zip(first.1.first());
        let end = end.map_or(usize::MAX, |(start, length)| start.saturating_add(*length));
        let later = order.iter().skip(place.saturating_add(1));
        later
            .take_while(|next| next.0.first().is_none_or(|&start| start < end))
            .all(|next| !meet(first, next))
    })
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn only_exact_covers_pass() {
        let half: (&[usize], &[usize]) = (&[0, 0], &[2, 3]);
        let other: (&[usize], &[usize]) = (&[2, 0], &[2, 3]);
        assert!(covers(&[4, 3], &[half, other]));
        assert!(covers(&[4, 3], &[other, half]));
        assert!(covers(&[], &[(&[], &[])]));
        assert!(covers(&[0, 3], &[]));
        assert!(!covers(&[], &[(&[], &[]), (&[], &[])]));
        assert!(!covers(&[4, 3], &[half]));
        assert!(!covers(&[4, 3], &[half, half]));
        assert!(!covers(&[3, 3], &[half, (&[1, 0], &[1, 3])]));
        assert!(!covers(&[2, 3], &[(&[0, 1], &[2, 3])]));
        assert!(!covers(&[2], &[(&[usize::MAX], &[2])]));
        assert!(!covers(&[2, 3], &[(&[0], &[2])]));
    }
}
