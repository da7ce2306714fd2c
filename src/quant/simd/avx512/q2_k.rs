//! Q2_K: pairs of bits, each 16 with a scale and a minimum.

use super::slot::Slot;
use super::vector::{bytes_16, four, half_at, in_memory, moved_right, nibbles_16, put_plus, scales_16, twice_32};
use crate::quant::q2_k::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let [scales, minimums] = nibbles_16(bytes_16(block, 0));
    let scales = scales_16(scales, half_at(block, 80));
    // Negated, to be added.
    let minimums = scales_16(minimums, -half_at(block, 82));
    let (scales, minimums) = (in_memory(&scales), in_memory(&minimums));
    for half in 0..2 {
        let bytes = twice_32(block, 16 + 32 * half);
        let pairs = [moved_right::<0, 2>(bytes, 3), moved_right::<4, 6>(bytes, 3)];
        for (two, pairs) in pairs.into_iter().enumerate() {
            let at = 8 * half + 4 * two;
            put_plus(out, at, pairs, four(scales, at), four(minimums, at));
        }
    }
}
