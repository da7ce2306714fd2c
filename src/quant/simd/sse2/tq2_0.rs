//! TQ2_0: pairs of bits less 1, times the scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{TOP, bytes_16, every, half_at, pairs, put_scaled};
use crate::quant::tq2_0::BYTES;

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let d = every(half_at(block, 64) * TOP);
    for half in 0..2 {
        for side in 0..2 {
            let pairs = pairs(bytes_16(block, 32 * half + 16 * side));
            for (pair, pairs) in pairs.into_iter().enumerate() {
                let q = _mm_sub_epi8(pairs, _mm_set1_epi8(1));
                put_scaled(out, 16 * half + 4 * pair + 2 * side, q, d);
            }
        }
    }
}
