//! TQ2_0: ternary in two bits, super-block of 256.
//!
//! ```text
//! | qs 64 bytes | d f16 |
//! ```
//!
//! value = (q − 1) · d; half n of the block takes 32 bytes of `qs`, two bits at a time
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_tq2_0`.

use super::convert::f16_at;

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 66;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 64);
    for group in 0..8 {
        let qs = &block[32 * (group / 4)..][..32];
        let shift = 2 * (group % 4);
        for (out, &byte) in out[32 * group..].iter_mut().zip(qs) {
            *out = (i32::from((byte >> shift) & 3) - 1) as f32 * d;
        }
    }
}
