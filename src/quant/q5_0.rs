//! Q5_0: 5 bits, one scale for 32.
//!
//! ```text
//! | d f16 | qh u32: bit e is the fifth bit of element e | qs 16 bytes: as Q4_0 |
//! ```
//!
//! value = (q − 16) · d
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q5_0`.

use super::convert::{f16_at, u32_at};

pub(super) const ELEMENTS: usize = 32;
pub(super) const BYTES: usize = 22;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 0);
    let high = u32_at(block, 2);
    for (at, &byte) in block[6..].iter().enumerate() {
        let low_bit = (high >> at) & 1;
        let high_bit = (high >> (at + 16)) & 1;
        out[at] = ((u32::from(byte & 15) | low_bit << 4) as i32 - 16) as f32 * d;
        out[at + 16] = ((u32::from(byte >> 4) | high_bit << 4) as i32 - 16) as f32 * d;
    }
}
