//! Q5_1: 5 bits, scale and minimum for 32.
//!
//! ```text
//! | d f16 | m f16 | qh u32: as Q5_0 | qs 16 bytes: as Q4_0 |
//! ```
//!
//! value = q · d + m
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q5_1`.

use super::convert::{f16_at, inverse, nibbles, put_f16, range, u32_at};
use super::q5_0::put_five_bits;

pub(super) const ELEMENTS: usize = 32;
pub(super) const BYTES: usize = 24;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    let m = f16_at(block, 2);
    let high = u32_at(block, 4);
    let q = nibbles(&block[8..]);
    for (at, (out, &q)) in out.iter_mut().zip(&q).enumerate() {
        let fifth = if high & (1 << at) == 0 { 0 } else { 16 };
        *out = (i32::from(q) + fifth) as f32 * d + m;
    }
}

/// Quantizes one block, byte-equal to PyPI `gguf` 0.19.0 `quants.py` on finite values.
pub(super) fn encode(values: &[f32; ELEMENTS], block: &mut [u8; BYTES]) {
    let (least, greatest) = range(values);
    let d = (greatest - least) / 31.0;
    let inverse = inverse(d);
    put_f16(block, 0, d);
    put_f16(block, 2, least);
    let q = |value: f32| (((value - least) * inverse + 0.5) as u8).min(31);
    put_five_bits(&mut block[4..], &values.map(q));
}
