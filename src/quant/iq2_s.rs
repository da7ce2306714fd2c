//! IQ2_S: 2.56 bits, groups of 8 from a codebook, 4-bit scales for 16.
//!
//! ```text
//! | d f16 | qs 32 bytes | signs 32 bytes | qh 8 bytes: 2 high bits of each index | scales 16 × 4 bits |
//! ```
//!
//! value = d · (0.5 + scale) · 0.25 · ± grid
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_iq2_s`.

use super::convert::f16_at;
use super::grids::{iq2_s::GRID, signed};

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 82;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    for part in 0..32 {
        let high = (usize::from(block[66 + part / 4]) << (8 - 2 * (part % 4))) & 0x300;
        let scale = (block[74 + part / 4] >> (4 * (part / 2 % 2))) & 15;
        let scaled = d * (0.5 + f32::from(scale)) * 0.25;
        let signs = block[34 + part];
        let row = &GRID[usize::from(block[2 + part]) | high];
        for (place, &value) in row.iter().enumerate() {
            out[8 * part + place] = scaled * signed(value, signs, place);
        }
    }
}
