//! IQ4_NL: 4 bits by a non-linear table, one scale for 32.
//!
//! ```text
//! | d f16 | qs 16 bytes: as Q4_0 |
//! ```
//!
//! value = d · table[q]
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_iq4_nl`.

use super::convert::f16_at;

/// `kvalues_iq4nl`.
pub(super) const TABLE: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0,
    89.0, 113.0,
];

pub(super) const ELEMENTS: usize = 32;
pub(super) const BYTES: usize = 18;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    for (at, &byte) in block[2..].iter().enumerate() {
        out[at] = d * TABLE[usize::from(byte & 15)];
        out[at + 16] = d * TABLE[usize::from(byte >> 4)];
    }
}
