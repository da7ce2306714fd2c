//! IQ1_S: rows of 8 from a codebook, each 32 shifted by an eighth and with a 3-bit scale.

use std::arch::x86_64::*;

use super::codebook::rows_8;
use super::slot::Slot;
use super::vector::{bytes_8, bytes_16, half_at, in_memory, halves_of, put_scaled, two_twice};
use crate::quant::convert::u16_at;
use crate::quant::iq1_s::{BYTES, SHIFT};
use crate::quant::simd::avx2::iq1_s::{ROWS, scales};

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let scales = scales(bytes_16(block, 34), half_at(block, 0) * SHIFT);
    let scales = in_memory(&scales);
    for two in 0..4 {
        let words = [34, 36].map(|at| u16_at(block, at + 4 * two));
        let low = _mm512_cvtepu8_epi64(bytes_8(block, 2 + 8 * two));
        let rows = rows_8(&ROWS, _mm512_or_si512(low, above(words)));
        // Bit 15 set means minus.
        let [first, second] = words.map(|word| if word >> 15 == 0 { 1 } else { 0xff });
        let eighths = _mm512_add_epi8(rows, halves_of(first, second));
        put_scaled(out, 4 * two, eighths, two_twice(scales, 2 * two));
    }
}

/// The three bits above each of eight indices: four times three in each half word.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
fn above([first, second]: [u16; 2]) -> __m512i {
    let both = i64::from(first & 0xfff) << 8 | i64::from(second & 0xfff) << 20;
    let places = _mm512_setr_epi64(0, 3, 6, 9, 12, 15, 18, 21);
    let moved = _mm512_srlv_epi64(_mm512_set1_epi64(both), places);
    _mm512_and_si512(moved, _mm512_set1_epi64(0x700))
}
