//! Q4_1: nibbles times the scale, plus the minimum.

use super::slot::Slot;
use super::vector::{TOP, bytes_16, every, half_at, nibbles, put_plus};
use crate::quant::q4_1::BYTES;

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let scale = (
        every(half_at(block, 0) * TOP),
        every(half_at(block, 2)),
    );
    for (part, q) in nibbles(bytes_16(block, 4)).into_iter().enumerate() {
        put_plus(out, 2 * part, q, scale);
    }
}
