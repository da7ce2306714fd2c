//! TQ1_0: the digits of a fraction in base 3, less 1, times the scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{TOP, bytes_16, every, half_at, put_scaled};
use crate::quant::convert::u32_at;
use crate::quant::tq1_0::BYTES;

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let d = every(half_at(block, 52) * TOP);
    // 32 bytes of five digits each, then 16: first all first digits, then all second digits.
    for (start, first, step) in [(0, 0, 4), (16, 2, 4), (32, 20, 2)] {
        let mut run = bytes_16(block, start);
        for digit in 0..5 {
            put_scaled(out, first + step * digit, first_digit(run), d);
            run = without_first_digit(run);
        }
    }
    // Four bytes of four digits.
    let mut run = _mm_cvtsi32_si128(u32_at(block, 48).cast_signed());
    let words = [(); 4].map(|()| {
        let word = _mm_cvtsi128_si32(run);
        run = without_first_digit(run);
        word
    });
    let run = _mm_setr_epi32(words[0], words[1], words[2], words[3]);
    put_scaled(out, 30, first_digit(run), d);
}

/// The first digit of each fraction of 256, less 1: ⌊3b / 256⌋ − 1.
#[inline]
#[target_feature(enable = "sse2")]
fn first_digit(bytes: __m128i) -> __m128i {
    let at_least = |limit: u8| {
        let limit = _mm_set1_epi8(limit.cast_signed());
        _mm_cmpeq_epi8(_mm_max_epu8(bytes, limit), bytes)
    };
    // Each comparison that holds is −1. 86 and 171 are the least bytes of digit 1 and 2.
    let digit = _mm_add_epi8(at_least(86), at_least(171));
    _mm_sub_epi8(_mm_set1_epi8(-1), digit)
}

/// The fraction that follows the first digit: 3b mod 256.
#[inline]
#[target_feature(enable = "sse2")]
fn without_first_digit(bytes: __m128i) -> __m128i {
    _mm_add_epi8(bytes, _mm_add_epi8(bytes, bytes))
}
