//! IQ1_S: rows of 8 from a codebook, each 32 shifted by an eighth and with a 3-bit scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{TOP, bytes_16, bytes_32, every, half_at, in_memory, put_scaled, twice_rows, words};
use crate::quant::grids::iq1::GRID;
use crate::quant::iq1_s::{BYTES, SHIFT};

/// The scale in units of [`TOP`] for values in eighths, which make the shift 1 and the rows whole numbers.
pub(super) const EIGHTHS: f32 = TOP * SHIFT;

/// The codebook in eighths.
pub(in crate::quant::simd) static ROWS: [[i8; 8]; 2048] = {
    let mut rows = GRID;
    let mut row = 0;
    while row < 2048 {
        let mut at = 0;
        while at < 8 {
            rows[row][at] *= 8;
            at += 1;
        }
        row += 1;
    }
    rows
};

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let high = bytes_16(block, 34);
    let scales = scales(high, half_at(block, 0) * EIGHTHS);
    let scales = in_memory(&scales);
    // Bit 15 set means minus.
    let shifts = _mm_or_si128(_mm_srai_epi16::<15>(high), _mm_set1_epi16(1));
    let shifts: [[i8; 2]; 8] = bytemuck::cast(shifts);
    let rows = words(bytes_32(block, 2), high_bits(high));
    for group in 0..8 {
        let shift = _mm256_set1_epi8(shifts[group][0]);
        for pair in [2 * group, 2 * group + 1] {
            let first = ROWS[usize::from(rows[2 * pair]) & 2047];
            let second = ROWS[usize::from(rows[2 * pair + 1]) & 2047];
            let eighths = _mm256_add_epi8(twice_rows(first, second), shift);
            put_scaled(out, 2 * pair, eighths, every(scales[group]));
        }
    }
}

/// The three bits above each of the 32 indices: four times three in each half word.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
fn high_bits(high: __m128i) -> __m256i {
    let high = _mm256_cvtepu16_epi32(high);
    let first = _mm256_and_si256(high, _mm256_set1_epi32(7));
    let second = _mm256_and_si256(_mm256_slli_epi32::<5>(high), _mm256_set1_epi32(7 << 8));
    let third = _mm256_and_si256(_mm256_slli_epi32::<10>(high), _mm256_set1_epi32(7 << 16));
    let fourth = _mm256_and_si256(_mm256_slli_epi32::<15>(high), _mm256_set1_epi32(7 << 24));
    _mm256_or_si256(_mm256_or_si256(first, second), _mm256_or_si256(third, fourth))
}

/// The eight scales, bits 12 to 14 of the half words: d · (2 · scale + 1).
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(in crate::quant::simd) fn scales(high: __m128i, d: f32) -> [f32; 8] {
    let twice = _mm_and_si128(_mm_srli_epi16::<11>(high), _mm_set1_epi16(14));
    let odd = _mm256_cvtepi16_epi32(_mm_add_epi16(twice, _mm_set1_epi16(1)));
    bytemuck::cast(_mm256_mul_ps(every(d), _mm256_cvtepi32_ps(odd)))
}
