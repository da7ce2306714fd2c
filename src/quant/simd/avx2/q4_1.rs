//! Q4_1: nibbles times the scale, plus the minimum.

use super::slot::Slot;
use super::vector::{halves_at, halves_of_top, nibbles, put_plus, twice_16};
use crate::quant::q4_1::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let scale = (halves_of_top::<S>(block, 0), halves_at::<S>(block, 2));
    for (half, q) in nibbles(twice_16(block, 4)).into_iter().enumerate() {
        put_plus(out, 2 * half, q, scale);
    }
}
