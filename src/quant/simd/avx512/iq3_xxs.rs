//! IQ3_XXS: rows of 4 from a codebook with signs, each 32 with a 4-bit scale.

use std::arch::x86_64::*;

use super::codebook::rows_16;
use super::slot::Slot;
use super::vector::{bytes_16, even_signs, half_at, in_memory, negated, put_scaled, two_twice, u64_at};
use crate::quant::grids::iq3_xxs::GRID;
use crate::quant::iq3_xxs::BYTES;
use crate::quant::simd::avx2::iq3_xxs::scales;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let scales = scales(block, half_at(block, 0));
    let scales = in_memory(&scales);
    for two in 0..4 {
        let indices = _mm512_cvtepu8_epi32(bytes_16(block, 2 + 16 * two));
        let codes = _pext_u64(u64_at(block, 66 + 8 * two), 0x0fff_ffff_0fff_ffff);
        let rows = negated(rows_16(&GRID, indices), even_signs(codes));
        put_scaled(out, 4 * two, rows, two_twice(scales, 2 * two));
    }
}
