//! IQ1_M: rows of 8 from a codebook, each shifted by an eighth, each 16 with a 3-bit scale.

use std::arch::x86_64::*;

use super::iq1_s::{EIGHTH, put_shifted};
use super::slot::Slot;
use super::vector::{TOP, every, half};
use crate::quant::convert::u16_at;
use crate::quant::iq1_m::{BYTES, scale_bits};

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let scales = scales(block);
    for (pair, &scale) in scales.iter().enumerate() {
        let high = block[32 + pair];
        for part in 0..2 {
            let high = high >> (4 * part);
            // Bit 3 set means minus.
            let shift = f32::from_bits(EIGHTH.to_bits() | u32::from(high & 8) << 28);
            let index = usize::from(block[2 * pair + part]) | usize::from(high & 7) << 8;
            put_shifted(&mut out[2 * pair + part], index, scale, shift);
        }
    }
}

/// The 16 scales, four of three bits in each word: d · (2 · scale + 1), in units of `TOP`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn scales(block: &[u8; BYTES]) -> [f32; 16] {
    let words: [u16; 4] = std::array::from_fn(|at| u16_at(block, 48 + 2 * at));
    let d = every(half(scale_bits(words)) * TOP);
    let places = _mm256_setr_epi32(0, 3, 6, 9, 0, 3, 6, 9);
    let eight = |low: u16, high: u16| {
        let words = _mm256_setr_m128i(_mm_set1_epi32(low.into()), _mm_set1_epi32(high.into()));
        let scale = _mm256_and_si256(_mm256_srlv_epi32(words, places), _mm256_set1_epi32(7));
        let odd = _mm256_add_epi32(_mm256_add_epi32(scale, scale), _mm256_set1_epi32(1));
        _mm256_mul_ps(d, _mm256_cvtepi32_ps(odd))
    };
    bytemuck::cast([eight(words[0], words[1]), eight(words[2], words[3])])
}
