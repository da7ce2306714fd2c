//! Q2_K: pairs of bits, each 16 with a scale and a minimum.

use super::slot::Slot;
use super::vector::{TOP, bytes_16, every, half_at, nibbles, pairs, put_less, scales_16};
use crate::quant::q2_k::BYTES;

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let [scales, minimums] = nibbles(bytes_16(block, 0));
    let scales = scales_16(scales, half_at(block, 80) * TOP);
    let minimums = scales_16(minimums, half_at(block, 82));
    for half in 0..2 {
        for side in 0..2 {
            let pairs = pairs(bytes_16(block, 16 + 32 * half + 16 * side));
            for (pair, q) in pairs.into_iter().enumerate() {
                let group = 8 * half + 2 * pair + side;
                let scale = (every(scales[group]), every(minimums[group]));
                put_less(out, 2 * group, q, scale);
            }
        }
    }
}
