//! TQ1_0: the digits of a fraction in base 3, less 1, times the scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{TOP, every, half_at, put_scaled, twice_16};
use crate::quant::convert::u32_at;
use crate::quant::tq1_0::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let d = every(half_at(block, 52) * TOP);
    // 32 bytes of five digits each: first all first digits, then all second digits.
    let mut runs = [twice_16(block, 0), twice_16(block, 16)];
    for digit in 0..5 {
        for (half, run) in runs.iter_mut().enumerate() {
            put_scaled(out, 4 * digit + 2 * half, first_digit(*run), d);
            *run = without_first_digit(*run);
        }
    }
    let mut run = twice_16(block, 32);
    for digit in 0..5 {
        put_scaled(out, 20 + 2 * digit, first_digit(run), d);
        run = without_first_digit(run);
    }
    // Four bytes of four digits.
    let mut run = _mm256_castsi128_si256(_mm_cvtsi32_si128(u32_at(block, 48).cast_signed()));
    let words = [(); 4].map(|()| {
        let word = _mm256_cvtsi256_si32(run);
        run = without_first_digit(run);
        word
    });
    let run = _mm_setr_epi32(words[0], words[1], words[2], words[3]);
    put_scaled(out, 30, first_digit(_mm256_broadcastsi128_si256(run)), d);
}

/// The first digit of each fraction of 256, less 1: ⌊3b / 256⌋ − 1.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
fn first_digit(bytes: __m256i) -> __m256i {
    let at_least = |limit: u8| {
        let limit = _mm256_set1_epi8(limit.cast_signed());
        _mm256_cmpeq_epi8(_mm256_max_epu8(bytes, limit), bytes)
    };
    // Each comparison that holds is −1. 86 and 171 are the least bytes of digit 1 and 2.
    let digit = _mm256_add_epi8(at_least(86), at_least(171));
    _mm256_sub_epi8(_mm256_set1_epi8(-1), digit)
}

/// The fraction that follows the first digit: 3b mod 256.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
fn without_first_digit(bytes: __m256i) -> __m256i {
    _mm256_add_epi8(bytes, _mm256_add_epi8(bytes, bytes))
}
