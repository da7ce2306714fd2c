//! Q5_0: a nibble and the bit above it, less 16, times the scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{LOWER_16, UPPER_16, halves_of_top, nibbles, put_scaled, twice_16, where_set};
use crate::quant::convert::u32_at;
use crate::quant::q5_0::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let d = halves_of_top::<S>(block, 0);
    let high_bits = u32_at(block, 2);
    let nibbles = nibbles(twice_16(block, 6));
    for (half, bytes) in [LOWER_16, UPPER_16].into_iter().enumerate() {
        // Less 16 where the fifth bit is clear: the bits above a nibble are those of -16.
        let less = _mm256_andnot_si256(where_set(high_bits, bytes), _mm256_set1_epi8(-16));
        put_scaled(out, 2 * half, _mm256_or_si256(nibbles[half], less), d);
    }
}
