//! Whether the values of a tensor are numbers.

use super::TensorView;
use crate::bytes::room;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::quant;

/// Values decoded at a time: enough for several threads, little beside a model.
const CHUNK_ELEMENTS: usize = 1 << 20;

/// What [`TensorView::validate`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Validity {
    /// How many values are NaN or infinite. A block with a bad scale has at least one.
    pub not_finite: u64,
    /// The first of them, in row-major order.
    pub first: Option<u64>,
}

impl Validity {
    /// Whether every value is a finite number.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.not_finite == 0
    }
}

impl TensorView<'_> {
    /// Looks for NaN, infinity and bad block scales, on several threads for large tensors.
    ///
    /// Agrees with llama.cpp's `ggml_validate_row_data` on which tensors are valid: a block is bad there
    /// if its scale is, and then one of its values is not finite here. An MXFP4 scale of 255 is bad too.
    ///
    /// # Errors
    /// As [`dequantize_into`](Self::dequantize_into).
    pub fn validate(&self) -> Result<Validity> {
        let decoder = quant::decoder(self.dtype()).ok_or_else(|| {
            Error::unsupported("validation of", self.dtype_name()).for_tensor(self.name())
        })?;
        let mut validity = Validity::default();
        let mut position: u64 = 0;
        let mut values = Vec::new();
        let block_bytes = self.dtype().block_bytes().max(1);
        let blocks = CHUNK_ELEMENTS.checked_div(self.dtype().block_elements());
        let step = blocks.unwrap_or(1).saturating_mul(block_bytes);
        self.for_each_chunk(|chunk| {
            for part in chunk.chunks(step) {
                room::resize(&mut values, decoder.elements_in(part.len()), 0.0_f32)?;
                decoder.decode_into(part, &mut values)?;
                if self.dtype() == DType::MXFP4 {
                    mark_bad_exponents(part, &mut values);
                }
                for value in &values {
                    if !value.is_finite() {
                        validity.not_finite = validity.not_finite.saturating_add(1);
                        validity.first.get_or_insert(position);
                    }
                    position = position.saturating_add(1);
                }
            }
            Ok(())
        })?;
        Ok(validity)
    }
}

/// The exponent 255 means NaN, though it decodes to numbers.
fn mark_bad_exponents(blocks: &[u8], values: &mut [f32]) {
    let each = blocks.chunks(DType::MXFP4.block_bytes());
    for (block, values) in each.zip(values.chunks_mut(DType::MXFP4.block_elements())) {
        if block.first() == Some(&255)
            && let Some(first) = values.first_mut()
        {
            *first = f32::NAN;
        }
    }
}
