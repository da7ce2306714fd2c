//! Q2_0: pairs of bits less 1, times the scale; four neighbours in a byte.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{halves_of_top, pairs, put_scaled, twice_16};
use crate::quant::q2_0::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 8]) {
    let d = halves_of_top::<S>(block, 0);
    let [first, second, third, fourth] =
        pairs(twice_16(block, 2)).map(|pair| _mm256_sub_epi8(pair, _mm256_set1_epi8(1)));
    // The four elements of a byte side by side: pairs of neighbours, then pairs of pairs.
    let left = [_mm256_unpacklo_epi8(first, second), _mm256_unpackhi_epi8(first, second)];
    let right = [_mm256_unpacklo_epi8(third, fourth), _mm256_unpackhi_epi8(third, fourth)];
    for (half, (left, right)) in left.into_iter().zip(right).enumerate() {
        put_scaled(out, 4 * half, _mm256_unpacklo_epi16(left, right), d);
        put_scaled(out, 4 * half + 2, _mm256_unpackhi_epi16(left, right), d);
    }
}
