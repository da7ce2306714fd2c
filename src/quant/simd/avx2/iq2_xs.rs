//! IQ2_XS: rows of 8 from a codebook with signs, each 16 with a 4-bit scale.

use super::slot::Slot;
use super::tables::{self, EVEN_SIGNS};
use super::vector::{half_at, in_memory, put_signed, quarter_steps_16};
use crate::quant::convert::u16_at;
use crate::quant::grids::iq2_xs::GRID;
use crate::quant::iq2_xs::BYTES;

static FLOATS: [[f32; 8]; 512] = tables::floats(&GRID);

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = quarter_steps_16(block, 66, half_at(block, 0));
    let scales = in_memory(&scales);
    for (pair, &scale) in scales.iter().enumerate() {
        for part in [2 * pair, 2 * pair + 1] {
            let code = usize::from(u16_at(block, 2 + 2 * part));
            let row = FLOATS[code & 511];
            put_signed(&mut out[part], row, EVEN_SIGNS[code >> 9], scale);
        }
    }
}
