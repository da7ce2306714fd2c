//! What the kernels share: reading fields, widening, scaling, rounding, storing.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::tables::Lanes;
use crate::quant::output::Kind;

/// The 16 bytes at `at`.
#[inline(always)]
pub(in crate::quant::simd) fn bytes_16(block: &[u8], at: usize) -> __m128i {
    bytemuck::pod_read_unaligned(&block[at..at + 16])
}

/// The 32 bytes at `at`.
#[inline(always)]
pub(in crate::quant::simd) fn bytes_32(block: &[u8], at: usize) -> __m256i {
    bytemuck::pod_read_unaligned(&block[at..at + 32])
}

/// The 8 bytes at `at`, in the lower half.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(in crate::quant::simd) fn bytes_8(block: &[u8], at: usize) -> __m128i {
    _mm_cvtsi64_si128(bytemuck::pod_read_unaligned(&block[at..at + 8]))
}

/// The half at `at`.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(in crate::quant::simd) fn half_at(block: &[u8], at: usize) -> f32 {
    half(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// A half.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
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
#[target_feature(enable = "avx2,f16c,fma")]
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
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn halves_of_top<S: Slot>(block: &[u8], at: usize) -> __m256 {
    _mm256_mul_ps(halves_at::<S>(block, at), every(TOP))
}

/// A number in every lane.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn every(number: f32) -> __m256 {
    _mm256_set1_ps(number)
}

/// The 16 bytes at `at`, in both halves: the load does it for nothing, and a shuffle inside the halves
/// then reaches all of them.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn twice_16(block: &[u8], at: usize) -> __m256i {
    _mm256_broadcastsi128_si256(bytes_16(block, at))
}

/// The low nibbles and the high nibbles.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn nibbles(bytes: __m256i) -> [__m256i; 2] {
    let mask = _mm256_set1_epi8(15);
    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), mask);
    [_mm256_and_si256(bytes, mask), high]
}

/// As [`nibbles`], of 16 bytes.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(in crate::quant::simd) fn nibbles_16(bytes: __m128i) -> [__m128i; 2] {
    nibbles(_mm256_castsi128_si256(bytes)).map(|half| _mm256_castsi256_si128(half))
}

/// The four pairs of bits of each byte, the lowest first.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn pairs(bytes: __m256i) -> [__m256i; 4] {
    let mask = _mm256_set1_epi8(3);
    [
        _mm256_and_si256(bytes, mask),
        _mm256_and_si256(_mm256_srli_epi16::<2>(bytes), mask),
        _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), mask),
        _mm256_and_si256(_mm256_srli_epi16::<6>(bytes), mask),
    ]
}

/// The lower 16 bits of a word, for both halves, as [`where_set`] wants them: a byte for each, by its place.
pub(super) const LOWER_16: [u64; 4] = [0, EACH, 0, EACH];
/// As [`LOWER_16`], the upper 16.
pub(super) const UPPER_16: [u64; 4] = [2 * EACH, 3 * EACH, 2 * EACH, 3 * EACH];

const EACH: u64 = 0x0101_0101_0101_0101;

/// All ones in the bytes whose bits are set.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn where_set(bits: u32, bytes: [u64; 4]) -> __m256i {
    let bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits.cast_signed()), bytemuck::cast(bytes));
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
    _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit)
}

/// Low and high bytes side by side: the 32 numbers that they make. Not inlined, so that they are read from memory
/// one by one: to take each out of a register costs two operations.
#[inline(never)]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn words(low: __m256i, high: __m256i) -> [u16; 32] {
    let [a, c]: [[u16; 8]; 2] = bytemuck::cast(_mm256_unpacklo_epi8(low, high));
    let [b, d]: [[u16; 8]; 2] = bytemuck::cast(_mm256_unpackhi_epi8(low, high));
    bytemuck::cast([a, b, c, d])
}

/// Two rows of 8 bytes side by side, in both halves.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn twice_rows(first: [i8; 8], second: [i8; 8]) -> __m256i {
    let both = _mm_set_epi64x(bytemuck::cast(second), bytemuck::cast(first));
    _mm256_broadcastsi128_si256(both)
}

