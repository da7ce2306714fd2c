//! Q3_K: 3 bits, 6-bit scales for 16, super-block of 256.
//!
//! ```text
//! | hmask 32 bytes | qs 64 bytes | scales 12 bytes: 16 × 6 bits | d f16 |
//! ```
//!
//! value = d · (scale − 32) · (q − 4 where the bit of `hmask` is clear)
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q3_k`.

use super::convert::f16_at;

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 110;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 108);
    let scales = &block[96..108];
    for group in 0..16 {
        let low = if group < 8 {
            scales[group] & 15
        } else {
            scales[group - 8] >> 4
        };
        let high = (scales[8 + group % 4] >> (2 * (group / 4))) & 3;
        let scaled = d * (i32::from(low | high << 4) - 32) as f32;
        let shift = 2 * ((group % 8) / 2);
        let qs = &block[32 + 32 * (group / 8) + 16 * (group % 2)..][..16];
        let hmask = &block[16 * (group % 2)..][..16];
        for ((out, &byte), &mask) in out[16 * group..].iter_mut().zip(qs).zip(hmask) {
            let high = i32::from((mask >> (group / 2)) & 1);
            *out = scaled * (i32::from((byte >> shift) & 3) + 4 * high - 4) as f32;
        }
    }
}
