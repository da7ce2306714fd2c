//! Q5_K: a nibble and the bit above it, each 32 with a 6-bit scale and minimum.

use std::arch::x86_64::*;

use super::q4_k::scales_and_minimums;
use super::slot::Slot;
use super::vector::{bytes_16, nibbles, put_less};
use crate::quant::q5_k::BYTES;

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = scales_and_minimums(block);
    let high = [0, 16].map(|side| bytes_16(block, 16 + side));
    for pair in 0..4 {
        for (side, &high) in high.iter().enumerate() {
            let nibbles = nibbles(bytes_16(block, 48 + 32 * pair + 16 * side));
            for (part, low) in nibbles.into_iter().enumerate() {
                let group = 2 * pair + part;
                let bit = _mm_set1_epi8((1_u8 << group).cast_signed());
                let set = _mm_cmpeq_epi8(_mm_and_si128(high, bit), bit);
                let q = _mm_or_si128(low, _mm_and_si128(set, _mm_set1_epi8(16)));
                put_less(out, 4 * group + 2 * side, q, scales.of(group));
            }
        }
    }
}
