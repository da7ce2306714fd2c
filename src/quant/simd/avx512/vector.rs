//! What the kernels share: looking up, widening, scaling, rounding, storing.

use std::arch::x86_64::*;

use super::slot::Slot;
use crate::quant::output::Kind;
pub(super) use crate::quant::simd::avx2::vector::{
    bytes_8, bytes_16, bytes_32, in_memory, nibbles_16, quarter_steps_16, scales_8, scales_16,
};

/// Sixteen values as a slot stores them.
#[derive(Clone, Copy)]
pub(super) enum Sixteen {
    /// As f32.
    Floats(__m512),
    /// As 16-bit floats.
    Words(__m256i),
}

impl Sixteen {
    /// Rounds to the slot's type: to nearest, ties to even. No value may be subnormal, which the instruction for
    /// bfloat16 takes for 0.
    #[inline]
    #[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
    pub(super) fn rounded<S: Slot>(values: __m512) -> Self {
        match S::KIND {
            Kind::F32 => Self::Floats(values),
            Kind::F16 => Self::Words(_mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)),
            Kind::Bf16 => Self::Words(bytemuck::cast(_mm512_cvtneps_pbh(values))),
        }
    }

    /// As [`rounded`](Self::rounded), of subnormal values too.
    #[inline]
    #[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
    pub(super) fn rounded_any<S: Slot>(values: __m512) -> Self {
        if S::KIND != Kind::Bf16 {
            return Self::rounded::<S>(values);
        }
        let bits = _mm512_castps_si512(values);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        // A NaN is truncated and made quiet, as `half` does it: its bits might carry over to zero.
        let not_a_number = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(values, values);
        let quiet = _mm512_set1_epi32(0x0040_0000);
        let rounded = _mm512_mask_or_epi32(rounded, not_a_number, bits, quiet);
        Self::Words(_mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded)))
    }

    /// Stores them.
    #[inline]
    #[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
    pub(super) fn store<S: Slot>(self, out: &mut S) {
        match self {
            Self::Floats(values) => out.write(values),
            Self::Words(values) => out.write(values),
        }
    }

    /// Stores, for each of 16 bytes, the value at its low nibble in slot `low`, and in slot `high` the one of `others`
    /// at its high nibble.
    #[inline]
    #[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
    pub(super) fn put_nibbles<S: Slot>(
        self,
        others: Self,
        out: &mut [S],
        [low, high]: [usize; 2],
        bytes: __m128i,
    ) {
        // Both ways of looking up take the lowest four bits of an index and ignore those above.
        match (self, others) {
            (Self::Floats(values), Self::Floats(others)) => {
                let codes = _mm512_cvtepu8_epi32(bytes);
                out[low].write(_mm512_permutexvar_ps(codes, values));
                let codes = _mm512_srli_epi32::<4>(codes);
                out[high].write(_mm512_permutexvar_ps(codes, others));
            }
            (Self::Words(values), Self::Words(others)) => {
                let codes = _mm256_cvtepu8_epi16(bytes);
                out[low].write(_mm256_permutexvar_epi16(codes, values));
                let codes = _mm256_srli_epi16::<4>(codes);
                out[high].write(_mm256_permutexvar_epi16(codes, others));
            }
            _ => (),
        }
    }

    /// Stores, for each of 16 bytes, the value at its low nibble.
    #[inline]
    #[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
    pub(super) fn put_codes<S: Slot>(self, out: &mut S, bytes: __m128i) {
        match self {
            Self::Floats(values) => {
                out.write(_mm512_permutexvar_ps(_mm512_cvtepu8_epi32(bytes), values));
            }
            Self::Words(values) => {
                out.write(_mm256_permutexvar_epi16(
                    _mm256_cvtepu8_epi16(bytes),
                    values,
                ));
            }
        }
    }

    /// Stores the value of `set` where the bit is set, else this one.
    #[inline]
    #[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
    pub(super) fn put_bits<S: Slot>(self, set: Self, out: &mut S, bits: u16) {
        match (self, set) {
            (Self::Floats(clear), Self::Floats(set)) => {
                out.write(_mm512_mask_blend_ps(bits, clear, set));
            }
            (Self::Words(clear), Self::Words(set)) => {
                out.write(_mm256_mask_blend_epi16(bits, clear, set));
            }
            _ => (),
        }
    }
}

/// Four of the scales, from `at` on.
#[inline(always)]
pub(super) fn four(scales: &[f32; 16], at: usize) -> [f32; 4] {
    [scales[at], scales[at + 1], scales[at + 2], scales[at + 3]]
}

/// Scales `at` and `at + 1`, each twice.
#[inline(always)]
pub(super) fn two_twice(scales: &[f32; 8], at: usize) -> [f32; 4] {
    [scales[at], scales[at], scales[at + 1], scales[at + 1]]
}

/// The word at `at`.
#[inline(always)]
pub(super) fn u64_at(block: &[u8], at: usize) -> u64 {
    bytemuck::pod_read_unaligned(&block[at..at + 8])
}

