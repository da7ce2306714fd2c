//! Q5_K: a nibble and the bit above it, each 32 with a 6-bit scale and minimum.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{
    TOP, bytes_8, half_at, halves_of, moved_right, put_less, scales_8, twice_32, two_twice,
};
use crate::quant::q4_k::scales_and_minimums;
use crate::quant::q5_k::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let (scales, minimums) = scales_and_minimums(block);
    let scales = scales_8(bytes_8(&scales, 0), half_at(block, 0) * TOP);
    let minimums = scales_8(bytes_8(&minimums, 0), half_at(block, 2));
    let high = twice_32(block, 16);
    for pair in 0..4 {
        let nibbles = moved_right::<0, 4>(twice_32(block, 48 + 32 * pair), 15);
        let bit = 1 << (2 * pair);
        let set = _mm512_test_epi8_mask(high, halves_of(bit, bit << 1));
        let q = _mm512_mask_add_epi8(nibbles, set, nibbles, _mm512_set1_epi8(16));
        let (scales, minimums) = (two_twice(&scales, 2 * pair), two_twice(&minimums, 2 * pair));
        put_less(out, 4 * pair, q, scales, minimums);
    }
}
