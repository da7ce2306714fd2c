//! IQ2_XXS: rows of 8 from a codebook with signs, each 32 with a 4-bit scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::tables::{self, EVEN_SIGNS};
use super::vector::{half_at, in_memory, bytes_32, put_signed, quarter_steps};
use crate::quant::convert::u32_at;
use crate::quant::grids::iq2_xxs::GRID;
use crate::quant::iq2_xxs::BYTES;

static FLOATS: [[f32; 8]; 256] = tables::floats(&GRID);

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = scales(block, half_at(block, 0));
    let scales = in_memory(&scales);
    for (group, &scale) in scales.iter().enumerate() {
        let codes = u32_at(block, 6 + 8 * group);
        for part in 0..4 {
            let row = FLOATS[usize::from(block[2 + 8 * group + part])];
            let signs = EVEN_SIGNS[(codes >> (7 * part)) as usize & 127];
            put_signed(&mut out[4 * group + part], row, signs, scale);
        }
    }
}

/// The eight scales: the upper four bits of every second word.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(in crate::quant::simd) fn scales(block: &[u8; BYTES], d: f32) -> [f32; 8] {
    let words = [2, 34].map(|at| _mm256_castsi256_ps(bytes_32(block, at)));
    // Words 1, 3 of each half, then the quarters in their order.
    let odd = _mm256_castps_pd(_mm256_shuffle_ps::<0b11_01_11_01>(words[0], words[1]));
    let odd = _mm256_castpd_si256(_mm256_permute4x64_pd::<0b11_01_10_00>(odd));
    let scales = _mm256_cvtepi32_ps(_mm256_srli_epi32::<28>(odd));
    bytemuck::cast(quarter_steps(scales, d))
}
