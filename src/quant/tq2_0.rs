//! TQ2_0: ternary in two bits, super-block of 256.
//!
//! ```text
//! | qs 64 bytes | d f16 |
//! ```
//!
//! value = (q − 1) · d; half n of the block takes 32 bytes of `qs`, two bits at a time
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_tq2_0`.

use super::convert::{f16_at, inverse, largest, put_f16};

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

/// Quantizes one block, byte-equal to PyPI `gguf` 0.19.0 `quants.py` on finite values.
pub(super) fn encode(values: &[f32; ELEMENTS], block: &mut [u8; BYTES]) {
    let d = largest(values).abs();
    let inverse = inverse(d);
    for (at, byte) in block[..64].iter_mut().enumerate() {
        let (half, place) = (at / 32, at % 32);
        *byte = (0..4).fold(0, |byte, group| {
            let value = values[128 * half + 32 * group + place];
            let q = ((value * inverse).round().clamp(-1.0, 1.0) as i8 + 1) as u8;
            byte | q << (2 * group)
        });
    }
    put_f16(block, 64, d);
}
