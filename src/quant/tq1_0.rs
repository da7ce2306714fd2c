//! TQ1_0: ternary, five values in a byte, super-block of 256.
//!
//! ```text
//! | qs 48 bytes: 5 values each | qh 4 bytes: 4 values each | d f16 |
//! ```
//!
//! value = (t − 1) · d; digit n of a byte b is ((b · 3ⁿ mod 256) · 3) ≫ 8
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_tq1_0`.

use super::convert::f16_at;

/// Powers of three.
const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 54;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 52);
    // Bytes are read in runs; each run gives its first digits, then its second digits, and so on.
    let runs = [(0, 32, 5, 0), (32, 16, 5, 160), (48, 4, 4, 240)];
    for (start, length, digits, first) in runs {
        for digit in 0..digits {
            for at in 0..length {
                let power = block[start + at].wrapping_mul(POWERS[digit]);
                let trit = (u16::from(power) * 3) >> 8;
                out[first + digit * length + at] = (i32::from(trit) - 1) as f32 * d;
            }
        }
    }
}
