//! Q8_K: bytes times the scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{Sixteen, bytes_16, every};
use crate::quant::convert::u32_at;
use crate::quant::q8_k::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let d = every(f32::from_bits(u32_at(block, 0)));
    for (sixteen, out) in out.iter_mut().enumerate() {
        let bytes = bytes_16(block, 4 + 16 * sixteen);
        let values = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
        // A scale that is a whole f32 may make them subnormal.
        Sixteen::rounded_any::<S>(_mm512_mul_ps(values, d)).store(out);
    }
}
