//! The scale that stands beside an NVFP4 tensor.
//!
//! llama.cpp's converter stores the global scale of an NVFP4 weight as an f32 tensor of its own: one
//! number, or one per expert for stacked experts. The weight's values are the block values times it.

use super::Checkpoint;
use crate::bytes::{room, to_u64};
use crate::dtype::DType;
use crate::error::{Caller, Error, Malformed, Result};
use crate::quant::{self, Output};
use crate::tensor::TensorView;

/// Blocks decoded at a time: 64 KiB of values.
const CHUNK_BLOCKS: usize = 256;

impl Checkpoint {
    /// The scale tensor of an NVFP4 tensor: `NAME.scale`, where a final `.weight` of the name may be
    /// left out.
    #[must_use]
    pub fn scale_of(&self, tensor: &TensorView<'_>) -> Option<TensorView<'_>> {
        if tensor.dtype() != DType::NVFP4 {
            return None;
        }
        let name = tensor.name();
        let stem = name.strip_suffix(".weight").unwrap_or(name);
        self.find(&format!("{stem}.scale"))
            .or_else(|| self.find(&format!("{name}.scale")))
    }

    /// Decodes a whole tensor as [`TensorView::dequantize_into`] does, times its scale tensor if it has
    /// one: the values that a model means.
    ///
    /// # Errors
    /// As [`TensorView::dequantize_into`]; `Malformed` if the scale is no f32 tensor of one number, or of
    /// one per outermost index.
    pub fn dequantize_scaled_into<T: Output>(
        &self,
        tensor: &TensorView<'_>,
        out: &mut [T],
    ) -> Result<()> {
        let Some(scale) = self.scale_of(tensor) else {
            return tensor.dequantize_into(out);
        };
        let outermost = tensor.shape().first().copied().unwrap_or(1);
        let count = scale.elements();
        if scale.dtype() != DType::F32 || !(count == 1 || count == outermost) {
            return Err(Error::malformed(Malformed::Mismatch {
                what: "the numbers of an NVFP4 scale",
                found: to_u64(count),
                expected: to_u64(outermost),
            })
            .for_tensor(scale.name()));
        }
        let mut scales = Vec::new();
        room::resize(&mut scales, count, 0.0_f32)?;
        scale.dequantize_into(&mut scales)?;
        // Each scale covers as many values as its part of the tensor has.
        let each = tensor
            .elements()
            .checked_div(count)
            .unwrap_or_default()
            .max(1);
        let decoder = quant::decoder(tensor.dtype())
            .ok_or_else(|| Error::unsupported("dequantization of", tensor.dtype_name()))?;
        if out.len() != tensor.elements() {
            return Err(Error::caller(Caller::OutputLength {
                unit: "elements",
                found: to_u64(out.len()),
                expected: to_u64(tensor.elements()),
            })
            .for_tensor(tensor.name()));
        }
        let mut values = Vec::new();
        let mut outs = out.iter_mut().enumerate();
        tensor.for_each_chunk(|chunk| {
            let step = tensor
                .dtype()
                .block_bytes()
                .saturating_mul(CHUNK_BLOCKS)
                .max(1);
            for part in chunk.chunks(step) {
                values.resize(decoder.elements_in(part.len()), 0.0_f32);
                decoder.decode_into(part, &mut values)?;
                for (&value, (place, out)) in values.iter().zip(outs.by_ref()) {
                    let scale = place.checked_div(each).and_then(|part| scales.get(part));
                    *out = T::from_f32(value * scale.copied().unwrap_or(1.0));
                }
            }
            Ok(())
        })
    }
}
