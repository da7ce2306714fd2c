//! Parts of a tensor, as views.

use std::borrow::Cow;
use std::ops::{Bound, RangeBounds};

use super::TensorView;
use crate::bytes::to_u64;
use crate::error::{Caller, Error, Result};
use crate::shape;

impl<'a> TensorView<'a> {
    /// The part of the tensor whose index on `axis` lies in `range`. A view: nothing is copied.
    ///
    /// On axis 0 of a contiguous tensor the part is contiguous too; on others it is strided.
    /// Block types are cut between blocks only.
    ///
    /// # Errors
    /// `Caller` if the axis or range lies outside the shape, if the range ends before it starts,
    /// or if it would cut a block (the error names the block length).
    ///
    /// # Example
    /// ```
    /// # fn main() -> weighbridge::Result<()> {
    /// # let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
    /// # let tensor = model.tensors().find(|tensor| tensor.shape().len() == 2).unwrap();
    /// // The second of two ranks takes the second half of the rows.
    /// let (rank, world_size) = (1, 2);
    /// let rows = tensor.shape()[0] / world_size;
    /// let mine = tensor.narrow(0, rank * rows..(rank + 1) * rows)?;
    /// assert_eq!(mine.shape()[0], rows);
    /// # Ok(())
    /// # }
    /// ```
    pub fn narrow(&self, axis: usize, range: impl RangeBounds<usize>) -> Result<Self> {
        let (start, end) = self.resolve(axis, &range)?;
        if let Some(pieces) = &self.pieces {
            return self.narrow_pieces(pieces, axis, start..end);
        }
        let strides = self.strides();
        let stride = strides.get(axis).copied().unwrap_or_default();
        let first = start.saturating_mul(stride);
        let mut narrowed = self.shape.to_vec();
        if let Some(dimension) = narrowed.get_mut(axis) {
            *dimension = end.saturating_sub(start);
        }
        let contiguous = shape::is_contiguous(&narrowed, &strides);
        let span = if narrowed.contains(&0) {
            self.span.part(0, 0)
        } else {
            self.check_blocks(&narrowed, &strides, contiguous, first, (start, end))?;
            let wide = |numbers: &[usize]| numbers.iter().copied().map(to_u64).collect::<Vec<_>>();
            let reach = shape::reach(&wide(&narrowed), &wide(&strides))?;
            let offset = self.dtype().bytes_for(to_u64(first));
            let length = self.dtype().bytes_for(reach);
            offset
                .zip(length)
                .and_then(|(offset, length)| self.span.part(offset, length))
        };
        let span = span.ok_or_else(|| self.range_error(axis, start, end))?;
        Ok(Self {
            shape: Cow::Owned(narrowed),
            strides: (!contiguous).then_some(Cow::Owned(strides)),
            span,
            ..self.clone()
        })
    }

    /// The part of `axis` that belongs to `rank` of `world_size`, for tensor parallelism: as
    /// [`narrow`](Self::narrow) with that rank's range.
    ///
    /// # Errors
    /// As [`narrow`](Self::narrow); `Caller` if the length of the axis is no multiple of `world_size`, or
    /// `rank` is not below it.
    ///
    /// # Example
    /// ```
    /// let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
    /// let weight = model.tensor("embed.weight")?;
    /// let columns = weight.narrow_to_rank(1, 3, 4)?;
    /// assert_eq!(columns.shape()[1] * 4, weight.shape()[1]);
    /// # Ok::<(), weighbridge::Error>(())
    /// ```
    pub fn narrow_to_rank(&self, axis: usize, rank: usize, world_size: usize) -> Result<Self> {
        let Some(&length) = self.shape.get(axis) else {
            return Err(self.range_error(axis, 0, 0));
        };
        let part = length
            .checked_div(world_size)
            .filter(|part| part.saturating_mul(world_size) == length && rank < world_size);
        let Some(part) = part else {
            return Err(self.error(Caller::Ranks {
                axis,
                length,
                rank,
                world_size,
            }));
        };
        let start = part.saturating_mul(rank);
        self.narrow(axis, start..start.saturating_add(part))
    }

    /// The bounds of `range` on `axis`, checked.
    fn resolve(&self, axis: usize, range: &impl RangeBounds<usize>) -> Result<(usize, usize)> {
        let length = self.shape.get(axis).copied().unwrap_or_default();
        let start = match range.start_bound() {
            Bound::Included(&start) => Some(start),
            Bound::Excluded(&start) => start.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match range.end_bound() {
            Bound::Included(&end) => end.checked_add(1),
            Bound::Excluded(&end) => Some(end),
            Bound::Unbounded => Some(length),
        };
        let (start, end) = (start.unwrap_or(usize::MAX), end.unwrap_or(usize::MAX));
        if axis >= self.shape.len() || start > end || end > length {
            return Err(self.range_error(axis, start, end));
        }
        Ok((start, end))
    }

    /// Every run of the part must start and end between two blocks.
    fn check_blocks(
        &self,
        shape: &[usize],
        strides: &[usize],
        contiguous: bool,
        first: usize,
        (start, end): (usize, usize),
    ) -> Result<()> {
        let block = self.dtype().block_elements();
        if block == 1 {
            return Ok(());
        }
        let whole = |number: usize| number.checked_rem(block) == Some(0);
        let run = if contiguous {
            whole(
                shape
                    .iter()
                    .fold(1, |product: usize, &next| product.saturating_mul(next)),
            )
        } else {
            let innermost = shape.last().copied().unwrap_or(1);
            let outer = strides.split_last().map_or(&[][..], |(_, outer)| outer);
            whole(innermost) && outer.iter().copied().all(whole)
        };
        if run && whole(first) {
            return Ok(());
        }
        Err(self.error(Caller::CutsBlock {
            start,
            end,
            block,
            dtype: self.dtype().name(),
        }))
    }

    #[cold]
    fn range_error(&self, axis: usize, start: usize, end: usize) -> Error {
        self.error(Caller::Range {
            axis,
            start,
            end,
            shape: self.shape.to_vec(),
        })
    }
}
