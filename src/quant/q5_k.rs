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
    let high = &block[16..48];
    for pair in 0..4 {
        let qs = &block[48 + 32 * pair..][..32];
        // Unpacked apart from the scaling, so that the compiler makes vectors of both.
        let mut q = [[0; 32]; 2];
        for at in 0..32 {
            let high = high[at] >> (2 * pair);
            q[0][at] = qs[at] & 15 | (high & 1) << 4;
            q[1][at] = qs[at] >> 4 | (high & 2) << 3;
        }
        for (part, q) in q.iter().enumerate() {
            let group = 2 * pair + part;
            let scaled = d * f32::from(scales[group]);
            let minimum = dmin * f32::from(minimums[group]);
            for (out, &q) in out[32 * group..].iter_mut().zip(q) {
                *out = scaled * f32::from(q) - minimum;
            }
        }
    }
}
