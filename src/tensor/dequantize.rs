//! Values, decoded into the caller's memory.

use super::TensorView;
use crate::error::{Error, Result};
use crate::quant::{self, Output};

impl TensorView<'_> {
    /// Whether [`dequantize_into`](Self::dequantize_into) knows the values of the dtype, and the tensor
    /// has data.
    #[must_use]
    pub fn can_dequantize(&self) -> bool {
        quant::decoder(self.dtype()).is_some() && self.has_data()
    }

    /// Decodes every element into `out`, row-major: any decodable dtype, any strides, either byte
    /// order. `out` must hold exactly [`elements`](Self::elements) values: a `[4096, 4096]` tensor
    /// needs 16,777,216.
    ///
    /// An f32 result is bit-equal to ggml's `dequantize_row_*`; f16 and bf16 results are that value
    /// rounded to nearest, ties to even. NVFP4 is decoded without its `.scale` tensor.
    ///
    /// # Errors
    /// `Caller` if `out` has another length or the tensor has no data; `Unsupported` for types
    /// without an agreed value (6-bit floats, complex, torch's quantized types, opaque).
    ///
    /// # Example
    /// ```
    /// # fn main() -> weighbridge::Result<()> {
    /// # let model = weighbridge::open("tests/files/gguf/network.gguf")?;
    /// # let tensor = model.tensors().next().unwrap();
    /// let mut values = vec![0.0_f32; tensor.elements()];
    /// tensor.dequantize_into(&mut values)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn dequantize_into<T: Output>(&self, out: &mut [T]) -> Result<()> {
        self.expect_length("elements", out.len(), Some(self.elements()))?;
        let decoder = quant::decoder(self.dtype()).ok_or_else(|| {
            Error::unsupported("dequantization of", self.dtype_name()).for_tensor(self.name())
        })?;
        let mut rest = out;
        self.for_each_chunk(|chunk| {
            let elements = decoder.elements_in(chunk.len());
            if let Some((head, tail)) = std::mem::take(&mut rest).split_at_mut_checked(elements) {
                decoder.decode_into(chunk, head)?;
                rest = tail;
            }
            Ok(())
        })
    }
}
