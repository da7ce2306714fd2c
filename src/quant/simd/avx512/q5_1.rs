//! Q5_1: a nibble and the bit above it, times the scale, plus the minimum.

use std::arch::x86_64::_mm512_fmadd_ps;

use super::q5_0::nibbles;
use super::slot::Slot;
use super::vector::{Sixteen, halves_at};
use crate::quant::convert::u32_at;
use crate::quant::q5_1::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 2]) {
    let [d, m] = halves_at(block, 0);
    for (nibbles, out) in nibbles(block, 8, u32_at(block, 4), 16).into_iter().zip(out) {
        Sixteen::rounded::<S>(_mm512_fmadd_ps(nibbles, d, m)).store(out);
    }
}
