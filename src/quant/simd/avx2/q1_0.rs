//! Q1_0: a bit is the sign of the scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::tables::SIGNS;
use super::vector::{every, halves_at, put};
use crate::quant::q1_0::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let negated = _mm256_xor_ps(halves_at::<S>(block, 0), every(-0.0));
    for (out, &byte) in out.iter_mut().zip(&block[2..]) {
        let flip = bytemuck::cast(SIGNS[usize::from(byte)].0);
        put(out, _mm256_xor_ps(negated, flip));
    }
}