/// A number in every lane.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn every(number: f32) -> __m512 {
    _mm512_set1_ps(number)
}

/// The half at `at`.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    let bits = i16::from_le_bytes([block[at], block[at + 1]]);
    _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits.into())))
}

/// The halves at `at` and behind it, each in every lane: by way of memory, from which both the conversion and the
/// spreading are loads. There must be eight bytes.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn halves_at<const COUNT: usize>(block: &[u8], at: usize) -> [__m512; COUNT] {
    let halves: [f32; 4] = bytemuck::cast(_mm_cvtph_ps(bytes_8(block, at)));
    let halves = in_memory(&halves);
    std::array::from_fn(|half| every(halves[half]))
}

/// The 64 bytes at `at`.
#[inline(always)]
pub(super) fn bytes_64(block: &[u8], at: usize) -> __m512i {
    bytemuck::pod_read_unaligned(&block[at..at + 64])
}

/// The 32 bytes at `at`, in both halves.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn twice_32(block: &[u8], at: usize) -> __m512i {
    _mm512_broadcast_i64x4(bytes_32(block, at))
}

/// One byte in the lower half, another in the upper half.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn halves_of(lower: u8, upper: u8) -> __m512i {
    let [lower, upper] = [lower, upper].map(|byte| _mm256_set1_epi8(byte.cast_signed()));
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(lower), upper)
}

/// The bytes, moved right by so many bits in the lower half and so many in the upper half; only bits of `mask` stay,
/// which must leave out what came from the neighbour.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn moved_right<const LOWER: i16, const UPPER: i16>(bytes: __m512i, mask: u8) -> __m512i {
    let moved = _mm512_srlv_epi16(bytes, words_of(LOWER, UPPER));
    _mm512_and_si512(moved, _mm512_set1_epi8(mask.cast_signed()))
}

/// As [`moved_right`], left.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn moved_left<const LOWER: i16, const UPPER: i16>(bytes: __m512i, mask: u8) -> __m512i {
    let moved = _mm512_sllv_epi16(bytes, words_of(LOWER, UPPER));
    _mm512_and_si512(moved, _mm512_set1_epi8(mask.cast_signed()))
}

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
fn words_of(lower: i16, upper: i16) -> __m512i {
    let [lower, upper] = [lower, upper].map(|word| _mm256_set1_epi16(word));
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(lower), upper)
}

/// 64 signed bytes as floats, sixteen at a time. By way of memory: a load widens them, where shuffles inside a vector
/// take twice the operations.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn floats(bytes: __m512i) -> [__m512; 4] {
    let quarters: [__m128i; 4] = bytemuck::cast(bytes);
    let [a, b, c, d] = in_memory(&quarters);
    [floats_16(*a), floats_16(*b), floats_16(*c), floats_16(*d)]
}

/// Sixteen signed bytes as floats.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
fn floats_16(bytes: __m128i) -> __m512 {
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
}

/// Stores 64 signed bytes times the scale of each sixteen in slots from `at` on.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn put_scaled<S: Slot>(out: &mut [S], at: usize, bytes: __m512i, scales: [f32; 4]) {
    for (quarter, floats) in floats(bytes).into_iter().enumerate() {
        let values = _mm512_mul_ps(floats, every(scales[quarter]));
        Sixteen::rounded::<S>(values).store(&mut out[at + quarter]);
    }
}

/// As [`put_scaled`], plus the shift of each sixteen.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn put_plus<S: Slot>(
    out: &mut [S],
    at: usize,
    bytes: __m512i,
    scales: [f32; 4],
    shifts: [f32; 4],
) {
    for (quarter, floats) in floats(bytes).into_iter().enumerate() {
        let (scale, shift) = (every(scales[quarter]), every(shifts[quarter]));
        let values = _mm512_fmadd_ps(floats, scale, shift);
        Sixteen::rounded::<S>(values).store(&mut out[at + quarter]);
    }
}

/// Stores the signed bytes at `at` times `scale`, sixteen to a slot.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn put_bytes<S: Slot>(out: &mut [S], block: &[u8], at: usize, scale: __m512) {
    for (sixteen, out) in out.iter_mut().enumerate() {
        let values = _mm512_mul_ps(floats_16(bytes_16(block, at + 16 * sixteen)), scale);
        Sixteen::rounded::<S>(values).store(out);
    }
}

/// The signed bytes, negated where the bit is set.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn negated(bytes: __m512i, signs: u64) -> __m512i {
    _mm512_mask_sub_epi8(bytes, signs, _mm512_setzero_si512(), bytes)
}

/// Eight codes of 7 bits, one behind the other: the signs they mean, each with an eighth that makes their number even.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn even_signs(codes: u64) -> u64 {
    let signs = _pdep_u64(codes, 0x7f7f_7f7f_7f7f_7f7f);
    let folded = signs ^ (signs >> 4);
    let folded = folded ^ (folded >> 2);
    let folded = folded ^ (folded >> 1);
    signs | (folded & 0x0101_0101_0101_0101) << 7
}
