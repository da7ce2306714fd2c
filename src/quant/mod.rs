//! Decoding of elements and blocks: one file per quantized type, one table.
//!
//! Scalar code, exact: a product of scale and integers fits the 24 bits of an f32, so that the only
//! rounding is the last addition, and no order of operations can change a result. A new type is a
//! file here, a row in `decoder` and a row in [`crate::dtype`]; a faster kernel for it is a file in
//! `simd`, and a row there.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "arithmetic on fixed-size blocks: no index, shift or size comes from a file"
)]

mod convert;
mod encode;
mod output;
mod plain;
mod simd;

mod grids;
mod iq1_m;
mod iq1_s;
mod iq2_s;
mod iq2_xs;
mod iq2_xxs;
mod iq3_s;
mod iq3_xxs;
mod iq4_nl;
mod iq4_xs;
mod mxfp4;
mod nvfp4;
mod q1_0;
mod q2_0;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod q8_1;
mod q8_k;
mod tq1_0;
mod tq2_0;

#[cfg(feature = "rayon")]
mod parallel;
#[cfg(test)]
mod tests;

pub use encode::{QUANTIZABLE, quantize};
pub use output::Output;

use crate::dtype::DType;
use crate::error::{Caller, Error, Result};

/// Values that pass through the stack on their way to a 16-bit type: a multiple of every block.
const SCRATCH: usize = 1024;

/// Outputs of at least this many bytes are stored past the cache. Measured on a processor with 32 MiB of L3
/// (Zen 3, Q4_0, writing and then reading): stores past the cache take 1.9 times as long at 8 MiB, and
/// 0.9 times at 16 MiB, 0.7 to 0.8 times beyond.
const STREAMED_BYTES: usize = 16 * 1024 * 1024;

/// Decodes the elements of one dtype.
#[derive(Clone, Copy)]
pub(crate) struct Decoder {
    block_bytes: usize,
    block_elements: usize,
    /// Decodes as many whole blocks as both slices hold: the truth, and the way of processors without
    /// a kernel.
    decode: fn(&[u8], &mut [f32]),
    kernel: Option<simd::Available>,
}

/// The decoder of `dtype`; `None` for types without an agreed value.
pub(crate) fn decoder(dtype: DType) -> Option<Decoder> {
    macro_rules! blocks {
        ($module:ident) => {
            |bytes, out| blocks(bytes, out, $module::decode)
        };
    }
    let decode: fn(&[u8], &mut [f32]) = match dtype {
        DType::F32 => plain::f32,
        DType::F16 => plain::f16,
        DType::BF16 => plain::bf16,
        DType::F64 => plain::f64,
        DType::I8 => plain::i8,
        DType::I16 => plain::i16,
        DType::I32 => plain::i32,
        DType::I64 => plain::i64,
        DType::U8 => plain::u8,
        DType::U16 => plain::u16,
        DType::U32 => plain::u32,
        DType::U64 => plain::u64,
        DType::BOOL => plain::bool,
        DType::F8_E4M3 => plain::f8_e4m3,
        DType::F8_E5M2 => plain::f8_e5m2,
        DType::F8_E4M3FNUZ => plain::f8_e4m3fnuz,
        DType::F8_E5M2FNUZ => plain::f8_e5m2fnuz,
        DType::F8_E8M0 => plain::f8_e8m0,
        DType::F4 => plain::f4,
        DType::Q4_0 => blocks!(q4_0),
        DType::Q4_1 => blocks!(q4_1),
        DType::Q5_0 => blocks!(q5_0),
        DType::Q5_1 => blocks!(q5_1),
        DType::Q8_0 => blocks!(q8_0),
        DType::Q8_1 => blocks!(q8_1),
        DType::Q2_K => blocks!(q2_k),
        DType::Q3_K => blocks!(q3_k),
        DType::Q4_K => blocks!(q4_k),
        DType::Q5_K => blocks!(q5_k),
        DType::Q6_K => blocks!(q6_k),
        DType::Q8_K => blocks!(q8_k),
        DType::IQ1_S => blocks!(iq1_s),
        DType::IQ1_M => blocks!(iq1_m),
        DType::IQ2_XXS => blocks!(iq2_xxs),
        DType::IQ2_XS => blocks!(iq2_xs),
        DType::IQ2_S => blocks!(iq2_s),
        DType::IQ3_XXS => blocks!(iq3_xxs),
        DType::IQ3_S => blocks!(iq3_s),
        DType::IQ4_NL => blocks!(iq4_nl),
        DType::IQ4_XS => blocks!(iq4_xs),
        DType::TQ1_0 => blocks!(tq1_0),
        DType::TQ2_0 => blocks!(tq2_0),
        DType::MXFP4 => blocks!(mxfp4),
        DType::NVFP4 => blocks!(nvfp4),
        DType::Q1_0 => blocks!(q1_0),
        DType::Q2_0 => blocks!(q2_0),
        _ => return None,
    };
    Some(Decoder {
        block_bytes: dtype.block_bytes(),
        block_elements: dtype.block_elements(),
        decode,
        kernel: simd::kernel(dtype),
    })
}