/// The value of a byte that stands in the uppermost 8 bits of an integer, as `wide` leaves it.
///
/// A scale is multiplied by it once, and not each value. Exact, as long as the scale comes from a half:
/// the least one is 2^-24, so that no product is subnormal.
pub(super) const TOP: f32 = 1.0 / (1 << 24) as f32;

/// Eight of 16 bytes, which stand in both halves, each in the uppermost 8 bits of an integer. One shuffle
/// instead of the two operations of a sign extension.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn wide(twice: __m256i, second: bool) -> __m256i {
    const PLACES: [[[u8; 4]; 8]; 2] = [places(0, 1), places(8, 1)];
    _mm256_shuffle_epi8(twice, bytemuck::cast(PLACES[usize::from(second)]))
}

/// Places for a shuffle: eight bytes from `first` on, `step` apart, each to the top of an integer.
const fn places(first: u8, step: u8) -> [[u8; 4]; 8] {
    let mut places = [[0xff; 4]; 8];
    let mut at = 0;
    while at < 8 {
        places[at][3] = first + step * at as u8;
        at += 1;
    }
    places
}

/// Sixteen signed bytes, which stand in both halves, as floats in the order of [`put_two`]; in units of [`TOP`].
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn floats_two<S: Slot>(twice: __m256i) -> [__m256; 2] {
    const SECONDS: [[[u8; 4]; 8]; 2] = [places(0, 2), places(1, 2)];
    let both = match S::KIND {
        Kind::F32 | Kind::F16 => [wide(twice, false), wide(twice, true)],
        Kind::Bf16 => SECONDS.map(|places| _mm256_shuffle_epi8(twice, bytemuck::cast(places))),
    };
    both.map(|values| _mm256_cvtepi32_ps(values))
}

/// Stores 16 values in slots `at` and `at + 1`, as [`put`] does: the first eight and the others, or for bfloat16
/// every second and those between. Then a half of each integer is where it belongs, and nothing has to cross
/// the halves of a vector.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn put_two<S: Slot>(out: &mut [S], at: usize, [first, second]: [__m256; 2]) {
    let [low, high] = &mut out[at..at + 2] else {
        return;
    };
    if S::KIND != Kind::Bf16 {
        put(low, first);
        put(high, second);
        return;
    }
    let even = _mm256_srli_epi32::<16>(rounded_to_bf16(first));
    let all = _mm256_blend_epi16::<0b1010_1010>(even, rounded_to_bf16(second));
    low.write(_mm256_castsi256_si128(all));
    high.write(_mm256_extracti128_si256::<1>(all));
}

/// Stores 16 signed bytes, which stand in both halves, times `scale` (in units of [`TOP`]) in slots `at`
/// and `at + 1`.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn put_scaled<S: Slot>(out: &mut [S], at: usize, twice: __m256i, scale: __m256) {
    let values = floats_two::<S>(twice).map(|values| _mm256_mul_ps(values, scale));
    put_two(out, at, values);
}

/// As [`put_scaled`], of a scale that is as small as a float can be: not in units of [`TOP`].
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn put_unscaled<S: Slot>(out: &mut [S], at: usize, twice: __m256i, scale: __m256) {
    let values = floats_two::<S>(twice);
    let values = values.map(|values| _mm256_mul_ps(_mm256_mul_ps(values, every(TOP)), scale));
    put_two(out, at, values);
}

/// As [`put_scaled`], plus `shift`.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn put_plus<S: Slot>(
    out: &mut [S],
    at: usize,
    twice: __m256i,
    (scale, shift): (__m256, __m256),
) {
    let values = floats_two::<S>(twice);
    let values = values.map(|values| _mm256_fmadd_ps(values, scale, shift));
    put_two(out, at, values);
}

