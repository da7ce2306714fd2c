//! Q3_K: pairs of bits and a bit above them, each 16 with a 6-bit scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{four, half_at, in_memory, halves_of, moved_right, put_scaled, scales_16, twice_32};
use crate::quant::q3_k::BYTES;
use crate::quant::simd::sse2::q3_k::scales;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let scales = scales_16(scales(block), half_at(block, 108));
    let scales = in_memory(&scales);
    let high = twice_32(block, 0);
    for half in 0..2 {
        let bytes = twice_32(block, 32 + 32 * half);
        let pairs = [moved_right::<0, 2>(bytes, 3), moved_right::<4, 6>(bytes, 3)];
        for (two, pairs) in pairs.into_iter().enumerate() {
            let bit = 1 << (4 * half + 2 * two);
            // Less 4 where the bit is clear.
            let clear = _mm512_testn_epi8_mask(high, halves_of(bit, bit << 1));
            let q = _mm512_mask_sub_epi8(pairs, clear, pairs, _mm512_set1_epi8(4));
            let at = 8 * half + 4 * two;
            put_scaled(out, at, q, four(scales, at));
        }
    }
}