/// Decodes block after block.
fn blocks<const BYTES: usize, const ELEMENTS: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; ELEMENTS]),
) {
    let (blocks, _) = bytes.as_chunks::<BYTES>();
    let (outs, _) = out.as_chunks_mut::<ELEMENTS>();
    for (block, out) in blocks.iter().zip(outs) {
        decode(block, out);
    }
}

impl Decoder {
    /// How many elements `bytes` bytes hold.
    pub(crate) fn elements_in(&self, bytes: usize) -> usize {
        (bytes / self.block_bytes).saturating_mul(self.block_elements)
    }

    /// Decodes whole blocks into `out`, on several threads where that pays.
    ///
    /// # Errors
    /// `Caller` if `out` does not hold exactly the elements of `bytes`.
    pub(crate) fn decode_into<T: Output>(&self, bytes: &[u8], out: &mut [T]) -> Result<()> {
        self.expect_blocks(bytes, out)?;
        #[cfg(feature = "rayon")]
        parallel::decode(self, bytes, out, is_streamed(out));
        #[cfg(not(feature = "rayon"))]
        self.decode_on_one_thread(bytes, out, is_streamed(out));
        Ok(())
    }

    /// As [`decode_into`](Self::decode_into), on this thread.
    #[inline]
    pub(crate) fn decode_here<T: Output>(&self, bytes: &[u8], out: &mut [T]) -> Result<()> {
        self.expect_blocks(bytes, out)?;
        self.decode_on_one_thread(bytes, out, is_streamed(out));
        Ok(())
    }

    #[inline]
    fn expect_blocks<T>(&self, bytes: &[u8], out: &[T]) -> Result<()> {
        let expected = self.elements_in(bytes.len());
        if out.len() == expected && bytes.len().is_multiple_of(self.block_bytes) {
            return Ok(());
        }
        Err(Error::caller(Caller::OutputLength {
            unit: "elements",
            found: out.len() as u64,
            expected: expected as u64,
        }))
    }

    /// Decodes whole blocks; both slices hold the same number of them.
    #[inline]
    fn decode_on_one_thread<T: Output>(&self, bytes: &[u8], out: &mut [T], streamed: bool) {
        match self.kernel {
            Some(kernel) => kernel.decode(bytes, out, streamed),
            None => self.decode_scalar(bytes, out),
        }
    }

    /// The scalar code, which gives f32.
    fn decode_scalar<T: Output>(&self, bytes: &[u8], out: &mut [T]) {
        if let Some(out) = T::as_f32(out) {
            (self.decode)(bytes, out);
            return;
        }
        let mut scratch = [0.0_f32; SCRATCH];
        let step = SCRATCH / self.block_elements * self.block_bytes;
        for (bytes, out) in bytes.chunks(step).zip(out.chunks_mut(SCRATCH)) {
            let scratch = &mut scratch[..out.len()];
            (self.decode)(bytes, scratch);
            for (out, &value) in out.iter_mut().zip(&*scratch) {
                *out = T::from_f32(value);
            }
        }
    }
}

/// Decodes whole blocks twice, with the scalar code and with kernel number `which` of those that this processor
/// can run: for the fuzz target that compares them. `false` if there is no such kernel.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn decode_both_ways<T: Output>(
    dtype: DType,
    which: usize,
    bytes: &[u8],
    scalar: &mut [T],
    kernel: &mut [T],
    streamed: bool,
) -> bool {
    let available = simd::runnable(dtype).nth(which);
    let Some((decoder, available)) = decoder(dtype).zip(available) else {
        return false;
    };
    decoder.decode_scalar(bytes, scalar);
    available.decode(bytes, kernel, streamed);
    true
}

/// Whether an output is so large that it is stored past the cache.
fn is_streamed<T>(out: &[T]) -> bool {
    size_of_val(out) >= STREAMED_BYTES
}
