//! Q5_0: a nibble and the bit above it, less 16, times the scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{Sixteen, bytes_16, halves_at};
use crate::quant::convert::u32_at;
use crate::quant::q5_0::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 2]) {
    let [d] = halves_at(block, 0);
    // Less 16 where the fifth bit is clear: the bits above a nibble are those of -16.
    for (nibbles, out) in nibbles(block, 6, !u32_at(block, 2), -16).into_iter().zip(out) {
        Sixteen::rounded::<S>(_mm512_mul_ps(nibbles, d)).store(out);
    }
}

/// The low nibbles of 16 bytes and their high nibbles, with the bits of `above` where `bits` are set.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn nibbles(block: &[u8], at: usize, bits: u32, above: i32) -> [__m512; 2] {
    let codes = _mm512_cvtepu8_epi32(bytes_16(block, at));
    let low = _mm512_and_si512(codes, _mm512_set1_epi32(15));
    let high = _mm512_srli_epi32::<4>(codes);
    let above = _mm512_set1_epi32(above);
    [
        _mm512_cvtepi32_ps(_mm512_mask_or_epi32(low, bits as u16, low, above)),
        _mm512_cvtepi32_ps(_mm512_mask_or_epi32(high, (bits >> 16) as u16, high, above)),
    ]
}
