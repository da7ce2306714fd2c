//! What the kernels share: reading fields, widening, scaling, rounding, storing.

use std::arch::x86_64::*;

use half::f16;

use super::slot::Slot;
use crate::quant::convert::{f16_at_or, f16_to_f32};
use crate::quant::output::Kind;

/// The 16 bytes at `at`.
#[inline(always)]
pub(super) fn bytes_16(block: &[u8], at: usize) -> __m128i {
    bytemuck::pod_read_unaligned(&block[at..at + 16])
}

/// The half at `at`; for any NaN the one without a payload, which [`put`] wants.
#[inline(always)]
pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    #[cold]
    fn special(bits: u16) -> f32 {
        plain_nan(f16_to_f32(bits))
    }
    f16_at_or(block, at, special)
}

/// The number; for any NaN the one without a payload, which [`put`] wants.
#[inline(always)]
pub(super) fn plain_nan(number: f32) -> f32 {
    if number.is_nan() { f32::NAN } else { number }
}

/// A number in every lane.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn every(number: f32) -> __m128 {
    _mm_set1_ps(number)
}

/// The low nibbles and the high nibbles.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn nibbles(bytes: __m128i) -> [__m128i; 2] {
    let mask = _mm_set1_epi8(15);
    let high = _mm_and_si128(_mm_srli_epi16::<4>(bytes), mask);
    [_mm_and_si128(bytes, mask), high]
}

/// The four pairs of bits of each byte, the lowest first.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn pairs(bytes: __m128i) -> [__m128i; 4] {
    let mask = _mm_set1_epi8(3);
    [
        _mm_and_si128(bytes, mask),
        _mm_and_si128(_mm_srli_epi16::<2>(bytes), mask),
        _mm_and_si128(_mm_srli_epi16::<4>(bytes), mask),
        _mm_and_si128(_mm_srli_epi16::<6>(bytes), mask),
    ]
}

/// The value of a byte that stands in the uppermost 8 bits of an integer, as [`wide`] leaves it. Exact, as
/// long as the scale comes from a half: the least one is 2^-24, so that no product is subnormal.
pub(super) const TOP: f32 = 1.0 / (1 << 24) as f32;

/// Sixteen signed bytes as floats, in units of [`TOP`]: no shift to extend the sign.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn wide(bytes: __m128i) -> [__m128; 4] {
    let zero = _mm_setzero_si128();
    let low = _mm_unpacklo_epi8(zero, bytes);
    let high = _mm_unpackhi_epi8(zero, bytes);
    [
        _mm_cvtepi32_ps(_mm_unpacklo_epi16(zero, low)),
        _mm_cvtepi32_ps(_mm_unpackhi_epi16(zero, low)),
        _mm_cvtepi32_ps(_mm_unpacklo_epi16(zero, high)),
        _mm_cvtepi32_ps(_mm_unpackhi_epi16(zero, high)),
    ]
}

/// Stores 16 signed bytes times `scale` (in units of [`TOP`]) in slots `at` and `at + 1`.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn put_scaled<S: Slot>(out: &mut [S], at: usize, bytes: __m128i, scale: __m128) {
    put_16(out, at, wide(bytes).map(|values| _mm_mul_ps(values, scale)));
}

/// As [`put_scaled`], plus `shift`.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn put_plus<S: Slot>(
    out: &mut [S],
    at: usize,
    bytes: __m128i,
    (scale, shift): (__m128, __m128),
) {
    let values = wide(bytes).map(|values| _mm_add_ps(_mm_mul_ps(values, scale), shift));
    put_16(out, at, values);
}

/// As [`put_scaled`], less `minimum`.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn put_less<S: Slot>(
    out: &mut [S],
    at: usize,
    bytes: __m128i,
    (scale, minimum): (__m128, __m128),
) {
    let values = wide(bytes).map(|values| _mm_sub_ps(_mm_mul_ps(values, scale), minimum));
    put_16(out, at, values);
}

/// Sixteen signed bytes as floats times `scale`, in memory, to be broadcast one by one.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn scales_16(bytes: __m128i, scale: f32) -> [f32; 16] {
    // Not in units of TOP, which would be the scale's.
    let scale = _mm_set1_ps(scale);
    bytemuck::cast(whole(bytes).map(|values| _mm_mul_ps(values, scale)))
}

/// Sixteen signed bytes as floats.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn whole(bytes: __m128i) -> [__m128; 4] {
    let low = _mm_unpacklo_epi8(bytes, bytes);
    let high = _mm_unpackhi_epi8(bytes, bytes);
    [
        _mm_unpacklo_epi16(low, low),
        _mm_unpackhi_epi16(low, low),
        _mm_unpacklo_epi16(high, high),
        _mm_unpackhi_epi16(high, high),
    ]
    .map(|bytes| _mm_cvtepi32_ps(_mm_srai_epi32::<24>(bytes)))
}

/// Stores 16 values in slots `at` and `at + 1`.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn put_16<S: Slot>(out: &mut [S], at: usize, [first, second, third, last]: [__m128; 4]) {
    put(&mut out[at], [first, second]);
    put(&mut out[at + 1], [third, last]);
}

/// Stores eight values, rounded to the slot's type: to nearest, ties to even. A NaN among them must be one
/// that arithmetic makes, or one without a payload: bfloat16 is rounded by adding to the bits.
#[inline]
#[target_feature(enable = "sse2")]
fn put<S: Slot>(out: &mut S, values: [__m128; 2]) {
    match S::KIND {
        Kind::F32 => out.write(values),
        Kind::F16 => out.write(bytemuck::cast::<_, [f32; 8]>(values).map(f16::from_f32)),
        Kind::Bf16 => {
            let [low, high] = values.map(|values| {
                let bits = _mm_castps_si128(values);
                let odd = _mm_and_si128(_mm_srli_epi32::<16>(bits), _mm_set1_epi32(1));
                let rounded = _mm_add_epi32(_mm_add_epi32(bits, _mm_set1_epi32(0x7fff)), odd);
                _mm_srai_epi32::<16>(rounded)
            });
            out.write(_mm_packs_epi32(low, high));
        }
    }
}
