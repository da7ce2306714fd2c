//! Types without blocks, 32 elements at a time.

use std::arch::aarch64::*;

use super::vector::put;
use crate::quant::simd::slot::{RUN, Slot};

/// Decodes a run by its eight elements: `$eight` are their bytes.
macro_rules! runs {
    ($($(#[$doc:meta])* $name:ident $bytes:literal |$eight:ident| $values:expr;)*) => {
        $($(#[$doc])*
        #[inline]
        #[target_feature(enable = "neon")]
        pub(super) fn $name<S: Slot>(run: &[u8; RUN * $bytes], out: &mut [S; RUN / 8]) {
            let (eights, _) = run.as_chunks::<{ 8 * $bytes }>();
            for (&$eight, out) in eights.iter().zip(out) {
                put(out, $values);
            }
        })*
    };
}

runs! {
    /// IEEE binary32.
    f32 4 |eight| bytemuck::cast(eight);
    /// IEEE binary16.
    f16 2 |eight| words(eight).map(|bits| from_f16(bits));
    /// bfloat16: the upper half of a binary32.
    bf16 2 |eight| words(eight).map(|bits| vreinterpretq_f32_u32(vshlq_n_u32::<16>(bits)));
}

/// Eight words of 16 bits, each in one of 32.
#[inline]
#[target_feature(enable = "neon")]
fn words(bytes: [u8; 16]) -> [uint32x4_t; 2] {
    let words: uint16x8_t = bytemuck::cast(bytes);
    [vmovl_u16(vget_low_u16(words)), vmovl_high_u16(words)]
}

/// Halves as floats: as `f16_to_f32` of the scalar code, which says why.
#[inline]
#[target_feature(enable = "neon")]
fn from_f16(bits: uint32x4_t) -> float32x4_t {
    let magnitude = vandq_u32(bits, vdupq_n_u32(0x7fff));
    let sign = vshlq_n_u32::<16>(veorq_u32(bits, magnitude));
    let moved = vshlq_n_u32::<13>(magnitude);
    let scale = vdupq_n_f32(f32::from_bits((112 + 127) << 23));
    let finite = vreinterpretq_u32_f32(vmulq_f32(vreinterpretq_f32_u32(moved), scale));
    let quiet = vandq_u32(
        vcgtq_u32(magnitude, vdupq_n_u32(0x7c00)),
        vdupq_n_u32(0x0040_0000),
    );
    let special = vorrq_u32(vorrq_u32(moved, vdupq_n_u32(0x7f80_0000)), quiet);
    let is_special = vcgeq_u32(magnitude, vdupq_n_u32(0x7c00));
    vreinterpretq_f32_u32(vorrq_u32(sign, vbslq_u32(is_special, special, finite)))
}
