//! IQ4_XS: nibbles through the table of IQ4_NL, each 32 with a 6-bit scale.

use std::arch::x86_64::*;

use super::iq4_nl::VALUES;
use super::slot::Slot;
use super::vector::{TOP, every, half_at, in_memory, nibbles, put_scaled, scales_8, twice_16};
use crate::quant::convert::{u16_at, u32_at};
use crate::quant::iq4_xs::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = scales_8(scales(block), half_at(block, 0) * TOP);
    let scales = in_memory(&scales);
    for (group, &scale) in scales.iter().enumerate() {
        let nibbles = nibbles(twice_16(block, 8 + 16 * group));
        for (half, q) in nibbles.into_iter().enumerate() {
            let values = _mm256_shuffle_epi8(bytemuck::cast(VALUES), q);
            put_scaled(out, 4 * group + 2 * half, values, every(scale));
        }
    }
}

/// The eight scales less 32: four bits each in a word, two bits above them in a half word.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(in crate::quant::simd) fn scales(block: &[u8; BYTES]) -> __m128i {
    let bytes = _mm_set1_epi32(u32_at(block, 4).cast_signed());
    let low = _mm_unpacklo_epi8(bytes, _mm_srli_epi16::<4>(bytes));
    // Pair i of the bits of the half word, moved to bits 4 and 5 of byte i.
    let high = u64::from(u16_at(block, 2));
    let spread = (0..8).fold(0, |spread, pair| {
        spread | (high >> (2 * pair) & 3) << (8 * pair + 4)
    });
    let low = _mm_and_si128(low, _mm_set1_epi8(15));
    let both = _mm_or_si128(low, _mm_cvtsi64_si128(spread.cast_signed()));
    _mm_sub_epi8(both, _mm_set1_epi8(32))
}
