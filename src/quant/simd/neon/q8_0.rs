//! Q8_0: bytes times the scale.

use std::arch::aarch64::*;

use super::vector::{bytes_16, put_scaled};
use crate::quant::convert::f16_at;
use crate::quant::q8_0::BYTES;
use crate::quant::simd::slot::Slot;

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let d = f16_at(block, 0);
    for half in 0..2 {
        let q = vreinterpretq_s8_u8(bytes_16(block, 2 + 16 * half));
        put_scaled(out, 2 * half, q, d);
    }
}
