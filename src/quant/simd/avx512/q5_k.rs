//! Q5_K: a nibble and the bit above it, each 32 with a 6-bit scale and minimum.

use std::arch::x86_64::_mm512_or_si512;

use super::slot::Slot;
use super::vector::{
    bytes_8, half_at, in_memory, moved_left, moved_right, put_plus, scales_8, twice_32, two_twice,
};
use crate::quant::q4_k::scales_and_minimums;
use crate::quant::q5_k::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let (scales, minimums) = scales_and_minimums(block);
    let scales = scales_8(bytes_8(&scales, 0), half_at(block, 0));
    // Negated, to be added.
    let minimums = scales_8(bytes_8(&minimums, 0), -half_at(block, 2));
    let (scales, minimums) = (in_memory(&scales), in_memory(&minimums));
    let high = twice_32(block, 16);
    let fifths = [
        moved_left::<4, 3>(high, 16),
        moved_left::<2, 1>(high, 16),
        moved_right::<0, 1>(high, 16),
        moved_right::<2, 3>(high, 16),
    ];
    for (pair, fifth) in fifths.into_iter().enumerate() {
        let nibbles = moved_right::<0, 4>(twice_32(block, 48 + 32 * pair), 15);
        let q = _mm512_or_si512(nibbles, fifth);
        let (scales, minimums) = (two_twice(scales, 2 * pair), two_twice(minimums, 2 * pair));
        put_plus(out, 4 * pair, q, scales, minimums);
    }
}
