//! TQ2_0: pairs of bits less 1, times the scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{TOP, every, half_at, pairs, put_scaled, twice_16};
use crate::quant::tq2_0::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let d = every(half_at(block, 64) * TOP);
    for half in 0..2 {
        let sides = [0, 16].map(|side| pairs(twice_16(block, 32 * half + side)));
        for pair in 0..4 {
            for (side, pairs) in sides.iter().enumerate() {
                let q = _mm256_sub_epi8(pairs[pair], _mm256_set1_epi8(1));
                put_scaled(out, 16 * half + 4 * pair + 2 * side, q, d);
            }
        }
    }
}
