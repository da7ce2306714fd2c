//! Q5_K: a nibble and the bit above it, each 32 with a 6-bit scale and minimum.

use std::arch::x86_64::*;

use super::q4_k::scales_and_minimums;
use super::slot::Slot;
use super::vector::{every, in_memory, nibbles, put_less, twice_16};
use crate::quant::q5_k::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let (scales, minimums) = scales_and_minimums(block);
    let (scales, minimums) = (in_memory(&scales), in_memory(&minimums));
    let high = [0, 16].map(|side| twice_16(block, 16 + side));
    for pair in 0..4 {
        let sides = [0, 16].map(|side| nibbles(twice_16(block, 48 + 32 * pair + side)));
        for part in 0..2 {
            let group = 2 * pair + part;
            let bit = _mm256_set1_epi8((1_u8 << group).cast_signed());
            for (side, nibbles) in sides.iter().enumerate() {
                let set = _mm256_cmpeq_epi8(_mm256_and_si256(high[side], bit), bit);
                let fifth = _mm256_and_si256(set, _mm256_set1_epi8(16));
                let q = _mm256_or_si256(nibbles[part], fifth);
                let scale = (every(scales[group]), every(minimums[group]));
                put_less(out, 4 * group + 2 * side, q, scale);
            }
        }
    }
}
