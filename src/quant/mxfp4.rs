//! MXFP4: 4-bit floats with one 8-bit exponent for 32 (OCP Microscaling Formats v1.0).
//!
//! ```text
//! | e u8 | qs 16 bytes: as Q4_0 |
//! ```
//!
//! value = 2^(e − 128) · table[q]; the table holds twice the value of the 4-bit float
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_mxfp4`.

use super::convert::largest;

/// `kvalues_mxfp4`: twice the value of each 4-bit float (2 exponent bits, 1 mantissa bit).
pub(super) const TABLE: [f32; 16] = [
    0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0,
];

pub(super) const ELEMENTS: usize = 32;
pub(super) const BYTES: usize = 17;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = half_exponent(block[0]);
    for (at, &byte) in block[1..].iter().enumerate() {
        out[at] = d * TABLE[usize::from(byte & 15)];
        out[at + 16] = d * TABLE[usize::from(byte >> 4)];
    }
}

/// 2^(e − 128): the two smallest are subnormal (`ggml_e8m0_to_fp32_half`).
pub(super) fn half_exponent(exponent: u8) -> f32 {
    match exponent {
        0 | 1 => f32::from_bits(0x0020_0000 << exponent),
        _ => f32::from_bits((u32::from(exponent) - 1) << 23),
    }
}

/// Quantizes one block, byte-equal to PyPI `gguf` 0.19.0 `quants.py` on finite values.
pub(super) fn encode(values: &[f32; ELEMENTS], block: &mut [u8; BYTES]) {
    let greatest = largest(values).abs();
    // The official code takes the logarithm in f32: just below a power of two it rounds up to it.
    let power = (f64::from(greatest).log2() as f32).floor();
    let exponent = if greatest > 0.0 {
        (power + 125.0) as u8
    } else {
        0
    };
    let d = half_exponent(exponent);
    let nearest = |value: f32| {
        let error = |q: usize| (d * TABLE[q] - value).abs();
        (0..16).fold(0, |best, q| if error(q) < error(best) { q } else { best }) as u8
    };
    block[0] = exponent;
    for (at, byte) in block[1..].iter_mut().enumerate() {
        *byte = nearest(values[at]) | nearest(values[at + 16]) << 4;
    }
}
