//! Q4_0: nibbles less 8, times the scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{TOP, bytes_16, every, half_at, nibbles, put_scaled};
use crate::quant::q4_0::BYTES;

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let d = every(half_at(block, 0) * TOP);
    for (part, q) in nibbles(bytes_16(block, 2)).into_iter().enumerate() {
        put_scaled(out, 2 * part, _mm_sub_epi8(q, _mm_set1_epi8(8)), d);
    }
}
