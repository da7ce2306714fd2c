//! Q6_K: nibbles and pairs of bits above them, less 32, each 16 with an 8-bit scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{TOP, bytes_16, every, half_at, in_memory, put_scaled, scales_16, twice_16};
use crate::quant::q6_k::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = scales_16(bytes_16(block, 192), half_at(block, 208) * (TOP / 4.0));
    let scales = in_memory(&scales);
    for half in 0..2 {
        // Not by `map`, through which so large a closure is not inlined.
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
#[target_feature(enable = "avx2,f16c,fma")]
fn sixes(block: &[u8; BYTES], half: usize, side: usize) -> [__m256i; 4] {
    // Six bits in the upper places of a byte, their sign bit flipped: four times the value less 32.
    let low = [0, 32].map(|at| twice_16(block, 64 * half + at + side));
    let high = twice_16(block, 128 + 32 * half + side);
    let high = _mm256_xor_si256(high, _mm256_set1_epi8(0b1010_1010_u8.cast_signed()));
    let six = |low, high| {
        let low = _mm256_and_si256(low, _mm256_set1_epi8(0b0011_1100));
        let high = _mm256_and_si256(high, _mm256_set1_epi8(0b1100_0000_u8.cast_signed()));
        _mm256_or_si256(low, high)
    };
    [
        six(_mm256_slli_epi16::<2>(low[0]), _mm256_slli_epi16::<6>(high)),
        six(_mm256_slli_epi16::<2>(low[1]), _mm256_slli_epi16::<4>(high)),
        six(_mm256_srli_epi16::<2>(low[0]), _mm256_slli_epi16::<2>(high)),
        six(_mm256_srli_epi16::<2>(low[1]), high),
    ]
}
