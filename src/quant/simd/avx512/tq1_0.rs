//! TQ1_0: the digits of a fraction in base 3, less 1, times the scale.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{Sixteen, bytes_16, bytes_32, every, floats, half_at, put_scaled};
use crate::quant::convert::u32_at;
use crate::quant::tq1_0::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let d = half_at(block, 52);
    // 32 bytes of five digits each: first all first digits, then all second digits.
    let run = bytes_32(block, 0);
    let mut two = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(run), tripled_32(run));
    for at in [0, 4] {
        put_scaled(out, at, first_digit(two), [d; 4]);
        two = tripled(tripled(two));
    }
    // 16 bytes of five digits.
    let run = bytes_16(block, 32);
    let fifth = tripled_16(tripled_16(tripled_16(tripled_16(run))));
    let pair = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(run), tripled_16(run));
    let ninth = tripled_32(tripled_32(pair));
    let four = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(pair), ninth);
    put_scaled(out, 10, first_digit(four), [d; 4]);
    // Four bytes of four digits, behind the fifth digits of the runs before.
    let words = [1, 3, 9, 27].map(|power| bytes_times(u32_at(block, 48), power));
    let last = _mm_setr_epi32(words[0], words[1], words[2], words[3]);
    let rest = _mm512_inserti32x4::<2>(two, fifth);
    let digits = first_digit(_mm512_inserti32x4::<3>(rest, last));
    for (floats, at) in floats(digits).into_iter().zip([8, 9, 14, 15]) {
        let values = _mm512_mul_ps(floats, every(d));
        Sixteen::rounded::<S>(values).store(&mut out[at]);
    }
}

/// The first digit of each fraction of 256, less 1: ⌊3b / 256⌋ − 1.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
fn first_digit(bytes: __m512i) -> __m512i {
    // 86 and 171 are the least bytes of digit 1 and 2.
    let [one, two] = [86_u8, 171].map(|least| {
        _mm512_cmpge_epu8_mask(bytes, _mm512_set1_epi8(least.cast_signed()))
    });
    let digit = _mm512_mask_blend_epi8(one, _mm512_set1_epi8(-1), _mm512_setzero_si512());
    _mm512_mask_blend_epi8(two, digit, _mm512_set1_epi8(1))
}

/// The fraction that follows the first digit: 3b mod 256.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
fn tripled(bytes: __m512i) -> __m512i {
    _mm512_add_epi8(bytes, _mm512_add_epi8(bytes, bytes))
}

/// As [`tripled`].
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
fn tripled_32(bytes: __m256i) -> __m256i {
    _mm256_add_epi8(bytes, _mm256_add_epi8(bytes, bytes))
}

/// As [`tripled`].
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
fn tripled_16(bytes: __m128i) -> __m128i {
    _mm_add_epi8(bytes, _mm_add_epi8(bytes, bytes))
}

/// Each byte times `factor`, mod 256.
#[inline(always)]
fn bytes_times(word: u32, factor: u8) -> i32 {
    i32::from_le_bytes(word.to_le_bytes().map(|byte| byte.wrapping_mul(factor)))
}
