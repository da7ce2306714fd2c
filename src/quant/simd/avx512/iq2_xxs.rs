//! IQ2_XXS: rows of 8 from a codebook with signs, each 32 with a 4-bit scale.

use std::arch::x86_64::*;

use super::codebook::rows_8;
use super::slot::Slot;
use super::vector::{even_signs, half_at, in_memory, negated, put_scaled, two_twice, u64_at};
use crate::quant::grids::iq2_xxs::GRID;
use crate::quant::iq2_xxs::BYTES;
use crate::quant::simd::avx2::iq2_xxs::scales;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let scales = scales(block, half_at(block, 0));
    let scales = in_memory(&scales);
    for two in 0..4 {
        let [first, second] = [0, 8].map(|at| u64_at(block, 2 + 16 * two + at));
        let indices = first & 0xffff_ffff | second << 32;
        let indices = _mm512_cvtepu8_epi64(_mm_cvtsi64_si128(indices.cast_signed()));
        let [first, second] = [first, second].map(|codes| codes >> 32 & 0x0fff_ffff);
        let rows = negated(rows_8(&GRID, indices), even_signs(first | second << 28));
        put_scaled(out, 4 * two, rows, two_twice(scales, 2 * two));
    }
}
