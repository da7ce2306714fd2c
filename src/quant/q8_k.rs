//! Q8_K: 8 bits, one f32 scale for 256. An intermediate type: ggml never stores weights in it.
//!
//! ```text
//! | d f32 | qs 256 × i8 | bsums 16 × i16, not needed |
//! ```
//!
//! value = q · d
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q8_k`.

use super::convert::u32_at;

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 292;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f32::from_bits(u32_at(block, 0));
    for (out, &byte) in out.iter_mut().zip(&block[4..260]) {
        *out = f32::from(byte as i8) * d;
    }
}
