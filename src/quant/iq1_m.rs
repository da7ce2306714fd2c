//! IQ1_M: 1.75 bits, groups of 8 from a codebook, 3-bit scales for 16.
//!
//! ```text
//! | qs 32 bytes | qh 32 × (3 high index bits, sign of the shift) | 4 × u16 (4 scales of 3 bits, 4 bits of d) |
//! ```
//!
//! value = d · (2 · scale + 1) · (grid ± 0.125); d is a half spread over the four top nibbles
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_iq1_m`.

use super::convert::{f16_to_f32, u16_at};
use super::grids::iq1::GRID;
use super::iq1_s::SHIFT;

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 56;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let scales: [u16; 4] = std::array::from_fn(|at| u16_at(block, 48 + 2 * at));
    let d = f16_to_f32(scale_bits(scales));
    for part in 0..32 {
        let (group, half) = (part / 4, part % 4 / 2);
        let scale = (scales[group / 2] >> (6 * (group % 2) + 3 * half)) & 7;
        let scaled = d * f32::from(2 * scale + 1);
        let high = (block[32 + part / 2] >> (4 * (part % 2))) & 15;
        let shift = if high & 8 == 0 { SHIFT } else { -SHIFT };
        let row = &GRID[usize::from(block[part]) | usize::from(high & 7) << 8];
        for (place, &value) in row.iter().enumerate() {
            out[8 * part + place] = scaled * (f32::from(value) + shift);
        }
    }
}

/// The half of the block, from the top nibbles of the four words.
pub(super) fn scale_bits(scales: [u16; 4]) -> u16 {
    (scales[0] >> 12) | (scales[1] >> 8) & 0x00f0 | (scales[2] >> 4) & 0x0f00 | scales[3] & 0xf000
}
