//! Q1_0: 1 bit, one scale for 128.
//!
//! ```text
//! | d f16 | qs 16 bytes: bit e, least significant first |
//! ```
//!
//! value = d where the bit is set, else −d
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q1_0`.

use super::convert::f16_at;

pub(super) const ELEMENTS: usize = 128;
pub(super) const BYTES: usize = 18;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    for (out, &byte) in out.chunks_exact_mut(8).zip(&block[2..]) {
        for (bit, out) in out.iter_mut().enumerate() {
            *out = if (byte >> bit) & 1 == 1 { d } else { -d };
        }
    }
}
