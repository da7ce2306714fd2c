//! Types without blocks, 32 elements at a time. Integers and 8-bit floats stay with AVX2.

use std::arch::x86_64::*;

use super::slot::{RUN, Slot};
use super::vector::{Sixteen, bytes_32, bytes_64};

/// IEEE binary32.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn f32<S: Slot>(run: &[u8; RUN * 4], out: &mut [S; RUN / 16]) {
    for (at, out) in out.iter_mut().enumerate() {
        let values = _mm512_castsi512_ps(bytes_64(run, 64 * at));
        Sixteen::rounded_any::<S>(values).store(out);
    }
}

/// IEEE binary16: no value is subnormal as f32.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn f16<S: Slot>(run: &[u8; RUN * 2], out: &mut [S; RUN / 16]) {
    for (at, out) in out.iter_mut().enumerate() {
        let values = _mm512_cvtph_ps(bytes_32(run, 32 * at));
        Sixteen::rounded::<S>(values).store(out);
    }
}

/// bfloat16: the upper half of a binary32.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn bf16<S: Slot>(run: &[u8; RUN * 2], out: &mut [S; RUN / 16]) {
    for (at, out) in out.iter_mut().enumerate() {
        let words = _mm512_cvtepu16_epi32(bytes_32(run, 32 * at));
        let values = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words));
        Sixteen::rounded_any::<S>(values).store(out);
    }
}
