//! IQ3_XXS: 3.06 bits, groups of 4 from a codebook, 4-bit scales for 32.
//!
//! ```text
//! | d f16 | qs 64 bytes | 8 × u32 (4 sign codes of 7 bits, scale of 4 bits) |
//! ```
//!
//! value = d · (0.5 + scale) · 0.5 · ± grid
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_iq3_xxs`.

use super::convert::{f16_at, u32_at};
use super::grids::{even_signs, iq3_xxs::GRID, signed};

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 98;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    for group in 0..8 {
        let codes = u32_at(block, 66 + 4 * group);
        let scaled = d * (0.5 + (codes >> 28) as f32) * 0.5;
        for part in 0..8 {
            let signs = even_signs(codes >> (7 * (part / 2))) >> (4 * (part % 2));
            let row = &GRID[usize::from(block[2 + 8 * group + part])];
            for (place, &value) in row.iter().enumerate() {
                out[32 * group + 4 * part + place] = scaled * signed(value, signs, place);
            }
        }
    }
}
