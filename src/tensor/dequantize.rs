//! Values, decoded into the caller's memory.

use std::ops::Range;

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
    /// Outputs of more than a million elements are split over the threads of rayon's current pool (feature
    /// `rayon`): call this inside `ThreadPool::install` to choose another one, or use
    /// [`dequantize_rows_into`](Self::dequantize_rows_into), which stays on the calling thread. Values do
    /// not depend on it. Decode into memory that was used before where speed counts: the system hands out
    /// fresh pages several times more slowly than they are filled.
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
        let decoder = self.decoder()?;
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

    /// Decodes some rows (indices of the outermost axis) into `out`, on the calling thread: for an
    /// embedding of one token, or one expert. A contiguous tensor costs some nanoseconds over the
    /// decoding, and nothing is allocated.
    ///
    /// `out` must hold exactly the elements of those rows: 4,096 for one row of a `[32000, 4096]` tensor.
    ///
    /// # Errors
    /// As [`dequantize_into`](Self::dequantize_into); `Caller` too if `rows` lies outside the shape, or
    /// a row does not fill whole blocks.
    ///
    /// # Example
    /// ```
    /// # fn main() -> weighbridge::Result<()> {
    /// # let model = weighbridge::open("tests/files/gguf/network.gguf")?;
    /// # let tensor = model.tensors().find(|tensor| tensor.shape().len() == 2).unwrap();
    /// let mut row = vec![0.0_f32; tensor.shape()[1]];
    /// for token in [1, 0] {
    ///     tensor.dequantize_rows_into(token..token + 1, &mut row)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn dequantize_rows_into<T: Output>(&self, rows: Range<usize>, out: &mut [T]) -> Result<()> {
        let Some(bytes) = self.bytes_of_rows(&rows) else {
            return self.narrow(0, rows)?.dequantize_into(out);
        };
        self.decoder()?
            .decode_here(bytes, out)
            .map_err(|error| error.for_tensor(self.name()))
    }

    /// The bytes of some rows; `None` where they do not stand in the file side by side, in this order.
    fn bytes_of_rows(&self, rows: &Range<usize>) -> Option<&[u8]> {
        let (count, inner) = self.shape().split_first()?;
        if rows.start > rows.end || rows.end > *count {
            return None;
        }
        let row = inner
            .iter()
            .try_fold(1, |product: usize, &next| product.checked_mul(next))?;
        let start = self.bytes_of(rows.start.checked_mul(row)?)?;
        let end = self.bytes_of(rows.end.checked_mul(row)?)?;
        self.bytes().ok()?.get(start..end)
    }

    fn decoder(&self) -> Result<quant::Decoder> {
        quant::decoder(self.dtype()).ok_or_else(|| {
            Error::unsupported("dequantization of", self.dtype_name()).for_tensor(self.name())
        })
    }
}
