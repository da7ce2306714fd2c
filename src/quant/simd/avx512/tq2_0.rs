//! TQ2_0: pairs of bits less 1, times the scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{half_at, moved_right, put_scaled, twice_32};
use crate::quant::tq2_0::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let d = half_at(block, 64);
    for half in 0..2 {
        let bytes = twice_32(block, 32 * half);
        let pairs = [moved_right::<0, 2>(bytes, 3), moved_right::<4, 6>(bytes, 3)];
        for (two, pairs) in pairs.into_iter().enumerate() {
            let q = _mm512_sub_epi8(pairs, _mm512_set1_epi8(1));
            put_scaled(out, 8 * half + 4 * two, q, [d; 4]);
        }
    }
}
