//! IQ3_S: 3.44 bits, groups of 4 from a codebook, 4-bit scales for 32.
//!
//! ```text
//! | d f16 | qs 64 bytes | qh 8 bytes: high bit of each index | signs 32 bytes | scales 8 × 4 bits |
//! ```
//!
//! value = d · (1 + 2 · scale) · ± grid
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_iq3_s`.

use super::convert::f16_at;
use super::grids::{iq3_s::GRID, signed};

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 110;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    for group in 0..8 {
        let scale = (block[106 + group / 2] >> (4 * (group % 2))) & 15;
        let scaled = d * f32::from(1 + 2 * scale);
        let high = usize::from(block[66 + group]);
        for part in 0..8 {
            let signs = block[74 + 4 * group + part / 2] >> (4 * (part % 2));
            let index = usize::from(block[2 + 8 * group + part]) | ((high >> part) & 1) << 8;
            for (place, &value) in GRID[index].iter().enumerate() {
                out[32 * group + 4 * part + place] = scaled * signed(value, signs, place);
            }
        }
    }
}
