//! IQ2_S: rows of 8 from a codebook with signs, each 16 with a 4-bit scale.
//!
//! Rows stay bytes: as floats the codebook would fill the first cache alone.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{
    LOWER_16, TOP, UPPER_16, bytes_8, bytes_32, every, half_at, in_memory, put_scaled, quarter_steps_16, twice_rows, where_set, words,
};
use crate::quant::convert::u32_at;
use crate::quant::grids::iq2_s::GRID;
use crate::quant::iq2_s::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = quarter_steps_16(block, 74, half_at(block, 0) * TOP);
    let scales = in_memory(&scales);
    let rows = words(bytes_32(block, 2), high_bits(block));
    for group in 0..8 {
        let signs = u32_at(block, 34 + 4 * group);
        for (half, bytes) in [LOWER_16, UPPER_16].into_iter().enumerate() {
            let pair = 2 * group + half;
            let first = GRID[usize::from(rows[2 * pair]) & 1023];
            let second = GRID[usize::from(rows[2 * pair + 1]) & 1023];
            let minus = where_set(signs, bytes);
            let both = _mm256_xor_si256(twice_rows(first, second), minus);
            put_scaled(out, 2 * pair, _mm256_sub_epi8(both, minus), every(scales[pair]));
        }
    }
}

/// The two bits above each of the 32 indices.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
fn high_bits(block: &[u8; BYTES]) -> __m256i {
    // Each byte holds those of four.
    let four_times = _mm256_setr_epi32(
        0, 0x0101_0101, 0x0202_0202, 0x0303_0303, 0x0404_0404, 0x0505_0505, 0x0606_0606, 0x0707_0707,
    );
    let bytes = _mm256_broadcastsi128_si256(bytes_8(block, 66));
    let bytes = _mm256_shuffle_epi8(bytes, four_times);
    let lower = _mm256_set1_epi32(0x4010_0401);
    let lower = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, lower), lower);
    let upper = _mm256_set1_epi32(0x8020_0802_u32.cast_signed());
    let upper = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, upper), upper);
    _mm256_or_si256(
        _mm256_and_si256(lower, _mm256_set1_epi8(1)),
        _mm256_and_si256(upper, _mm256_set1_epi8(2)),
    )
}
