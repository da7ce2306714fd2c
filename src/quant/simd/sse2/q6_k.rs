//! Q6_K: nibbles and pairs of bits above them, less 32, each 16 with an 8-bit scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{TOP, bytes_16, every, half_at, put_scaled, scales_16};
use crate::quant::q6_k::BYTES;

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = scales_16(bytes_16(block, 192), half_at(block, 208) * (TOP / 4.0));
    for half in 0..2 {
        for side in 0..2 {
            for (part, q) in sixes(block, half, 16 * side).into_iter().enumerate() {
                let group = 8 * half + 2 * part + side;
                put_scaled(out, 2 * group, q, every(scales[group]));
            }
        }
    }
}

/// The values of 4 × 16 elements of a half of the block, 32 apart, less 32, times four.
#[inline]
#[target_feature(enable = "sse2")]
fn sixes(block: &[u8; BYTES], half: usize, side: usize) -> [__m128i; 4] {
    // Six bits in the upper places of a byte, their sign bit flipped: four times the value less 32.
    let low = [0, 32].map(|at| bytes_16(block, 64 * half + at + side));
    let high = bytes_16(block, 128 + 32 * half + side);
    let high = _mm_xor_si128(high, _mm_set1_epi8(0b1010_1010_u8.cast_signed()));
    let six = |low, high| {
        let low = _mm_and_si128(low, _mm_set1_epi8(0b0011_1100));
        let high = _mm_and_si128(high, _mm_set1_epi8(0b1100_0000_u8.cast_signed()));
        _mm_or_si128(low, high)
    };
    [
        six(_mm_slli_epi16::<2>(low[0]), _mm_slli_epi16::<6>(high)),
        six(_mm_slli_epi16::<2>(low[1]), _mm_slli_epi16::<4>(high)),
        six(_mm_srli_epi16::<2>(low[0]), _mm_slli_epi16::<2>(high)),
        six(_mm_srli_epi16::<2>(low[1]), high),
    ]
}
