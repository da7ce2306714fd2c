//! Q5_K: 5 bits, scale and minimum of 6 bits for 32, super-block of 256.
//!
//! ```text
//! | d f16 | dmin f16 | scales 12 bytes: as Q4_K | qh 32 bytes | qs 128 bytes: as Q4_K |
//! ```
//!
//! value = d · scale · q − dmin · minimum; bit g of `qh[i]` is the fifth bit of element i of group g
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q5_k`.

use super::convert::f16_at;
use super::q4_k::scales_and_minimums;

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 176;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    let dmin = f16_at(block, 2);
    let (scales, minimums) = scales_and_minimums(block);
    for group in 0..8 {
        let scaled = d * f32::from(scales[group]);
        let minimum = dmin * f32::from(minimums[group]);
        let shift = 4 * (group % 2);
        let qs = &block[48 + 32 * (group / 2)..][..32];
        let high = &block[16..48];
        for ((out, &byte), &high) in out[32 * group..].iter_mut().zip(qs).zip(high) {
            let q = ((byte >> shift) & 15) | ((high >> group) & 1) << 4;
            *out = scaled * f32::from(q) - minimum;
        }
    }
}
