//! IQ2_S: rows of 8 from a codebook with signs, each 16 with a 4-bit scale.

use std::arch::x86_64::*;

use super::codebook::rows_8;
use super::slot::Slot;
use super::vector::{
    bytes_8, four, half_at, in_memory, negated, put_scaled, quarter_steps_16, u64_at,
};
use crate::quant::convert::u16_at;
use crate::quant::grids::iq2_s::GRID;
use crate::quant::iq2_s::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let scales = quarter_steps_16(block, 74, half_at(block, 0));
    let scales = in_memory(&scales);
    for two in 0..4 {
        let low = _mm512_cvtepu8_epi64(bytes_8(block, 2 + 8 * two));
        let indices = _mm512_or_si512(low, above(u16_at(block, 66 + 2 * two)));
        let rows = negated(rows_8(&GRID, indices), u64_at(block, 34 + 8 * two));
        put_scaled(out, 4 * two, rows, four(scales, 4 * two));
    }
}

/// The two bits above each of eight indices.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
fn above(bits: u16) -> __m512i {
    let places = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    let moved = _mm512_srlv_epi64(_mm512_set1_epi64(i64::from(bits) << 8), places);
    _mm512_and_si512(moved, _mm512_set1_epi64(0x300))
}
