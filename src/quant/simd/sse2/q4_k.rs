//! Q4_K: nibbles, each 32 with a 6-bit scale and minimum.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{TOP, bytes_16, every, half_at, nibbles, put_less, scales_16};
use crate::quant::q4_k::{self, BYTES};

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = scales_and_minimums(block);
    for pair in 0..4 {
        for side in 0..2 {
            let nibbles = nibbles(bytes_16(block, 16 + 32 * pair + 16 * side));
            for (part, q) in nibbles.into_iter().enumerate() {
                let group = 2 * pair + part;
                put_less(out, 4 * group + 2 * side, q, scales.of(group));
            }
        }
    }
}

/// The products of a block of Q4_K or Q5_K: eight scales in units of [`TOP`], eight minimums.
pub(super) struct Products([[f32; 8]; 2]);

impl Products {
    /// The scale and the minimum of a group of 32.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn of(&self, group: usize) -> (__m128, __m128) {
        (every(self.0[0][group]), every(self.0[1][group]))
    }
}

/// From the two halves and the twelve bytes at the start of a block.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn scales_and_minimums(block: &[u8]) -> Products {
    let [d, minimum] = [half_at(block, 0) * TOP, half_at(block, 2)];
    let (scales, minimums) = q4_k::scales_and_minimums(block);
    let eights = [(scales, d), (minimums, minimum)];
    Products(eights.map(|(bytes, d)| {
        let bytes = _mm_cvtsi64_si128(i64::from_le_bytes(bytes));
        let [first, second, ..]: [[f32; 4]; 4] = bytemuck::cast(scales_16(bytes, d));
        bytemuck::cast([first, second])
    }))
}
