//! Q2_0: pairs of bits less 1, times the scale; four neighbours in a byte.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{bytes_16, half_at, put_scaled};
use crate::quant::q2_0::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    // Two bytes in each 64 bits: from every second bit on, eight bits make a byte.
    let places = _mm512_set1_epi64(0x0e0c_0a08_0604_0200);
    let words = _mm512_cvtepu16_epi64(bytes_16(block, 2));
    let pairs = _mm512_multishift_epi64_epi8(places, words);
    let pairs = _mm512_and_si512(pairs, _mm512_set1_epi8(3));
    let q = _mm512_sub_epi8(pairs, _mm512_set1_epi8(1));
    put_scaled(out, 0, q, [half_at(block, 0); 4]);
}
