//! Q5_0: 5 bits, one scale for 32.
//!
//! ```text
//! | d f16 | qh u32: bit e is the fifth bit of element e | qs 16 bytes: as Q4_0 |
//! ```
//!
//! value = (q − 16) · d
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q5_0`.

use super::convert::{f16_at, inverse, largest, nibbles, put_f16, u32_at};

pub(super) const ELEMENTS: usize = 32;
pub(super) const BYTES: usize = 22;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    let high = u32_at(block, 2);
    let q = nibbles(&block[6..]);
    for (at, (out, &q)) in out.iter_mut().zip(&q).enumerate() {
        let fifth = if high & (1 << at) == 0 { -16 } else { 0 };
        *out = (i32::from(q) + fifth) as f32 * d;
    }
}

/// Quantizes one block, byte-equal to PyPI `gguf` 0.19.0 `quants.py` on finite values.
pub(super) fn encode(values: &[f32; ELEMENTS], block: &mut [u8; BYTES]) {
    let d = largest(values) / -16.0;
    let inverse = inverse(d);
    put_f16(block, 0, d);
    let q = |value: f32| ((value * inverse + 16.5) as u8).min(31);
    put_five_bits(&mut block[2..], &values.map(q));
}

/// The fifth bits as a u32, then the low nibbles: element e beside e + 16.
pub(super) fn put_five_bits(out: &mut [u8], q: &[u8; 32]) {
    let high = q
        .iter()
        .enumerate()
        .fold(0_u32, |high, (at, &q)| high | u32::from(q >> 4) << at);
    out[..4].copy_from_slice(&high.to_le_bytes());
    for (at, byte) in out[4..].iter_mut().enumerate() {
        *byte = (q[at] & 15) | q[at + 16] << 4;
    }
}
