//! IQ2_XS: rows of 8 from a codebook with signs, each 16 with a 4-bit scale.

use std::arch::x86_64::*;

use super::codebook::rows_8;
use super::slot::Slot;
use super::vector::{
    bytes_16, even_signs, four, half_at, in_memory, negated, put_scaled, quarter_steps_16, u64_at,
};
use crate::quant::grids::iq2_xs::GRID;
use crate::quant::iq2_xs::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let scales = quarter_steps_16(block, 66, half_at(block, 0));
    let scales = in_memory(&scales);
    for two in 0..4 {
        let at = 2 + 16 * two;
        // Nine bits of index, seven of signs.
        let indices = _mm512_cvtepu16_epi64(bytes_16(block, at));
        let codes = [at, at + 8].map(|at| _pext_u64(u64_at(block, at), 0xfe00_fe00_fe00_fe00));
        let signs = even_signs(codes[0] | codes[1] << 28);
        let rows = negated(rows_8(&GRID, indices), signs);
        put_scaled(out, 4 * two, rows, four(scales, 4 * two));
    }
}
