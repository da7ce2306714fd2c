//! Q5_0: a nibble and the bit above it, less 16, times the scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::tables::FIFTH_BITS_LESS_16;
use super::vector::{halves_of_top, nibbles, put, twice_16, wide};
use crate::quant::convert::u32_at;
use crate::quant::q5_0::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let d = halves_of_top::<S>(block, 0);
    let nibbles = nibbles(twice_16(block, 6));
    let high_bits = u32_at(block, 2).to_le_bytes();
    for (part, out) in out.iter_mut().enumerate() {
        let high = FIFTH_BITS_LESS_16[usize::from(high_bits[part])];
        let low = wide(nibbles[part / 2], part % 2 == 1);
        let q = _mm256_or_si256(low, bytemuck::cast(high.0));
        put(out, _mm256_mul_ps(_mm256_cvtepi32_ps(q), d));
    }
}
