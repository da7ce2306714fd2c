//! Q4_0: 4 bits, one scale for 32.
//!
//! ```text
//! | d f16 | qs 16 bytes: element e in the low nibble of e, e + 16 in the high |
//! ```
//!
//! value = (q − 8) · d
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q4_0`.

use super::convert::f16_at;

pub(super) const ELEMENTS: usize = 32;
pub(super) const BYTES: usize = 18;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    for (at, &byte) in block[2..].iter().enumerate() {
        out[at] = (i32::from(byte & 15) - 8) as f32 * d;
        out[at + 16] = (i32::from(byte >> 4) - 8) as f32 * d;
    }
}
