//! Q4_K: 4 bits, scale and minimum of 6 bits for 32, super-block of 256.
//!
//! ```text
//! | d f16 | dmin f16 | scales 12 bytes: 8 × (scale, minimum) | qs 128 bytes |
//! ```
//!
//! value = d · scale · q − dmin · minimum; 64 elements share 32 bytes of `qs`, low nibbles first
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q4_k`.

use super::convert::{f16_at, u32_at};

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 144;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    let dmin = f16_at(block, 2);
    let (scales, minimums) = scales_and_minimums(block);
    for group in 0..8 {
        let scaled = d * f32::from(scales[group]);
        let minimum = dmin * f32::from(minimums[group]);
        let shift = 4 * (group % 2);
        let qs = &block[16 + 32 * (group / 2)..][..32];
        for (out, &byte) in out[32 * group..].iter_mut().zip(qs) {
            *out = scaled * f32::from((byte >> shift) & 15) - minimum;
        }
    }
}

/// The eight 6-bit scales and the eight minimums, packed in 12 bytes at 4 (`get_scale_min_k4`).
///
/// The first four of each have six bits in a byte; the others have four bits in the last four bytes, and
/// two above the first ones. Four bytes at a time in one word.
#[inline(always)]
pub(super) fn scales_and_minimums(block: &[u8]) -> ([u8; 8], [u8; 8]) {
    let [scales, minimums, low] = [4, 8, 12].map(|at| u32_at(block, at));
    let last_scales = low & 0x0f0f_0f0f | (scales >> 2) & 0x3030_3030;
    let last_minimums = (low >> 4) & 0x0f0f_0f0f | (minimums >> 2) & 0x3030_3030;
    let both = |first: u32, last: u32| u64::from(first & 0x3f3f_3f3f) | u64::from(last) << 32;
    (
        both(scales, last_scales).to_le_bytes(),
        both(minimums, last_minimums).to_le_bytes(),
    )
}
