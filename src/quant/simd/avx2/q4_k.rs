//! Q4_K: nibbles, each 32 with a 6-bit scale and minimum.

use super::slot::Slot;
use super::vector::{TOP, bytes_8, every, half_at, in_memory, nibbles, put_less, scales_8, twice_16};
use crate::quant::q4_k::{self, BYTES};

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let (scales, minimums) = scales_and_minimums(block);
    let (scales, minimums) = (in_memory(&scales), in_memory(&minimums));
    for pair in 0..4 {
        let sides = [0, 16].map(|side| nibbles(twice_16(block, 16 + 32 * pair + side)));
        for part in 0..2 {
            let group = 2 * pair + part;
            for (side, nibbles) in sides.iter().enumerate() {
                let scale = (every(scales[group]), every(minimums[group]));
                put_less(out, 4 * group + 2 * side, nibbles[part], scale);
            }
        }
    }
}

/// The eight scales and minimums, times those of the block; the scales in units of `TOP`.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn scales_and_minimums(block: &[u8]) -> ([f32; 8], [f32; 8]) {
    let (scales, minimums) = q4_k::scales_and_minimums(block);
    (
        scales_8(bytes_8(&scales, 0), half_at(block, 0) * TOP),
        scales_8(bytes_8(&minimums, 0), half_at(block, 2)),
    )
}
