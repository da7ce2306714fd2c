//! IQ2_XXS: 2.06 bits, groups of 8 from a codebook, 4-bit scales for 32.
//!
//! ```text
//! | d f16 | 8 × (4 grid indices of 8 bits, 4 sign codes of 7 bits, scale of 4 bits) |
//! ```
//!
//! value = d · (0.5 + scale) · 0.25 · ± grid
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_iq2_xxs`.

use super::convert::{f16_at, u32_at};
use super::grids::{even_signs, iq2_xxs::GRID, signed};

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 66;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    for group in 0..8 {
        let indices = &block[2 + 8 * group..][..4];
        let codes = u32_at(block, 6 + 8 * group);
        let scaled = d * (0.5 + (codes >> 28) as f32) * 0.25;
        for (part, &index) in indices.iter().enumerate() {
            let signs = even_signs(codes >> (7 * part));
            let row = &GRID[usize::from(index)];
            for (place, &value) in row.iter().enumerate() {
                out[32 * group + 8 * part + place] = scaled * signed(value, signs, place);
            }
        }
    }
}