/// As [`put_scaled`], less `minimum`.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn put_less<S: Slot>(
    out: &mut [S],
    at: usize,
    twice: __m256i,
    (scale, minimum): (__m256, __m256),
) {
    let values = floats_two::<S>(twice);
    let values = values.map(|values| _mm256_fmsub_ps(values, scale, minimum));
    put_two(out, at, values);
}

/// Stores the signed bytes at `at` times `scale` (in units of [`TOP`]), sixteen to two slots.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn put_bytes<S: Slot>(out: &mut [S], block: &[u8], at: usize, scale: __m256) {
    for two in 0..out.len() / 2 {
        put_scaled(out, 2 * two, twice_16(block, at + 16 * two), scale);
    }
}

/// The lower eight signed bytes as floats.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn floats_8(bytes: __m128i) -> __m256 {
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
}

/// Sixteen signed bytes as floats.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn floats_16(bytes: __m128i) -> [__m256; 2] {
    [floats_8(bytes), floats_8(_mm_unpackhi_epi64(bytes, bytes))]
}

/// Numbers that are put into every lane one by one, kept in memory: from there it costs nothing, out of a register
/// two shuffles, which the compiler would take.
#[inline(always)]
pub(in crate::quant::simd) fn in_memory<T>(numbers: &T) -> &T {
    std::hint::black_box(numbers)
}

/// Sixteen signed bytes as floats times `scale`.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(in crate::quant::simd) fn scales_16(bytes: __m128i, scale: f32) -> [f32; 16] {
    let scale = _mm256_set1_ps(scale);
    bytemuck::cast(floats_16(bytes).map(|floats| _mm256_mul_ps(scale, floats)))
}

/// As [`scales_16`], of eight.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(in crate::quant::simd) fn scales_8(bytes: __m128i, scale: f32) -> [f32; 8] {
    bytemuck::cast(_mm256_mul_ps(_mm256_set1_ps(scale), floats_8(bytes)))
}

/// Stores eight values, rounded to the slot's type: to nearest, ties to even. A NaN among them must be
/// one that arithmetic makes, or [`half`] and its kin: see [`put_any`].
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
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
#[target_feature(enable = "avx2,f16c,fma")]
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
#[target_feature(enable = "avx2,f16c,fma")]
fn rounded_to_bf16(values: __m256) -> __m256i {
    let bits = _mm256_castps_si256(values);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd)
}

/// The upper halves of eight words.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
fn upper_halves_of(bits: __m256i) -> __m128i {
    let places = _mm_setr_epi8(2, 3, 6, 7, 10, 11, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1);
    let halves = _mm256_shuffle_epi8(bits, _mm256_broadcastsi128_si256(places));
    _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b10_00>(halves))
}

/// Stores a row of a codebook, with signs, times `scale`: the signs go into the scale, since a product of
/// 0 does not occur.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn put_signed<S: Slot>(out: &mut S, row: [f32; 8], signs: Lanes<u32>, scale: f32) {
    let scale = _mm256_xor_ps(_mm256_set1_ps(scale), bytemuck::cast(signs.0));
    put(out, _mm256_mul_ps(scale, bytemuck::cast(row)));
}

/// Two rows of 4 side by side.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn two_rows([first, second]: [[f32; 4]; 2]) -> [f32; 8] {
    bytemuck::cast(_mm256_setr_m128(
        bytemuck::cast(first),
        bytemuck::cast(second),
    ))
}

/// The scales of IQ2_XS and IQ2_S, 16 nibbles: d · (0.5 + scale) · 0.25.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(in crate::quant::simd) fn quarter_steps_16(block: &[u8], at: usize, d: f32) -> [f32; 16] {
    let [low, high] = nibbles_16(bytes_8(block, at));
    bytemuck::cast(floats_16(_mm_unpacklo_epi8(low, high)).map(|scales| quarter_steps(scales, d)))
}

/// d · (0.5 + scale) · 0.25.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn quarter_steps(scales: __m256, d: f32) -> __m256 {
    let steps = _mm256_mul_ps(every(d), _mm256_add_ps(every(0.5), scales));
    _mm256_mul_ps(steps, every(0.25))
}
