//! Q4_1: 4 bits, scale and minimum for 32.
//!
//! ```text
//! | d f16 | m f16 | qs 16 bytes: as Q4_0 |
//! ```
//!
//! value = q · d + m
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q4_1`.

use super::convert::{f16_at, inverse, nibbles, put_f16, range};

pub(super) const ELEMENTS: usize = 32;
pub(super) const BYTES: usize = 20;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    let m = f16_at(block, 2);
    for (out, &q) in out.iter_mut().zip(&nibbles(&block[4..])) {
        *out = f32::from(q) * d + m;
    }
}

/// Quantizes one block, byte-equal to PyPI `gguf` 0.19.0 `quants.py` on finite values.
pub(super) fn encode(values: &[f32; ELEMENTS], block: &mut [u8; BYTES]) {
    let (least, greatest) = range(values);
    let d = (greatest - least) / 15.0;
    let inverse = inverse(d);
    let q = |value: f32| (((value - least) * inverse + 0.5) as u8).min(15);
    put_f16(block, 0, d);
    put_f16(block, 2, least);
    for (at, byte) in block[4..].iter_mut().enumerate() {
        *byte = q(values[at]) | q(values[at + 16]) << 4;
    }
}
