//! Q3_K: pairs of bits and a bit above them, each 16 with a 6-bit scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{TOP, every, half_at, in_memory, pairs, put_scaled, scales_16, twice_16};
use crate::quant::q3_k::BYTES;
use crate::quant::simd::sse2::q3_k::scales;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = scales_16(scales(block), half_at(block, 108) * TOP);
    let scales = in_memory(&scales);
    let high = [0, 16].map(|side| twice_16(block, side));
    for half in 0..2 {
        let sides = [0, 16].map(|side| pairs(twice_16(block, 32 + 32 * half + side)));
        for pair in 0..4 {
            let bit = _mm256_set1_epi8((1_u8 << (4 * half + pair)).cast_signed());
            for (side, pairs) in sides.iter().enumerate() {
                let set = _mm256_and_si256(high[side], bit);
                let clear = _mm256_cmpeq_epi8(set, _mm256_setzero_si256());
                // Less 4 where the bit is clear.
                let less = _mm256_and_si256(clear, _mm256_set1_epi8(-4));
                let group = 8 * half + 2 * pair + side;
                put_scaled(out, 2 * group, _mm256_or_si256(pairs[pair], less), every(scales[group]));
            }
        }
    }
}
