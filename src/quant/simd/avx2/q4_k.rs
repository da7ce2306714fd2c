//! Q4_K: nibbles, each 32 with a 6-bit scale and minimum.

use std::arch::x86_64::_mm_cvtsi64_si128;

use super::slot::Slot;
use super::vector::{TOP, every, half_at, nibbles, put_less, scales_8, twice_16};
use crate::quant::convert::u32_at;
use crate::quant::q4_k::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let (scales, minimums) = scales_and_minimums(block);
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

/// The eight scales and minimums, times those of the block; the scales in
/// units of `TOP`. The first four of each have six bits in a
/// byte; the others have four bits in the last four bytes, and two above the first ones.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn scales_and_minimums(block: &[u8]) -> ([f32; 8], [f32; 8]) {
    let [scales, minimums, low] = [4, 8, 12].map(|at| u32_at(block, at));
    let last_scales = low & 0x0f0f_0f0f | (scales >> 2) & 0x3030_3030;
    let last_minimums = (low >> 4) & 0x0f0f_0f0f | (minimums >> 2) & 0x3030_3030;
    let both = |first: u32, last: u32| u64::from(first & 0x3f3f_3f3f) | u64::from(last) << 32;
    let vector = |bytes: u64| _mm_cvtsi64_si128(bytes.cast_signed());
    (
        scales_8(vector(both(scales, last_scales)), half_at(block, 0) * TOP),
        scales_8(vector(both(minimums, last_minimums)), half_at(block, 2)),
    )
}
