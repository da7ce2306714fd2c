//! Q5_1: a nibble and the bit above it, times the scale, plus the minimum.

use std::arch::aarch64::*;

use super::vector::{bytes_16, nibbles, put_plus, set_bits};
use crate::quant::convert::{f16_at, u16_at};
use crate::quant::q5_1::BYTES;
use crate::quant::simd::slot::Slot;

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let scale = (f16_at(block, 0), f16_at(block, 2));
    for (half, low) in nibbles(bytes_16(block, 8)).into_iter().enumerate() {
        let high = vandq_u8(vdupq_n_u8(16), set_bits(u16_at(block, 4 + 2 * half)));
        put_plus(out, 2 * half, vorrq_u8(low, high), scale);
    }
}
