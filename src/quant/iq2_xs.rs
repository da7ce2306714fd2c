//! IQ2_XS: 2.31 bits, groups of 8 from a codebook, 4-bit scales for 16.
//!
//! ```text
//! | d f16 | 32 × u16 (grid index 9 bits, sign code 7 bits) | scales 16 × 4 bits |
//! ```
//!
//! value = d · (0.5 + scale) · 0.25 · ± grid
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_iq2_xs`.

use super::convert::{f16_at, u16_at};
use super::grids::{even_signs, iq2_xs::GRID, signed};

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 74;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    for part in 0..32 {
        let code = u16_at(block, 2 + 2 * part);
        let scale = (block[66 + part / 4] >> (4 * (part / 2 % 2))) & 15;
        let scaled = d * (0.5 + f32::from(scale)) * 0.25;
        let signs = even_signs(u32::from(code >> 9));
        let row = &GRID[usize::from(code & 511)];
        for (place, &value) in row.iter().enumerate() {
            out[8 * part + place] = scaled * signed(value, signs, place);
        }
    }
}
