//! Q6_K: nibbles and pairs of bits above them, less 32, each 16 with an 8-bit scale.

use std::arch::aarch64::*;

use super::vector::{bytes_16, nibbles, put_scaled};
use crate::quant::convert::f16_at;
use crate::quant::q6_k::BYTES;
use crate::quant::simd::slot::Slot;

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let d = f16_at(block, 208);
    for half in 0..2 {
        let sides = [0, 16].map(|side| sixes(block, half, side));
        for part in 0..4 {
            for (side, q) in sides.iter().enumerate() {
                let group = 8 * half + 2 * part + side;
                let scale = d * f32::from(block[192 + group].cast_signed());
                put_scaled(out, 2 * group, q[part], scale);
            }
        }
    }
}

/// The values of 4 × 16 elements of a half of the block, 32 apart, less 32.
#[inline]
#[target_feature(enable = "neon")]
fn sixes(block: &[u8; BYTES], half: usize, side: usize) -> [int8x16_t; 4] {
    let low = [0, 32].map(|at| nibbles(bytes_16(block, 64 * half + at + side)));
    let high = bytes_16(block, 128 + 32 * half + side);
    let above = [
        vshlq_n_u8::<4>(high),
        vshlq_n_u8::<2>(high),
        high,
        vshrq_n_u8::<2>(high),
    ];
    [0, 1, 2, 3].map(|part| {
        let above = vandq_u8(above[part], vdupq_n_u8(0x30));
        let q = vorrq_u8(low[part % 2][part / 2], above);
        vsubq_s8(vreinterpretq_s8_u8(q), vdupq_n_s8(32))
    })
}
