//! Q5_1: a nibble and the bit above it, times the scale, plus the minimum.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::tables::FIFTH_BITS;
use super::vector::{halves_at, halves_of_top, nibbles, put, twice_16, wide};
use crate::quant::convert::u32_at;
use crate::quant::q5_1::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let d = halves_of_top::<S>(block, 0);
    let m = halves_at::<S>(block, 2);
    let nibbles = nibbles(twice_16(block, 8));
    let high_bits = u32_at(block, 4).to_le_bytes();
    for (part, out) in out.iter_mut().enumerate() {
        let high = FIFTH_BITS[usize::from(high_bits[part])];
        let low = wide(nibbles[part / 2], part % 2 == 1);
        let q = _mm256_or_si256(low, bytemuck::cast(high.0));
        put(out, _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(q), d), m));
    }
}
