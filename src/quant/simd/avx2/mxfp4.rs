//! MXFP4: nibbles through a table of 16 bytes, times a power of two.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::tables;
use super::vector::{nibbles, put_unscaled, twice_16};
use crate::quant::mxfp4::{BYTES, TABLE, half_exponent};

/// The table as bytes.
pub(super) const VALUES: [i8; 32] = tables::bytes(&TABLE);

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let d = _mm256_set1_ps(half_exponent(block[0]));
    let values = nibbles(twice_16(block, 1))
        .map(|q| _mm256_shuffle_epi8(bytemuck::cast(VALUES), q));
    for (half, values) in values.into_iter().enumerate() {
        // Not folded into the power, which may be the least subnormal one already.
        put_unscaled(out, 2 * half, values, d);
    }
}
