//! IQ4_XS: 4 bits by a non-linear table, 6-bit scales for 32, super-block of 256.
//!
//! ```text
//! | d f16 | scales_h u16: 8 × 2 high bits | scales_l 4 bytes: 8 × 4 low bits | qs 128 bytes |
//! ```
//!
//! value = d · (scale − 32) · table[q], the table of IQ4_NL
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_iq4_xs`.

use super::convert::{f16_at, u16_at};
use super::iq4_nl::TABLE;

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 136;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    let scales_high = u16_at(block, 2);
    for group in 0..8 {
        let low = (block[4 + group / 2] >> (4 * (group % 2))) & 15;
        let high = (scales_high >> (2 * group)) & 3;
        let scaled = d * (i32::from(u16::from(low) | high << 4) - 32) as f32;
        let qs = &block[8 + 16 * group..][..16];
        for (at, &byte) in qs.iter().enumerate() {
            out[32 * group + at] = scaled * TABLE[usize::from(byte & 15)];
            out[32 * group + at + 16] = scaled * TABLE[usize::from(byte >> 4)];
        }
    }
}
