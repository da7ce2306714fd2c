//! What the kernels share: reading fields, widening, scaling, rounding, storing.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::tables::Lanes;
use crate::quant::output::Kind;

/// The 16 bytes at `at`.
#[inline(always)]
pub(super) fn bytes_16(block: &[u8], at: usize) -> __m128i {
    bytemuck::pod_read_unaligned(&block[at..at + 16])
}

/// The 32 bytes at `at`.
#[inline(always)]
pub(super) fn bytes_32(block: &[u8], at: usize) -> __m256i {
    bytemuck::pod_read_unaligned(&block[at..at + 32])
}

/// The 8 bytes at `at`, in the lower half.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn bytes_8(block: &[u8], at: usize) -> __m128i {
    _mm_cvtsi64_si128(bytemuck::pod_read_unaligned(&block[at..at + 8]))
}

/// The half at `at`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    half(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// A half.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn half(bits: u16) -> f32 {
    plain_nan(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(
        bits,
    )))))
}

/// The number; for any NaN the one without a payload, which [`put`] wants.
#[inline]
pub(super) fn plain_nan(number: f32) -> f32 {
    if number.is_nan() { f32::NAN } else { number }
}

/// The half at `at`, in every lane: for short blocks. Converted once it is in every lane, since as a
/// single number it makes each block wait for the last one, whose register its other lanes come from
/// (Q8_0 ran at half the speed).
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn halves_at<S: Slot>(block: &[u8], at: usize) -> __m256 {
    let bits = i16::from_le_bytes([block[at], block[at + 1]]);
    let halves = _mm256_cvtph_ps(_mm_set1_epi16(bits));
    if S::KIND != Kind::Bf16 {
        return halves;
    }
    let not_a_number = _mm256_cmp_ps::<_CMP_UNORD_Q>(halves, halves);
    _mm256_blendv_ps(halves, every(f32::NAN), not_a_number)
}

/// The half at `at` in units of [`TOP`], in every lane.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn halves_of_top<S: Slot>(block: &[u8], at: usize) -> __m256 {
    _mm256_mul_ps(halves_at::<S>(block, at), every(TOP))
}

/// A number in every lane.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn every(number: f32) -> __m256 {
    _mm256_set1_ps(number)
}

/// The 16 bytes at `at`, in both halves: the load does it for nothing, and a shuffle inside the halves
/// then reaches all of them.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn twice_16(block: &[u8], at: usize) -> __m256i {
    _mm256_broadcastsi128_si256(bytes_16(block, at))
}

/// The low nibbles and the high nibbles.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn nibbles(bytes: __m256i) -> [__m256i; 2] {
    let mask = _mm256_set1_epi8(15);
    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), mask);
    [_mm256_and_si256(bytes, mask), high]
}

/// As [`nibbles`], of 16 bytes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn nibbles_16(bytes: __m128i) -> [__m128i; 2] {
    nibbles(_mm256_castsi128_si256(bytes)).map(|half| _mm256_castsi256_si128(half))
}

/// The four pairs of bits of each byte, the lowest first.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn pairs(bytes: __m256i) -> [__m256i; 4] {
    let mask = _mm256_set1_epi8(3);
    [
        _mm256_and_si256(bytes, mask),
        _mm256_and_si256(_mm256_srli_epi16::<2>(bytes), mask),
        _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), mask),
        _mm256_and_si256(_mm256_srli_epi16::<6>(bytes), mask),
    ]
}

/// The value of a byte that stands in the uppermost 8 bits of an integer, as `wide` leaves it.
///
/// A scale is multiplied by it once, and not each value. Exact, as long as the scale comes from a half:
/// the least one is 2^-24, so that no product is subnormal.
pub(super) const TOP: f32 = 1.0 / (1 << 24) as f32;

/// Eight of 16 bytes, which stand in both halves, each in the uppermost 8 bits of an integer. One shuffle
/// instead of the two operations of a sign extension.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn wide(twice: __m256i, second: bool) -> __m256i {
    let places = if second {
        _mm256_setr_epi32(
            0x08ff_ffff,
            0x09ff_ffff,
            0x0aff_ffff,
            0x0bff_ffff,
            0x0cff_ffff,
            0x0dff_ffff,
            0x0eff_ffff,
            0x0fff_ffff,
        )
    } else {
        _mm256_setr_epi32(
            0x00ff_ffff,
            0x01ff_ffff,
            0x02ff_ffff,
            0x03ff_ffff,
            0x04ff_ffff,
            0x05ff_ffff,
            0x06ff_ffff,
            0x07ff_ffff,
        )
    };
    _mm256_shuffle_epi8(twice, places)
}

/// Stores 16 signed bytes, which stand in both halves, times `scale` (in units of [`TOP`]) in slots `at`
/// and `at + 1`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn put_scaled<S: Slot>(out: &mut [S], at: usize, twice: __m256i, scale: __m256) {
    for (half, out) in out[at..at + 2].iter_mut().enumerate() {
        let values = _mm256_cvtepi32_ps(wide(twice, half == 1));
        put(out, _mm256_mul_ps(values, scale));
    }
}

