//! Types without blocks: each element stands for itself.
//!
//! Values are those of `ml_dtypes` and torch; integers become the nearest f32, ties to even, as
//! does f64. 6-bit floats are missing: safetensors leaves the order of their bits undefined.

use super::convert::{Small, Special, e8m0, f16_to_f32};

/// A run of `N`-byte elements.
#[inline(always)]
fn each<const N: usize>(bytes: &[u8], out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
    let (elements, _) = bytes.as_chunks::<N>();
    for (out, element) in out.iter_mut().zip(elements) {
        *out = value(*element);
    }
}

macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident $bytes:literal |$element:ident| $value:expr;)*) => {
        $($(#[$doc])*
        pub(super) fn $name(bytes: &[u8], out: &mut [f32]) {
            each::<$bytes>(bytes, out, |$element| $value);
        })*
    };
}

const E4M3: [f32; 256] = Small {
    exponent_bits: 4,
    bias: 7,
    special: Special::AllOnes,
}
.table();
const E5M2: [f32; 256] = Small {
    exponent_bits: 5,
    bias: 15,
    special: Special::Ieee,
}
.table();
const E4M3FNUZ: [f32; 256] = Small {
    exponent_bits: 4,
    bias: 8,
    special: Special::NegativeZero,
}
.table();
const E5M2FNUZ: [f32; 256] = Small {
    exponent_bits: 5,
    bias: 16,
    special: Special::NegativeZero,
}
.table();

/// The 4-bit float of 2 exponent bits and 1 mantissa bit (OCP Microscaling Formats v1.0, 5.3.3).
pub(super) const E2M1: [f32; 16] = [
    0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0,
];

plain! {
    /// IEEE binary32.
    f32 4 |element| f32::from_le_bytes(element);
    /// IEEE binary16.
    f16 2 |element| f16_to_f32(u16::from_le_bytes(element));
    /// bfloat16.
    bf16 2 |element| f32::from_bits(u32::from(u16::from_le_bytes(element)) << 16);
    /// IEEE binary64.
    f64 8 |element| f64::from_le_bytes(element) as f32;
    /// Signed, 8 bits.
    i8 1 |element| f32::from(element[0] as i8);
    /// Signed, 16 bits.
    i16 2 |element| f32::from(i16::from_le_bytes(element));
    /// Signed, 32 bits.
    i32 4 |element| i32::from_le_bytes(element) as f32;
    /// Signed, 64 bits.
    i64 8 |element| i64::from_le_bytes(element) as f32;
    /// Unsigned, 8 bits; a boolean is its byte.
    u8 1 |element| f32::from(element[0]);
    /// Unsigned, 16 bits.
    u16 2 |element| f32::from(u16::from_le_bytes(element));
    /// Unsigned, 32 bits.
    u32 4 |element| u32::from_le_bytes(element) as f32;
    /// Unsigned, 64 bits.
    u64 8 |element| u64::from_le_bytes(element) as f32;
    /// 1 if the byte is not 0, as torch reads it.
    bool 1 |element| f32::from(u8::from(element[0] != 0));
    /// `float8_e4m3fn`.
    f8_e4m3 1 |element| E4M3[usize::from(element[0])];
    /// `float8_e5m2`.
    f8_e5m2 1 |element| E5M2[usize::from(element[0])];
    /// `float8_e4m3fnuz`.
    f8_e4m3fnuz 1 |element| E4M3FNUZ[usize::from(element[0])];
    /// `float8_e5m2fnuz`.
    f8_e5m2fnuz 1 |element| E5M2FNUZ[usize::from(element[0])];
    /// `float8_e8m0fnu`.
    f8_e8m0 1 |element| e8m0(element[0]);
}

/// Two 4-bit floats a byte, the low nibble first, as torch packs `float4_e2m1fn_x2`.
pub(super) fn f4(bytes: &[u8], out: &mut [f32]) {
    let (pairs, _) = out.as_chunks_mut::<2>();
    for (pair, &byte) in pairs.iter_mut().zip(bytes) {
        *pair = [E2M1[usize::from(byte & 15)], E2M1[usize::from(byte >> 4)]];
    }
}
