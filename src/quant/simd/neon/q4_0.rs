//! Q4_0: nibbles less 8, times the scale.

use std::arch::aarch64::*;

use super::vector::{bytes_16, nibbles, put_scaled};
use crate::quant::convert::f16_at;
use crate::quant::q4_0::BYTES;
use crate::quant::simd::slot::Slot;

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let d = f16_at(block, 0);
    for (half, q) in nibbles(bytes_16(block, 2)).into_iter().enumerate() {
        let q = vsubq_s8(vreinterpretq_s8_u8(q), vdupq_n_s8(8));
        put_scaled(out, 2 * half, q, d);
    }
}
