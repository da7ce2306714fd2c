//! Q5_0: a nibble and the bit above it, less 16, times the scale.

use std::arch::aarch64::*;

use super::vector::{bytes_16, nibbles, put_scaled, set_bits};
use crate::quant::convert::{f16_at, u16_at};
use crate::quant::q5_0::BYTES;
use crate::quant::simd::slot::Slot;

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let d = f16_at(block, 0);
    for (half, low) in nibbles(bytes_16(block, 6)).into_iter().enumerate() {
        // Where the fifth bit is clear, the bits above a nibble are those of −16.
        let high = vbicq_u8(vdupq_n_u8(0xf0), set_bits(u16_at(block, 2 + 2 * half)));
        put_scaled(out, 2 * half, vreinterpretq_s8_u8(vorrq_u8(low, high)), d);
    }
}
