//! Q6_K: nibbles and pairs of bits above them, less 32, each 16 with an 8-bit scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{
    bytes_16, bytes_64, four, half_at, in_memory, moved_left, moved_right, put_scaled, scales_16, twice_32,
};
use crate::quant::q6_k::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let scales = scales_16(bytes_16(block, 192), half_at(block, 208));
    let scales = in_memory(&scales);
    for half in 0..2 {
        let low = bytes_64(block, 64 * half);
        let high = twice_32(block, 128 + 32 * half);
        let sixes = [
            (moved_right::<0, 0>(low, 15), moved_left::<4, 2>(high, 0x30)),
            (moved_right::<4, 4>(low, 15), moved_right::<0, 2>(high, 0x30)),
        ];
        for (part, (low, high)) in sixes.into_iter().enumerate() {
            let q = _mm512_sub_epi8(_mm512_or_si512(low, high), _mm512_set1_epi8(32));
            let at = 8 * half + 4 * part;
            put_scaled(out, at, q, four(scales, at));
        }
    }
}
