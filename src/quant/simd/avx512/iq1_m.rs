//! IQ1_M: rows of 8 from a codebook, each shifted by an eighth, each 16 with a 3-bit scale.

use std::arch::x86_64::*;

use super::codebook::rows_8;
use super::slot::Slot;
use super::vector::{bytes_8, four, in_memory, put_scaled};
use crate::quant::convert::u32_at;
use crate::quant::iq1_m::BYTES;
use crate::quant::iq1_s::SHIFT;
use crate::quant::simd::avx2::iq1_m::scales;
use crate::quant::simd::avx2::iq1_s::ROWS;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let scales = scales(block, SHIFT);
    let scales = in_memory(&scales);
    for two in 0..4 {
        // Nibbles: three bits above each index, and one that means minus.
        let nibbles = u32_at(block, 32 + 4 * two);
        let low = _mm512_cvtepu8_epi64(bytes_8(block, 8 * two));
        let rows = rows_8(&ROWS, _mm512_or_si512(low, above(nibbles)));
        // One bit of each nibble, for eight bytes.
        let minus = _pdep_u64(_pext_u64(nibbles.into(), 0x8888_8888), 0x0101_0101_0101_0101) * 0xff;
        let one = _mm512_set1_epi8(1);
        let shifts = _mm512_mask_blend_epi8(minus, one, _mm512_set1_epi8(-1));
        put_scaled(out, 4 * two, _mm512_add_epi8(rows, shifts), four(scales, 4 * two));
    }
}

/// The three bits above each of eight indices.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
fn above(nibbles: u32) -> __m512i {
    let places = _mm512_setr_epi64(0, 4, 8, 12, 16, 20, 24, 28);
    let moved = _mm512_srlv_epi64(_mm512_set1_epi64(i64::from(nibbles) << 8), places);
    _mm512_and_si512(moved, _mm512_set1_epi64(0x700))
}
