//! IQ2_S: rows of 8 from a codebook with signs, each 16 with a 4-bit scale.

use super::slot::Slot;
use super::tables::{self, SIGNS};
use super::vector::{half_at, put_signed, quarter_steps_16};
use crate::quant::grids::iq2_s::GRID;
use crate::quant::iq2_s::BYTES;

static FLOATS: [[f32; 8]; 1024] = tables::floats(&GRID);

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = quarter_steps_16(block, 74, half_at(block, 0));
    for (pair, &scale) in scales.iter().enumerate() {
        for part in [2 * pair, 2 * pair + 1] {
            let high = (usize::from(block[66 + part / 4]) << (8 - 2 * (part % 4))) & 0x300;
            let row = FLOATS[usize::from(block[2 + part]) | high];
            let signs = SIGNS[usize::from(block[34 + part])];
            put_signed(&mut out[part], row, signs, scale);
        }
    }
}
