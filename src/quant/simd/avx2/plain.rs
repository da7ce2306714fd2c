//! Types without blocks, 32 elements at a time.

use std::arch::x86_64::*;

use super::slot::{RUN, Slot};
use super::vector::{bytes_8, bytes_16, bytes_32, floats_8, nibbles_16, put_any};
use crate::quant::plain::E2M1;

/// Decodes a run by its eight elements: `$at` is the offset of their first byte.
macro_rules! runs {
    ($($(#[$doc:meta])* $name:ident $bytes:literal |$run:ident, $at:ident| $values:expr;)*) => {
        $($(#[$doc])*
        #[inline]
        #[target_feature(enable = "avx2,f16c,fma")]
        pub(super) fn $name<S: Slot>($run: &[u8; RUN * $bytes], out: &mut [S; RUN / 8]) {
            for (at, out) in out.iter_mut().enumerate() {
                let $at = 8 * $bytes * at;
                put_any(out, $values);
            }
        })*
    };
}

runs! {
    /// IEEE binary32.
    f32 4 |run, at| _mm256_castsi256_ps(bytes_32(run, at));
    /// IEEE binary16.
    f16 2 |run, at| _mm256_cvtph_ps(bytes_16(run, at));
    /// bfloat16: the upper half of a binary32.
    bf16 2 |run, at| upper_halves(bytes_16(run, at));
    /// IEEE binary64, rounded to nearest.
    f64 8 |run, at| _mm256_setr_m128(
        _mm256_cvtpd_ps(_mm256_castsi256_pd(bytes_32(run, at))),
        _mm256_cvtpd_ps(_mm256_castsi256_pd(bytes_32(run, at + 32))),
    );
    /// Signed, 8 bits.
    i8 1 |run, at| floats_8(bytes_8(run, at));
    /// Signed, 16 bits.
    i16 2 |run, at| _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(bytes_16(run, at)));
    /// Signed, 32 bits, rounded to nearest.
    i32 4 |run, at| _mm256_cvtepi32_ps(bytes_32(run, at));
    /// Unsigned, 8 bits.
    u8 1 |run, at| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes_8(run, at)));
    /// Unsigned, 16 bits.
    u16 2 |run, at| _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(bytes_16(run, at)));
    /// 1 where the byte is not 0.
    bool 1 |run, at| truths(bytes_8(run, at));
    /// `float8_e4m3fn`: the only NaN is all ones. Bias 7, that of binary16 is 15.
    f8_e4m3 1 |run, at| with_nan(
        four_and_three(bytes_8(run, at), 256.0), signed(bytes_8(run, at)), 0xff,
    );
    /// `float8_e4m3fnuz`: the only NaN is negative zero. Bias 8.
    f8_e4m3fnuz 1 |run, at| with_nan(
        four_and_three(bytes_8(run, at), 128.0), bytes_8(run, at), 0x80,
    );
    /// `float8_e5m2`: the upper half of a binary16.
    f8_e5m2 1 |run, at| five_and_two(bytes_8(run, at));
    /// `float8_e5m2fnuz`: the only NaN is negative zero. Bias 16; the largest exponent is no infinity.
    f8_e5m2fnuz 1 |run, at| with_nan(
        unbounded_five_and_two(bytes_8(run, at)), bytes_8(run, at), 0x80,
    );
    /// `float8_e8m0fnu`: an exponent.
    f8_e8m0 1 |run, at| powers(bytes_8(run, at));
}

/// Eight 16-bit words as the upper halves of floats.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
fn upper_halves(words: __m128i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(words)))
}

/// 1 where the byte is not 0.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
fn truths(bytes: __m128i) -> __m256 {
    let ones = _mm_min_epu8(bytes, _mm_set1_epi8(1));
    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(ones))
}

