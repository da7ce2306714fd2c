//! Q3_K: pairs of bits and a bit above them, each 16 with a 6-bit scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{TOP, bytes_16, every, half_at, pairs, put_scaled, scales_16};
use crate::quant::convert::u32_at;
use crate::quant::q3_k::BYTES;

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = scales_16(scales(block), half_at(block, 108) * TOP);
    for half in 0..2 {
        for side in 0..2 {
            let high = bytes_16(block, 16 * side);
            let pairs = pairs(bytes_16(block, 32 + 32 * half + 16 * side));
            for (pair, q) in pairs.into_iter().enumerate() {
                let bit = _mm_set1_epi8((1_u8 << (4 * half + pair)).cast_signed());
                let clear = _mm_cmpeq_epi8(_mm_and_si128(high, bit), _mm_setzero_si128());
                // Less 4 where the bit is clear.
                let less = _mm_and_si128(clear, _mm_set1_epi8(-4));
                let group = 8 * half + 2 * pair + side;
                put_scaled(out, 2 * group, _mm_or_si128(q, less), every(scales[group]));
            }
        }
    }
}

/// The 16 scales less 32. Eight bytes hold their low halves, four bytes their upper two bits.
#[inline]
#[target_feature(enable = "sse2")]
pub(in crate::quant::simd) fn scales(block: &[u8; BYTES]) -> __m128i {
    let word = |at| u32_at(block, at).cast_signed();
    let (first, second, high) = (word(96), word(100), word(104));
    let low = _mm_set_epi32(second >> 4, first >> 4, second, first);
    let high = _mm_set_epi32(high >> 2, high, high << 2, high << 4);
    let low = _mm_and_si128(low, _mm_set1_epi8(0x0f));
    let high = _mm_and_si128(high, _mm_set1_epi8(0x30));
    _mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32))
}
