//! Q5_K: a nibble and the bit above it, each 32 with a 6-bit scale and minimum.

use std::arch::aarch64::*;

use super::vector::{bytes_16, nibbles, put_less};
use crate::quant::convert::f16_at;
use crate::quant::q4_k::scales_and_minimums;
use crate::quant::q5_k::BYTES;
use crate::quant::simd::slot::Slot;

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let (scales, minimums) = scales_and_minimums(block);
    let high = [0, 16].map(|side| bytes_16(block, 16 + side));
    for pair in 0..4 {
        let sides = [0, 16].map(|side| nibbles(bytes_16(block, 48 + 32 * pair + side)));
        for part in 0..2 {
            let group = 2 * pair + part;
            let bit = vdupq_n_u8(1 << group);
            let scale = d * f32::from(scales[group]);
            let minimum = dmin * f32::from(minimums[group]);
            for (side, nibbles) in sides.iter().enumerate() {
                let fifth = vandq_u8(vtstq_u8(high[side], bit), vdupq_n_u8(16));
                let q = vorrq_u8(nibbles[part], fifth);
                put_less(out, 4 * group + 2 * side, q, (scale, minimum));
            }
        }
    }
}
