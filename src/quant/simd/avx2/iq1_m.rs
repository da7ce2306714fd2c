//! IQ1_M: rows of 8 from a codebook, each shifted by an eighth, each 16 with a 3-bit scale.

use std::arch::x86_64::*;

use super::iq1_s::{EIGHTHS, ROWS};
use super::slot::Slot;
use super::vector::{bytes_16, bytes_32, every, half, in_memory, nibbles_16, put_scaled, twice_rows, words};
use crate::quant::convert::u16_at;
use crate::quant::iq1_m::{BYTES, scale_bits};

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = scales(block, EIGHTHS);
    let scales = in_memory(&scales);
    // Nibbles: three bits above each index, and one that means minus.
    let [low, high] = nibbles_16(bytes_16(block, 32));
    let above = _mm256_setr_m128i(_mm_unpacklo_epi8(low, high), _mm_unpackhi_epi8(low, high));
    let plus = _mm256_cmpeq_epi8(
        _mm256_and_si256(above, _mm256_set1_epi8(8)),
        _mm256_setzero_si256(),
    );
    // 1, or less 1.
    let shifts = _mm256_or_si256(_mm256_andnot_si256(plus, _mm256_set1_epi8(-1)), _mm256_set1_epi8(1));
    let shifts: [[i8; 2]; 16] = bytemuck::cast(shifts);
    let above = _mm256_and_si256(above, _mm256_set1_epi8(7));
    let rows = words(bytes_32(block, 0), above);
    for (pair, &scale) in scales.iter().enumerate() {
        let first = ROWS[usize::from(rows[2 * pair]) & 2047];
        let second = ROWS[usize::from(rows[2 * pair + 1]) & 2047];
        // Each of the two shifts eight times.
        let shifts = _mm256_set1_epi16(i16::from_le_bytes(shifts[pair].map(i8::cast_unsigned)));
        let shifts = _mm256_shuffle_epi8(shifts, _mm256_setr_epi32(
            0, 0, 0x0101_0101, 0x0101_0101, 0, 0, 0x0101_0101, 0x0101_0101,
        ));
        let eighths = _mm256_add_epi8(twice_rows(first, second), shifts);
        put_scaled(out, 2 * pair, eighths, every(scale));
    }
}

/// The 16 scales, four of three bits in each word: d · (2 · scale + 1) · unit.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(in crate::quant::simd) fn scales(block: &[u8; BYTES], unit: f32) -> [f32; 16] {
    let words: [u16; 4] = std::array::from_fn(|at| u16_at(block, 48 + 2 * at));
    let d = every(half(scale_bits(words)) * unit);
    let places = _mm256_setr_epi32(0, 3, 6, 9, 0, 3, 6, 9);
    let eight = |low: u16, high: u16| {
        let words = _mm256_setr_m128i(_mm_set1_epi32(low.into()), _mm_set1_epi32(high.into()));
        let scale = _mm256_and_si256(_mm256_srlv_epi32(words, places), _mm256_set1_epi32(7));
        let odd = _mm256_add_epi32(_mm256_add_epi32(scale, scale), _mm256_set1_epi32(1));
        _mm256_mul_ps(d, _mm256_cvtepi32_ps(odd))
    };
    bytemuck::cast([eight(words[0], words[1]), eight(words[2], words[3])])
}
