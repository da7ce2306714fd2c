//! Q2_0: 2 bits, one scale for 64.
//!
//! ```text
//! | d f16 | qs 16 bytes: four elements each, least significant first |
//! ```
//!
//! value = (q − 1) · d
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q2_0`.

use super::convert::f16_at;

pub(super) const ELEMENTS: usize = 64;
pub(super) const BYTES: usize = 18;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    for (out, &byte) in out.chunks_exact_mut(4).zip(&block[2..]) {
        for (at, out) in out.iter_mut().enumerate() {
            *out = (i32::from((byte >> (2 * at)) & 3) - 1) as f32 * d;
        }
    }
}
