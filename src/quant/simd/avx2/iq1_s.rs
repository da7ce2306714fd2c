//! IQ1_S: rows of 8 from a codebook, shifted by an eighth, each 32 with a 3-bit scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{TOP, bytes_16, every, half_at, put, wide};
use crate::quant::convert::u16_at;
use crate::quant::grids::iq1::GRID;
use crate::quant::iq1_s::{BYTES, SHIFT};

/// The shift, in units of `TOP`.
pub(super) const EIGHTH: f32 = SHIFT / TOP;

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = scales(block);
    for (group, &scale) in scales.iter().enumerate() {
        let high = u16_at(block, 34 + 2 * group);
        // Bit 15 set means minus.
        let shift = f32::from_bits(EIGHTH.to_bits() | u32::from(high & 0x8000) << 16);
        for part in 0..4 {
            let top = usize::from((high >> (3 * part)) & 7) << 8;
            let index = usize::from(block[2 + 4 * group + part]) | top;
            put_shifted(&mut out[4 * group + part], index, scale, shift);
        }
    }
}

/// Stores a row plus `shift`, times `scale`; both in units of `TOP`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn put_shifted<S: Slot>(out: &mut S, index: usize, scale: f32, shift: f32) {
    let row = wide(_mm256_set1_epi64x(bytemuck::cast(GRID[index])), false);
    let row = _mm256_add_ps(_mm256_cvtepi32_ps(row), _mm256_set1_ps(shift));
    put(out, _mm256_mul_ps(_mm256_set1_ps(scale), row));
}

/// The eight scales, bits 12 to 14 of the half words: d · (2 · scale + 1), in units of `TOP`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn scales(block: &[u8; BYTES]) -> [f32; 8] {
    let twice = _mm_and_si128(_mm_srli_epi16::<11>(bytes_16(block, 34)), _mm_set1_epi16(14));
    let odd = _mm256_cvtepi16_epi32(_mm_add_epi16(twice, _mm_set1_epi16(1)));
    let d = every(half_at(block, 0) * TOP);
    bytemuck::cast(_mm256_mul_ps(d, _mm256_cvtepi32_ps(odd)))
}
