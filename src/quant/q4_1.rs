//! Q4_1: 4 bits, scale and minimum for 32.
//!
//! ```text
//! | d f16 | m f16 | qs 16 bytes: as Q4_0 |
//! ```
//!
//! value = q · d + m
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q4_1`.

use super::convert::f16_at;

pub(super) const ELEMENTS: usize = 32;
pub(super) const BYTES: usize = 20;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    let m = f16_at(block, 2);
    for (at, &byte) in block[4..].iter().enumerate() {
        out[at] = f32::from(byte & 15) * d + m;
        out[at + 16] = f32::from(byte >> 4) * d + m;
    }
}
