//! IQ1_S: 1.56 bits, groups of 8 from a codebook, 3-bit scales for 32.
//!
//! ```text
//! | d f16 | qs 32 bytes | 8 × u16 (4 × 3 high index bits, scale of 3 bits, sign of the shift) |
//! ```
//!
//! value = d · (2 · scale + 1) · (grid ± 0.125)
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_iq1_s`.

use super::convert::{f16_at, u16_at};
use super::grids::iq1::GRID;

/// `IQ1S_DELTA`.
pub(super) const SHIFT: f32 = 0.125;

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 50;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    for group in 0..8 {
        let high = u16_at(block, 34 + 2 * group);
        let scaled = d * f32::from(2 * ((high >> 12) & 7) + 1);
        let shift = if high & 0x8000 == 0 { SHIFT } else { -SHIFT };
        for part in 0..4 {
            let top = usize::from((high >> (3 * part)) & 7) << 8;
            let row = &GRID[usize::from(block[2 + 4 * group + part]) | top];
            for (place, &value) in row.iter().enumerate() {
                out[32 * group + 8 * part + place] = scaled * (f32::from(value) + shift);
            }
        }
    }
}