/// As [`put_scaled`], plus `shift`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn put_plus<S: Slot>(
    out: &mut [S],
    at: usize,
    twice: __m256i,
    (scale, shift): (__m256, __m256),
) {
    for (half, out) in out[at..at + 2].iter_mut().enumerate() {
        let values = _mm256_cvtepi32_ps(wide(twice, half == 1));
        put(out, _mm256_add_ps(_mm256_mul_ps(values, scale), shift));
    }
}

/// As [`put_scaled`], less `minimum`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn put_less<S: Slot>(
    out: &mut [S],
    at: usize,
    twice: __m256i,
    (scale, minimum): (__m256, __m256),
) {
    for (half, out) in out[at..at + 2].iter_mut().enumerate() {
        let values = _mm256_cvtepi32_ps(wide(twice, half == 1));
        put(out, _mm256_sub_ps(_mm256_mul_ps(values, scale), minimum));
    }
}

/// Stores the signed bytes at `at` times `scale`, eight to a slot.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn put_bytes<S: Slot>(out: &mut [S], block: &[u8], at: usize, scale: __m256) {
    for (part, out) in out.iter_mut().enumerate() {
        let values = floats_8(bytes_8(block, at + 8 * part));
        put(out, _mm256_mul_ps(values, scale));
    }
}

/// The lower eight signed bytes as floats.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn floats_8(bytes: __m128i) -> __m256 {
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
}

/// Sixteen signed bytes as floats.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn floats_16(bytes: __m128i) -> [__m256; 2] {
    [floats_8(bytes), floats_8(_mm_unpackhi_epi64(bytes, bytes))]
}

/// Sixteen signed bytes as floats times `scale`, in memory, to be broadcast one by one.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn scales_16(bytes: __m128i, scale: f32) -> [f32; 16] {
    let scale = _mm256_set1_ps(scale);
    bytemuck::cast(floats_16(bytes).map(|floats| _mm256_mul_ps(scale, floats)))
}

/// As [`scales_16`], of eight.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn scales_8(bytes: __m128i, scale: f32) -> [f32; 8] {
    bytemuck::cast(_mm256_mul_ps(_mm256_set1_ps(scale), floats_8(bytes)))
}

/// Stores eight values, rounded to the slot's type: to nearest, ties to even. A NaN among them must be
/// one that arithmetic makes, or [`half`] and its kin: see [`put_any`].
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn put<S: Slot>(out: &mut S, values: __m256) {
    match S::KIND {
        Kind::F32 => out.write(values),
        Kind::F16 => out.write(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)),
        Kind::Bf16 => out.write(upper_halves_of(rounded_to_bf16(values))),
    }
}

/// As [`put`], of any values. bfloat16 is rounded by adding to the bits, which would carry a NaN whose
/// mantissa is all ones over to zero: here, as `half` does it, a NaN is truncated and made quiet.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn put_any<S: Slot>(out: &mut S, values: __m256) {
    if S::KIND != Kind::Bf16 {
        return put(out, values);
    }
    let bits = _mm256_castps_si256(values);
    let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
    let not_a_number = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(values, values));
    let rounded = rounded_to_bf16(values);
    out.write(upper_halves_of(_mm256_blendv_epi8(
        rounded,
        quiet,
        not_a_number,
    )));
}

/// The bits of eight floats, the upper halves rounded to nearest, ties to even.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn rounded_to_bf16(values: __m256) -> __m256i {
    let bits = _mm256_castps_si256(values);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd)
}

/// The upper halves of eight words.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn upper_halves_of(bits: __m256i) -> __m128i {
    let places = _mm_setr_epi8(2, 3, 6, 7, 10, 11, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1);
    let halves = _mm256_shuffle_epi8(bits, _mm256_broadcastsi128_si256(places));
    _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b10_00>(halves))
}

/// Stores a row of a codebook, with signs, times `scale`: the signs go into the scale, since a product of
/// 0 does not occur.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn put_signed<S: Slot>(out: &mut S, row: [f32; 8], signs: Lanes<u32>, scale: f32) {
    let scale = _mm256_xor_ps(_mm256_set1_ps(scale), bytemuck::cast(signs.0));
    put(out, _mm256_mul_ps(scale, bytemuck::cast(row)));
}

/// Two rows of 4 side by side.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn two_rows([first, second]: [[f32; 4]; 2]) -> [f32; 8] {
    bytemuck::cast(_mm256_setr_m128(
        bytemuck::cast(first),
        bytemuck::cast(second),
    ))
}

/// The scales of IQ2_XS and IQ2_S, 16 nibbles: d · (0.5 + scale) · 0.25.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn quarter_steps_16(block: &[u8], at: usize, d: f32) -> [f32; 16] {
    let [low, high] = nibbles_16(bytes_8(block, at));
    bytemuck::cast(floats_16(_mm_unpacklo_epi8(low, high)).map(|scales| quarter_steps(scales, d)))
}

/// d · (0.5 + scale) · 0.25.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn quarter_steps(scales: __m256, d: f32) -> __m256 {
    let steps = _mm256_mul_ps(every(d), _mm256_add_ps(every(0.5), scales));
    _mm256_mul_ps(steps, every(0.25))
}
