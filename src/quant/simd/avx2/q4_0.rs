//! Q4_0: nibbles less 8, times the scale.

use std::arch::x86_64::{_mm256_set1_epi8, _mm256_sub_epi8};

use super::slot::Slot;
use super::vector::{halves_of_top, nibbles, put_scaled, twice_16};
use crate::quant::q4_0::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let d = halves_of_top::<S>(block, 0);
    for (half, q) in nibbles(twice_16(block, 2)).into_iter().enumerate() {
        put_scaled(out, 2 * half, _mm256_sub_epi8(q, _mm256_set1_epi8(8)), d);
    }
}
