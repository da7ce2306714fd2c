//! Rows of a codebook, gathered.

#![expect(unsafe_code, reason = "a gather has no safe form")]

use std::arch::x86_64::*;

/// Eight rows of eight bytes, side by side. Each index stands in 64 bits; bits above those that the codebook needs
/// are ignored.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn rows_8<const ROWS: usize>(codebook: &[[i8; 8]; ROWS], indices: __m512i) -> __m512i {
    const { assert!(ROWS.is_power_of_two() && ROWS <= 1 << 16) };
    let indices = _mm512_and_si512(indices, _mm512_set1_epi64(ROWS as i64 - 1));
    // SAFETY: every index is less than `ROWS`, a power of two, so that 8 bytes at 8 times the index are inside the
    // codebook, which is borrowed for the time of the call.
    unsafe { _mm512_i64gather_epi64::<8>(indices, codebook.as_ptr().cast()) }
}

/// As [`rows_8`], sixteen rows of four bytes. Each index stands in 32 bits.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn rows_16<const ROWS: usize>(codebook: &[[i8; 4]; ROWS], indices: __m512i) -> __m512i {
    const { assert!(ROWS.is_power_of_two() && ROWS <= 1 << 16) };
    let indices = _mm512_and_si512(indices, _mm512_set1_epi32(ROWS as i32 - 1));
    // SAFETY: as in `rows_8`, 4 bytes at 4 times the index.
    unsafe { _mm512_i32gather_epi32::<4>(indices, codebook.as_ptr().cast()) }
}
