//! Q4_K: 4 bits, scale and minimum of 6 bits for 32, super-block of 256.
//!
//! ```text
//! | d f16 | dmin f16 | scales 12 bytes: 8 × (scale, minimum) | qs 128 bytes |
//! ```
//!
//! value = d · scale · q − dmin · minimum; 64 elements share 32 bytes of `qs`, low nibbles first
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q4_k`.

use super::convert::f16_at;

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 144;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    let dmin = f16_at(block, 2);
    for group in 0..8 {
        let (scale, minimum) = scale_and_minimum(&block[4..16], group);
        let scaled = d * f32::from(scale);
        let minimum = dmin * f32::from(minimum);
        let shift = 4 * (group % 2);
        let qs = &block[16 + 32 * (group / 2)..][..32];
        for (out, &byte) in out[32 * group..].iter_mut().zip(qs) {
            *out = scaled * f32::from((byte >> shift) & 15) - minimum;
        }
    }
}

/// The 6-bit scale and minimum of a group of 32, packed in 12 bytes (`get_scale_min_k4`).
pub(super) fn scale_and_minimum(scales: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        (scales[group] & 63, scales[group + 4] & 63)
    } else {
        let scale = (scales[group + 4] & 15) | (scales[group - 4] >> 6) << 4;
        let minimum = (scales[group + 4] >> 4) | (scales[group] >> 6) << 4;
        (scale, minimum)
    }
}
