//! IQ3_S: rows of 4 from a codebook with signs, each 32 with a 4-bit scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::tables::{self, SIGNS};
use super::vector::{half_at, in_memory, nibbles_16, put_signed, scales_8, two_rows};
use crate::quant::convert::u32_at;
use crate::quant::grids::iq3_s::GRID;
use crate::quant::iq3_s::BYTES;

static FLOATS: [[f32; 4]; 512] = tables::floats(&GRID);

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = scales(block, half_at(block, 0));
    let scales = in_memory(&scales);
    for (group, &scale) in scales.iter().enumerate() {
        let high = usize::from(block[66 + group]);
        for part in 0..4 {
            let row = |place: usize| {
                let top = (high << (8 - place)) & 0x100;
                FLOATS[usize::from(block[2 + 8 * group + place]) | top]
            };
            let rows = [row(2 * part), row(2 * part + 1)];
            let signs = SIGNS[usize::from(block[74 + 4 * group + part])];
            put_signed(&mut out[4 * group + part], two_rows(rows), signs, scale);
        }
    }
}

/// The eight scales, nibbles: d · (1 + 2 · scale).
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(in crate::quant::simd) fn scales(block: &[u8; BYTES], d: f32) -> [f32; 8] {
    let [low, high] = nibbles_16(_mm_cvtsi32_si128(u32_at(block, 106).cast_signed()));
    let scales = _mm_unpacklo_epi8(low, high);
    let odd = _mm_add_epi8(_mm_add_epi8(scales, scales), _mm_set1_epi8(1));
    scales_8(odd, d)
}
