//! Q8_0: signed bytes times the scale.

use super::slot::Slot;
use super::vector::{TOP, bytes_16, every, half_at, put_scaled};
use crate::quant::q8_0::BYTES;

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let d = every(half_at(block, 0) * TOP);
    for part in 0..2 {
        put_scaled(out, 2 * part, bytes_16(block, 2 + 16 * part), d);
    }
}
