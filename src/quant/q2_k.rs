//! Q2_K: 2 bits, scale and minimum of 4 bits for 16, super-block of 256.
//!
//! ```text
//! | scales 16 × (scale low nibble, minimum high nibble) | qs 64 bytes | d f16 | dmin f16 |
//! ```
//!
//! value = d · scale · q − dmin · minimum; half n of the block takes 32 bytes of `qs`, two bits at a time
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q2_k`.

use super::convert::f16_at;

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 84;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 80);
    let dmin = f16_at(block, 82);
    for group in 0..16 {
        let scale = block[group];
        let scaled = d * f32::from(scale & 15);
        let minimum = dmin * f32::from(scale >> 4);
        let shift = 2 * ((group % 8) / 2);
        let qs = &block[16 + 32 * (group / 8) + 16 * (group % 2)..][..16];
        for (out, &byte) in out[16 * group..].iter_mut().zip(qs) {
            *out = scaled * f32::from((byte >> shift) & 3) - minimum;
        }
    }
}