/// Eight 8-bit floats with 4 exponent and 3 mantissa bits: half a binary16's exponent and mantissa, which
/// means a number too small by `scale`; the exact multiplication puts it right. By way of binary16
/// because subnormals cost its conversion nothing.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
fn four_and_three(bytes: __m128i, scale: f32) -> __m256 {
    let high = _mm_unpacklo_epi8(_mm_setzero_si128(), bytes);
    // The sign was copied into the uppermost bit of the exponent.
    let moved = _mm_and_si128(
        _mm_srai_epi16::<1>(high),
        _mm_set1_epi16(0xbf80_u16.cast_signed()),
    );
    _mm256_mul_ps(_mm256_cvtph_ps(moved), _mm256_set1_ps(scale))
}

/// `values`, and the NaN of the scalar tables where `bytes` equal `code`.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
fn with_nan(values: __m256, bytes: __m128i, code: u8) -> __m256 {
    let equal = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(code.cast_signed()));
    let mask = _mm256_castsi256_ps(_mm256_cvtepi8_epi32(equal));
    _mm256_blendv_ps(values, _mm256_set1_ps(f32::NAN), mask)
}

/// Bytes with the sign bit set.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
fn signed(bytes: __m128i) -> __m128i {
    _mm_or_si128(bytes, _mm_set1_epi8(i8::MIN))
}

/// Eight 8-bit floats as the upper halves of binary16.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
fn five_and_two(bytes: __m128i) -> __m256 {
    _mm256_cvtph_ps(_mm_unpacklo_epi8(_mm_setzero_si128(), bytes))
}

/// Eight 8-bit floats with 5 exponent bits of bias 16, none of them infinite: as integers of 32 bits, with
/// the exponent of binary32.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
fn unbounded_five_and_two(bytes: __m128i) -> __m256 {
    let code = _mm256_cvtepi8_epi32(bytes);
    let magnitude = _mm256_and_si256(code, _mm256_set1_epi32(0x7f));
    let moved = _mm256_castsi256_ps(_mm256_slli_epi32::<21>(magnitude));
    let scale = _mm256_set1_ps(f32::from_bits((127 + 127 - 16) << 23));
    let sign = _mm256_castsi256_ps(_mm256_and_si256(code, _mm256_set1_epi32(i32::MIN)));
    _mm256_or_ps(_mm256_mul_ps(moved, scale), sign)
}

/// 2^(byte − 127); the smallest is subnormal, 255 is NaN.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
fn powers(bytes: __m128i) -> __m256 {
    let code = _mm256_cvtepu8_epi32(bytes);
    let bits = _mm256_slli_epi32::<23>(code);
    let smallest = _mm256_cmpeq_epi32(code, _mm256_setzero_si256());
    let subnormal = _mm256_and_si256(smallest, _mm256_set1_epi32(0x0040_0000));
    let largest = _mm256_cmpeq_epi32(code, _mm256_set1_epi32(255));
    let quiet = _mm256_and_si256(largest, _mm256_set1_epi32(0x0040_0000));
    _mm256_castsi256_ps(_mm256_or_si256(bits, _mm256_or_si256(subnormal, quiet)))
}

/// Two 4-bit floats a byte: the upper halves of their f32, by two tables of bytes.
#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn f4<S: Slot>(run: &[u8; RUN / 2], out: &mut [S; RUN / 8]) {
    let [low, high] = nibbles_16(bytes_16(run, 0));
    let codes = [_mm_unpacklo_epi8(low, high), _mm_unpackhi_epi8(low, high)];
    for (pair, codes) in codes.into_iter().enumerate() {
        let bytes = [0, 1].map(|byte| _mm_shuffle_epi8(bytemuck::cast(E2M1_BYTES[byte]), codes));
        let words = [
            _mm_unpacklo_epi8(bytes[0], bytes[1]),
            _mm_unpackhi_epi8(bytes[0], bytes[1]),
        ];
        put_any(&mut out[2 * pair], upper_halves(words[0]));
        put_any(&mut out[2 * pair + 1], upper_halves(words[1]));
    }
}

/// The second highest and the highest byte of each 4-bit float as f32; the lower two are 0.
const E2M1_BYTES: [[u8; 16]; 2] = {
    let mut bytes = [[0; 16]; 2];
    let mut code = 0;
    while code < 16 {
        let [.., second, first] = E2M1[code].to_le_bytes();
        bytes[0][code] = second;
        bytes[1][code] = first;
        code += 1;
    }
    bytes
};
