//! How much two tensors differ.

use super::TensorView;
use crate::bytes::{room, to_usize};
use crate::error::Result;

/// Elements of each tensor that are compared at a time.
const PART_ELEMENTS: usize = 1 << 18;

/// How the values of two tensors differ.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// How many values differ.
    pub values: u64,
    /// The largest absolute difference; infinite where one is NaN or infinite and the other is not the same.
    pub largest: f32,
    /// Where that is, in row-major order; `None` if no value differs.
    pub at: Option<u64>,
}

impl TensorView<'_> {
    /// Compares the values, decoded to f32, of two tensors of one shape: whatever their formats, types,
    /// strides and byte orders. NaN equals NaN; the signs of zeros do not count.
    ///
    /// Memory: some rows of each.
    ///
    /// # Errors
    /// `Caller` if the shapes differ; as [`dequantize_into`](Self::dequantize_into) for each; `Limit` if repeated
    /// elements are more than [`Limits::expanded_bytes`](crate::Limits::expanded_bytes) allows.
    ///
    /// # Example
    /// ```
    /// let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
    /// let other = weighbridge::open("tests/files/safetensors/network_bf16.safetensors")?;
    /// let (weight, rounded) = (model.tensor("embed.weight")?, other.tensor("embed.weight")?);
    /// let difference = weight.difference(&rounded)?;
    /// assert!(difference.values > 0 && difference.largest < 0.02);
    /// # Ok::<(), weighbridge::Error>(())
    /// ```
    pub fn difference(&self, other: &TensorView<'_>) -> Result<Difference> {
        let mut difference = Difference::default();
        let mut position: u64 = 0;
        let (mut own, mut others) = (Vec::new(), Vec::new());
        self.in_parts(other, |part, other| {
            room::resize(&mut own, part.elements(), 0.0_f32)?;
            room::resize(&mut others, other.elements(), 0.0_f32)?;
            part.dequantize_into(&mut own)?;
            other.dequantize_into(&mut others)?;
            for (&a, &b) in own.iter().zip(&others) {
                if a != b && !(a.is_nan() && b.is_nan()) {
                    difference.values = difference.values.saturating_add(1);
                    let size = (a - b).abs();
                    let size = if size.is_nan() { f32::INFINITY } else { size };
                    if difference.at.is_none() || size > difference.largest {
                        difference.largest = size;
                        difference.at = Some(position);
                    }
                }
                position = position.saturating_add(1);
            }
            Ok(true)
        })?;
        Ok(difference)
    }

    /// Whether two tensors have the same type, shape and elements, byte for byte in row-major little-endian
    /// order: whatever their formats, strides and byte orders.
    ///
    /// # Errors
    /// As [`copy_into`](Self::copy_into) for each; `Limit` as [`difference`](Self::difference).
    pub fn has_same_elements(&self, other: &TensorView<'_>) -> Result<bool> {
        if self.dtype_name() != other.dtype_name()
            || self.shape() != other.shape()
            || self.byte_length() != other.byte_length()
        {
            return Ok(false);
        }
        if let (Ok(own), Ok(others)) = (self.bytes(), other.bytes()) {
            return Ok(own == others);
        }
        let mut same = true;
        let (mut own, mut others) = (Vec::new(), Vec::new());
        let length = |part: &TensorView<'_>| to_usize(part.byte_length());
        self.in_parts(other, |part, other| {
            room::resize(&mut own, length(part).unwrap_or_default(), 0_u8)?;
            room::resize(&mut others, length(other).unwrap_or_default(), 0_u8)?;
            part.copy_into(&mut own)?;
            other.copy_into(&mut others)?;
            same = own == others;
            Ok(same)
        })?;
        Ok(same)
    }

    /// Shows parts of two tensors of one shape side by side, until `visit` says `false`.
    fn in_parts(
        &self,
        other: &TensorView<'_>,
        mut visit: impl FnMut(&TensorView<'_>, &TensorView<'_>) -> Result<bool>,
    ) -> Result<()> {
        other.expect_shape(self.shape())?;
        // A few bytes may stand for any number of elements.
        self.expect_bounded()?;
        other.expect_bounded()?;
        // Beside a dimension of 0 the others may be of any size.
        let empty = self.elements() == 0;
        let Some((&rows, inner)) = self.shape().split_first().filter(|_| !empty) else {
            return visit(self, other).map(|_| ());
        };
        let row = inner
            .iter()
            .fold(1_usize, |product, &next| product.saturating_mul(next));
        // A vector is cut between the blocks of both.
        let block = match inner {
            [] => self
                .dtype()
                .block_elements()
                .max(other.dtype().block_elements()),
            _ => 1,
        };
        let step = PART_ELEMENTS.checked_div(row.max(1)).unwrap_or(1).max(1);
        let step = step.next_multiple_of(block.max(1));
        let mut start: usize = 0;
        while start < rows {
            let end = start.saturating_add(step).min(rows);
            if !visit(&self.narrow(0, start..end)?, &other.narrow(0, start..end)?)? {
                break;
            }
            start = end;
        }
        Ok(())
    }
}
