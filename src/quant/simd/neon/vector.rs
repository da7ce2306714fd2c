//! What the kernels share: reading fields, widening, scaling, rounding, storing.

use std::arch::aarch64::*;

use crate::quant::output::Kind;
use crate::quant::simd::slot::Slot;

/// Eight floats, in order.
pub(super) type Floats = [float32x4_t; 2];

/// The 16 bytes at `at`.
#[inline(always)]
pub(super) fn bytes_16(block: &[u8], at: usize) -> uint8x16_t {
    bytemuck::pod_read_unaligned(&block[at..at + 16])
}

/// The low nibbles and the high nibbles.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn nibbles(bytes: uint8x16_t) -> [uint8x16_t; 2] {
    [vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8::<4>(bytes)]
}

/// All ones in byte i where bit i is set.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn set_bits(bits: u16) -> uint8x16_t {
    const PLACES: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    let [first, second] = bits.to_le_bytes();
    let bytes = vcombine_u8(vdup_n_u8(first), vdup_n_u8(second));
    vtstq_u8(bytes, bytemuck::cast(PLACES))
}

/// Signed bytes as floats.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn floats_16(bytes: int8x16_t) -> [Floats; 2] {
    [vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)].map(|words| {
        [
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(words))),
            vcvtq_f32_s32(vmovl_high_s16(words)),
        ]
    })
}

/// Stores 16 signed bytes times `scale` in slots `at` and `at + 1`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn put_scaled<S: Slot>(out: &mut [S], at: usize, q: int8x16_t, scale: f32) {
    for (out, floats) in out[at..at + 2].iter_mut().zip(floats_16(q)) {
        put(out, floats.map(|values| vmulq_n_f32(values, scale)));
    }
}

/// As [`put_scaled`], plus `shift`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn put_plus<S: Slot>(
    out: &mut [S],
    at: usize,
    q: uint8x16_t,
    (scale, shift): (f32, f32),
) {
    let shift = vdupq_n_f32(shift);
    for (out, floats) in out[at..at + 2]
        .iter_mut()
        .zip(floats_16(vreinterpretq_s8_u8(q)))
    {
        put(
            out,
            floats.map(|values| vaddq_f32(vmulq_n_f32(values, scale), shift)),
        );
    }
}

/// As [`put_scaled`], less `minimum`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn put_less<S: Slot>(
    out: &mut [S],
    at: usize,
    q: uint8x16_t,
    (scale, minimum): (f32, f32),
) {
    let minimum = vdupq_n_f32(minimum);
    for (out, floats) in out[at..at + 2]
        .iter_mut()
        .zip(floats_16(vreinterpretq_s8_u8(q)))
    {
        put(
            out,
            floats.map(|values| vsubq_f32(vmulq_n_f32(values, scale), minimum)),
        );
    }
}

/// Stores eight values, rounded to the slot's type: to nearest, ties to even.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn put<S: Slot>(out: &mut S, values: Floats) {
    match S::KIND {
        Kind::F32 => out.write(values),
        Kind::F16 => out.write(narrow(values.map(|values| rounded_to_f16(values)))),
        Kind::Bf16 => out.write(narrow(values.map(|values| rounded_to_bf16(values)))),
    }
}

/// The lower halves of eight words.
#[inline]
#[target_feature(enable = "neon")]
fn narrow([low, high]: [uint32x4_t; 2]) -> uint16x8_t {
    vmovn_high_u32(vmovn_u32(low), high)
}

/// Four floats as binary16, bit for bit as `half` gives them, by integer arithmetic: the compiler's
/// conversions want a newer one than this crate's least.
#[inline]
#[target_feature(enable = "neon")]
fn rounded_to_f16(values: float32x4_t) -> uint32x4_t {
    let bits = vreinterpretq_u32_f32(values);
    let magnitude = vandq_u32(bits, vdupq_n_u32(0x7fff_ffff));
    let sign = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(0x8000));

    // Another bias of the exponent, then half of a unit less what makes a tie even.
    let odd = vandq_u32(vshrq_n_u32::<13>(magnitude), vdupq_n_u32(1));
    let biased = vaddq_u32(
        magnitude,
        vdupq_n_u32((112_u32 << 23).wrapping_neg().wrapping_add(0xfff)),
    );
    let normal = vshrq_n_u32::<13>(vaddq_u32(biased, odd));

    // Below 2^-14 the unit is 2^-24, that of a float between 0.5 and 1: adding 0.5 rounds to it.
    let half = vdupq_n_f32(0.5);
    let shifted = vaddq_f32(vreinterpretq_f32_u32(magnitude), half);
    let subnormal = vsubq_u32(vreinterpretq_u32_f32(shifted), vreinterpretq_u32_f32(half));

    let is_small = vcltq_u32(magnitude, vdupq_n_u32((127 - 14) << 23));
    let finite = vbslq_u32(is_small, subnormal, normal);
    let is_large = vcgeq_u32(magnitude, vdupq_n_u32((127 + 16) << 23));
    let bounded = vbslq_u32(is_large, vdupq_n_u32(0x7c00), finite);

    // A NaN is truncated and made quiet.
    let payload = vandq_u32(vshrq_n_u32::<13>(magnitude), vdupq_n_u32(0x03ff));
    let quiet = vorrq_u32(payload, vdupq_n_u32(0x7e00));
    let is_nan = vcgtq_u32(magnitude, vdupq_n_u32(0x7f80_0000));
    vorrq_u32(sign, vbslq_u32(is_nan, quiet, bounded))
}

/// Four floats as bfloat16. A NaN is truncated and made quiet: rounding could carry it over to zero.
#[inline]
#[target_feature(enable = "neon")]
fn rounded_to_bf16(values: float32x4_t) -> uint32x4_t {
    let bits = vreinterpretq_u32_f32(values);
    let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
    let rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    let quiet = vorrq_u32(bits, vdupq_n_u32(0x0040_0000));
    let is_number = vceqq_f32(values, values);
    vshrq_n_u32::<16>(vbslq_u32(is_number, rounded, quiet))
}
