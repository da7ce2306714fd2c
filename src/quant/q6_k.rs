//! Q6_K: 6 bits, 8-bit scales for 16, super-block of 256.
//!
//! ```text
//! | ql 128 bytes: low 4 bits | qh 64 bytes: high 2 bits | scales 16 × i8 | d f16 |
//! ```
//!
//! value = d · scale · (q − 32); each half of the block takes 64 bytes of `ql` and 32 of `qh`
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_q6_k`.

use super::convert::f16_at;

pub(super) const ELEMENTS: usize = 256;
pub(super) const BYTES: usize = 210;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    let d = f16_at(block, 208);
    let (halves, _) = out.as_chunks_mut::<128>();
    for (half, out) in halves.iter_mut().enumerate() {
        let q = sixes(&block[64 * half..][..64], &block[128 + 32 * half..][..32]);
        let scales = &block[192 + 8 * half..];
        let (groups, _) = q.as_flattened().as_chunks::<16>();
        let (outs, _) = out.as_chunks_mut::<16>();
        for ((q, out), &scale) in groups.iter().zip(outs).zip(scales) {
            let scaled = d * f32::from(scale as i8);
            for (out, &q) in out.iter_mut().zip(q) {
                *out = scaled * f32::from(q);
            }
        }
    }
}

/// The values of half a block, less 32: 4 × 32 in order. Unpacked apart from the scaling, so that the
/// compiler makes vectors of both.
#[inline(always)]
fn sixes(low: &[u8], high: &[u8]) -> [[i8; 32]; 4] {
    let mut q = [[0; 32]; 4];
    for at in 0..32 {
        let (first, second, high) = (low[at], low[at + 32], high[at]);
        q[0][at] = (first & 15 | (high & 3) << 4) as i8 - 32;
        q[1][at] = (second & 15 | (high >> 2 & 3) << 4) as i8 - 32;
        q[2][at] = (first >> 4 | (high >> 4 & 3) << 4) as i8 - 32;
        q[3][at] = (second >> 4 | (high >> 6) << 4) as i8 - 32;
    }
    q
}
