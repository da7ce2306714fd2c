//! Q4_K: nibbles, each 32 with a 6-bit scale and minimum.

use std::arch::x86_64::_mm512_fmadd_ps;

use super::q4_1::VALUES;
use super::slot::Slot;
use super::vector::{Sixteen, bytes_8, bytes_16, every, half_at, in_memory, scales_8};
use crate::quant::q4_k::{self, BYTES};

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let (scales, minimums) = q4_k::scales_and_minimums(block);
    let scales = scales_8(bytes_8(&scales, 0), half_at(block, 0));
    // Negated, to be added.
    let minimums = scales_8(bytes_8(&minimums, 0), -half_at(block, 2));
    let (scales, minimums) = (in_memory(&scales), in_memory(&minimums));
    for pair in 0..4 {
        let [low, high] = [2 * pair, 2 * pair + 1].map(|group| {
            let (scale, minimum) = (every(scales[group]), every(minimums[group]));
            Sixteen::rounded::<S>(_mm512_fmadd_ps(bytemuck::cast(VALUES), scale, minimum))
        });
        for side in 0..2 {
            let bytes = bytes_16(block, 16 + 32 * pair + 16 * side);
            low.put_nibbles(high, out, [4 * pair + side, 4 * pair + 2 + side], bytes);
        }
    }
}
