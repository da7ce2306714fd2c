//! Q4_1: nibbles times the scale, plus the minimum.

use super::vector::{bytes_16, nibbles, put_plus};
use crate::quant::convert::f16_at;
use crate::quant::q4_1::BYTES;
use crate::quant::simd::slot::Slot;

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let scale = (f16_at(block, 0), f16_at(block, 2));
    for (half, q) in nibbles(bytes_16(block, 4)).into_iter().enumerate() {
        put_plus(out, 2 * half, q, scale);
    }
}
