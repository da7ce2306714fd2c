//! Q4_K: nibbles, each 32 with a 6-bit scale and minimum.

use super::vector::{bytes_16, nibbles, put_less};
use crate::quant::convert::f16_at;
use crate::quant::q4_k::{BYTES, scales_and_minimums};
use crate::quant::simd::slot::Slot;

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let (scales, minimums) = scales_and_minimums(block);
    for pair in 0..4 {
        let sides = [0, 16].map(|side| nibbles(bytes_16(block, 16 + 32 * pair + side)));
        for part in 0..2 {
            let group = 2 * pair + part;
            let scale = d * f32::from(scales[group]);
            let minimum = dmin * f32::from(minimums[group]);
            for (side, nibbles) in sides.iter().enumerate() {
                put_less(out, 4 * group + 2 * side, nibbles[part], (scale, minimum));
            }
        }
    }
}
