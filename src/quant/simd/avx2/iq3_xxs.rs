//! IQ3_XXS: rows of 4 from a codebook with signs, each 32 with a 4-bit scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::tables::{self, EVEN_SIGNS};
use super::vector::{bytes_32, every, half_at, in_memory, put_signed, two_rows};
use crate::quant::convert::u32_at;
use crate::quant::grids::iq3_xxs::GRID;
use crate::quant::iq3_xxs::BYTES;

static FLOATS: [[f32; 4]; 256] = tables::floats(&GRID);

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = scales(block, half_at(block, 0));
    let scales = in_memory(&scales);
    for (group, &scale) in scales.iter().enumerate() {
        let codes = u32_at(block, 66 + 4 * group);
        for part in 0..4 {
            let at = 2 + 8 * group + 2 * part;
            let rows = [block[at], block[at + 1]].map(|index| FLOATS[usize::from(index)]);
            let signs = EVEN_SIGNS[(codes >> (7 * part)) as usize & 127];
            put_signed(&mut out[4 * group + part], two_rows(rows), signs, scale);
        }
    }
}

/// The eight scales, the upper four bits of the words: d · (0.5 + scale) · 0.5.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(in crate::quant::simd) fn scales(block: &[u8; BYTES], d: f32) -> [f32; 8] {
    let scales = _mm256_cvtepi32_ps(_mm256_srli_epi32::<28>(bytes_32(block, 66)));
    let d = every(d);
    let steps = _mm256_mul_ps(d, _mm256_add_ps(every(0.5), scales));
    bytemuck::cast(_mm256_mul_ps(steps, every(0.5)))
}
