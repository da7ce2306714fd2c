//! Q2_K: pairs of bits, each 16 with a scale and a minimum.

use super::slot::Slot;
use super::vector::{
    TOP, bytes_16, every, half_at, in_memory, nibbles_16, pairs, put_less, scales_16, twice_16,
};
use crate::quant::q2_k::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let [scales, minimums] = nibbles_16(bytes_16(block, 0));
    let scales = scales_16(scales, half_at(block, 80) * TOP);
    let minimums = scales_16(minimums, half_at(block, 82));
    let (scales, minimums) = (in_memory(&scales), in_memory(&minimums));
    for half in 0..2 {
        let sides = [0, 16].map(|side| pairs(twice_16(block, 16 + 32 * half + side)));
        for pair in 0..4 {
            for (side, pairs) in sides.iter().enumerate() {
                let group = 8 * half + 2 * pair + side;
                put_less(out, 2 * group, pairs[pair], (every(scales[group]), every(minimums[group])));
            }
        }
    }
}
