//! Q6_K: 6 bits, 8-bit scales for 16, super-block of 256.
//!
//! ```text
//! | ql 128 bytes: low 4 bits | qh 64 bytes: high 2 bits | scales 16 × i8 | d f16 |
//! ```
//!
//! value = d · scale · (q − 32); each half of the block takes 64 bytes of `ql` and 32 of `qh`
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q6_k`.

use super::convert::f16_at;

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 210;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 208);
    for quarter in 0..8 {
        let (half, part) = (quarter / 4, quarter % 4);
        let low = &block[64 * half + 32 * (part % 2)..][..32];
        let high = &block[128 + 32 * half..][..32];
        let nibble = 4 * (part / 2);
        for at in 0..32 {
            let q = ((low[at] >> nibble) & 15) | ((high[at] >> (2 * part)) & 3) << 4;
            let scale = block[192 + 2 * quarter + at / 16] as i8;
            out[32 * quarter + at] = d * f32::from(scale) * (i32::from(q) - 32) as f32;
        }
    }
}
