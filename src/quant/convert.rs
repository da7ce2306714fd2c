//! Reading the fields of a block, and the conversions of single elements.

/// The little-endian u16 at `at`.
#[inline(always)]
pub(super) fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

/// The little-endian u32 at `at`.
#[inline(always)]
pub(super) fn u32_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// The little-endian IEEE half at `at`, as [`f16_to_f32`] gives it: for a block's scale. By a branch that
/// is never taken in a model's file, where a single conversion without one takes three times as many
/// instructions.
#[inline(always)]
pub(super) fn f16_at(block: &[u8], at: usize) -> f32 {
    #[cold]
    fn special(bits: u16) -> f32 {
        f16_to_f32(bits)
    }
    f16_at_or(block, at, special)
}

/// As [`f16_at`]; infinity and NaN as `special` says.
#[inline(always)]
pub(super) fn f16_at_or(block: &[u8], at: usize, special: impl FnOnce(u16) -> f32) -> f32 {
    let bits = u16_at(block, at);
    if bits & 0x7c00 == 0x7c00 {
        return special(bits);
    }
    // The sign extended and moved; the copies of the sign between it and the exponent taken out.
    let moved = (i32::from(bits.cast_signed()) << 13).cast_unsigned() & 0x8fff_e000;
    f32::from_bits(moved) * HALF_UNIT
}

/// What a half whose bits were moved to the place of a float's must be multiplied by.
const HALF_UNIT: f32 = f32::from_bits((112 + 127) << 23);

/// The nibbles of 16 bytes: element e in the low one of e, e + 16 in the high. Unpacked apart from the
/// scaling, so that the compiler makes vectors of both.
#[inline(always)]
pub(super) fn nibbles(qs: &[u8]) -> [u8; 32] {
    let mut q = [0; 32];
    for at in 0..16 {
        q[at] = qs[at] & 15;
        q[at + 16] = qs[at] >> 4;
    }
    q
}

/// Stores each integer times `scale`.
#[inline(always)]
pub(super) fn scaled<const LENGTH: usize>(q: &[i8; LENGTH], scale: f32, out: &mut [f32]) {
    for (out, &q) in out[..LENGTH].iter_mut().zip(q) {
        *out = f32::from(q) * scale;
    }
}

/// IEEE binary16 to binary32, exact, without a branch that a vectoriser could not take.
///
/// `half::f16::to_f32` asks for the processor's features inside the loop. Here the bits of the
/// half, moved to the place of a float's, mean a number 2^112 too small; one exact multiplication
/// puts subnormals right too. Infinity and NaN keep their bits, but a NaN becomes quiet, as F16C and
/// `half` make it.
#[inline(always)]
pub(super) fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let moved = u32::from(bits & 0x7fff) << 13;
    let finite = (f32::from_bits(moved) * HALF_UNIT).to_bits();
    let magnitude = match bits & 0x7fff {
        0x7c00 => 0x7f80_0000,
        0x7c01.. => moved | 0x7fc0_0000,
        _ => finite,
    };
    f32::from_bits(sign | magnitude)
}

/// Writes a half, rounded to nearest, ties to even.
#[inline(always)]
pub(super) fn put_f16(block: &mut [u8], at: usize, value: f32) {
    let bits = half::f16::from_f32(value).to_bits();
    block[at..at + 2].copy_from_slice(&bits.to_le_bytes());
}

/// The value that lies farthest from 0, the first of several.
pub(super) fn largest(values: &[f32]) -> f32 {
    let farther = |best: f32, &value: &f32| {
        if value.abs() > best.abs() {
            value
        } else {
            best
        }
    };
    let first = values.first().copied().unwrap_or_default();
    values.iter().fold(first, farther)
}

/// The least and the greatest value.
pub(super) fn range(values: &[f32]) -> (f32, f32) {
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (least, greatest)
}

/// 1 / d, and 0 for a block of zeros.
pub(super) fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// An 8-bit float of `exponent_bits` and the rest mantissa.
#[derive(Clone, Copy)]
pub(super) struct Small {
    pub(super) exponent_bits: u32,
    pub(super) bias: i32,
    pub(super) special: Special,
}

/// Which codes are no finite number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    /// As IEEE: the largest exponent is infinity and NaN (`float8_e5m2`).
    Ieee,
    /// Only the code of all ones is NaN, there is no infinity (`float8_e4m3fn`).
    AllOnes,
    /// Only the code of negative zero is NaN, there is no infinity (the `fnuz` types).
    NegativeZero,
}

impl Small {
    /// The values of all 256 codes.
    pub(super) const fn table(self) -> [f32; 256] {
        let mut table = [0.0; 256];
        let mut code = 0;
        while code < 256 {
            table[code] = self.value(code as u32);
            code += 1;
        }
        table
    }

    const fn value(self, code: u32) -> f32 {
        let mantissa_bits = 7 - self.exponent_bits;
        let mantissa = code & ((1 << mantissa_bits) - 1);
        let exponent = (code >> mantissa_bits) & ((1 << self.exponent_bits) - 1);
        let sign = (code & 0x80) << 24;
        let top = exponent == (1 << self.exponent_bits) - 1;
        match self.special {
            Special::Ieee if top && mantissa == 0 => return f32::from_bits(sign | 0x7f80_0000),
            Special::Ieee if top => return f32::from_bits(sign | 0x7fc0_0000),
            Special::AllOnes if code & 0x7f == 0x7f => return f32::from_bits(sign | 0x7fc0_0000),
            Special::NegativeZero if code == 0x80 => return f32::NAN,
            _ => {}
        }
        // A subnormal has the exponent of the smallest normal and no hidden bit.
        let hidden = if exponent == 0 { 0 } else { 1 << mantissa_bits };
        let power = if exponent == 0 { 1 } else { exponent as i32 } - self.bias;
        let scale = f32::from_bits(((power - mantissa_bits as i32 + 127) as u32) << 23);
        let magnitude = (hidden | mantissa) as f32 * scale;
        f32::from_bits(sign | magnitude.to_bits())
    }
}

/// 2^(code − 127), the smallest subnormal; 255 is NaN (`float8_e8m0fnu`).
pub(super) const fn e8m0(code: u8) -> f32 {
    match code {
        0 => f32::from_bits(0x0040_0000),
        255 => f32::NAN,
        _ => f32::from_bits((code as u32) << 23),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "takes hours to interpret")]
    fn every_half_equals_the_half_crate() {
        for bits in 0..=u16::MAX {
            let theirs = half::f16::from_bits(bits).to_f32();
            for ours in [f16_to_f32(bits), f16_at(&bits.to_le_bytes(), 0)] {
                if theirs.is_nan() {
                    assert!(ours.is_nan(), "{bits:#x}");
                } else {
                    assert_eq!(ours.to_bits(), theirs.to_bits(), "{bits:#x}");
                }
            }
        }
    }
}
