//! Q5_1: a nibble and the bit above it, times the scale, plus the minimum.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{
    LOWER_16, UPPER_16, halves_at, halves_of_top, nibbles, put_plus, twice_16, where_set,
};
use crate::quant::convert::u32_at;
use crate::quant::q5_1::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let d = halves_of_top::<S>(block, 0);
    let m = halves_at::<S>(block, 2);
    let high_bits = u32_at(block, 4);
    let nibbles = nibbles(twice_16(block, 8));
    for (half, bytes) in [LOWER_16, UPPER_16].into_iter().enumerate() {
        let fifth = _mm256_and_si256(where_set(high_bits, bytes), _mm256_set1_epi8(16));
        put_plus(out, 2 * half, _mm256_or_si256(nibbles[half], fifth), (d, m));
    }
}
