//! TQ1_0: ternary, five values in a byte, super-block of 256.
//!
//! ```text
//! | qs 48 bytes: 5 values each | qh 4 bytes: 4 values each | d f16 |
//! ```
//!
//! value = (t − 1) · d; digit n of a byte b is ((b · 3ⁿ mod 256) · 3) ≫ 8
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_tq1_0`.

use super::convert::{f16_at, inverse, largest, put_f16, scaled};

/// Powers of three.
const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 54;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 52);
    let mut q = [0; ELEMENTS];
    // Bytes are read in runs; each run gives its first digits, then its second digits, and so on.
    let (first, rest) = q.split_at_mut(160);
    let (second, last) = rest.split_at_mut(80);
    trits::<32>(&block[..32], first);
    trits::<16>(&block[32..48], second);
    trits::<4>(&block[48..52], last);
    scaled(&q, d, out);
}

/// The digits of a run of bytes, less 1, as many of each as `out` holds. Unpacked apart from the scaling, so
/// that the compiler makes vectors of both.
#[inline(always)]
fn trits<const RUN: usize>(bytes: &[u8], out: &mut [i8]) {
    for (out, power) in out.chunks_exact_mut(RUN).zip(POWERS) {
        for (out, byte) in out.iter_mut().zip(bytes) {
            let digits = u16::from(byte.wrapping_mul(power));
            *out = ((digits * 3) >> 8) as i8 - 1;
        }
    }
}

/// Quantizes one block, byte-equal to PyPI `gguf` 0.19.0 `quants.py` on finite values.
pub(super) fn encode(values: &[f32; ELEMENTS], block: &mut [u8; BYTES]) {
    let d = largest(values).abs();
    let inverse = inverse(d);
    let trit = |at: usize| ((values[at] * inverse).round().clamp(-1.0, 1.0) as i8 + 1) as u16;
    let runs = [(0, 32, 5, 0), (32, 16, 5, 160), (48, 4, 4, 240)];
    for (start, length, digits, first) in runs {
        for at in 0..length {
            // The first digit weighs most; a byte holds the fraction of 256 that the digits give.
            let number = (0..5).fold(0, |number, digit| {
                let trit = if digit < digits {
                    trit(first + digit * length + at)
                } else {
                    0
                };
                3 * number + trit
            });
            block[start + at] = (number * 256_u16).div_ceil(243) as u8;
        }
    }
    put_f16(block, 52, d);
}
