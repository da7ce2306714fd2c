//! Q4_0: 4 bits, one scale for 32.
//!
//! ```text
//! | d f16 | qs 16 bytes: element e in the low nibble of e, e + 16 in the high |
//! ```
//!
//! value = (q − 8) · d
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q4_0`.

use super::convert::{f16_at, inverse, largest, nibbles, put_f16, scaled};

pub(super) const ELEMENTS: usize = 32;
pub(super) const BYTES: usize = 18;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    let q = nibbles(&block[2..]).map(|q| q as i8 - 8);
    scaled(&q, d, out);
}

/// Quantizes one block, byte-equal to PyPI `gguf` 0.19.0 `quants.py` on finite values.
pub(super) fn encode(values: &[f32; ELEMENTS], block: &mut [u8; BYTES]) {
    let d = largest(values) / -8.0;
    let inverse = inverse(d);
    let q = |value: f32| ((value * inverse + 8.5) as u8).min(15);
    put_f16(block, 0, d);
    for (at, byte) in block[2..].iter_mut().enumerate() {
        *byte = q(values[at]) | q(values[at + 16]) << 4;
    }
}
