//! Q8_0: 8 bits, one scale for 32.
//!
//! ```text
//! | d f16 | qs 32 × i8 |
//! ```
//!
//! value = q · d
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q8_0`.

use super::convert::{f16_at, inverse, largest, put_f16};

pub(super) const ELEMENTS: usize = 32;
pub(super) const BYTES: usize = 34;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    for (out, &byte) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(byte as i8) * d;
    }
}

/// Quantizes one block, byte-equal to PyPI `gguf` 0.19.0 `quants.py` on finite values.
pub(super) fn encode(values: &[f32; ELEMENTS], block: &mut [u8; BYTES]) {
    let d = largest(values).abs() / 127.0;
    let inverse = inverse(d);
    put_f16(block, 0, d);
    for (byte, &value) in block[2..].iter_mut().zip(values) {
        *byte = (value * inverse).round() as i8 as u8;
    }
}
