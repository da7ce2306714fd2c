//! Q8_1: 8 bits, one scale and the sum for 32. An activation type: ggml never stores weights in it.
//!
//! ```text
//! | d f16 | s f16 = d · Σ q, not needed | qs 32 × i8 |
//! ```
//!
//! value = q · d
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q8_1`.

use super::convert::f16_at;

pub(super) const ELEMENTS: usize = 32;
pub(super) const BYTES: usize = 36;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    for (out, &byte) in out.iter_mut().zip(&block[4..]) {
        *out = f32::from(byte as i8) * d;
    }
}
