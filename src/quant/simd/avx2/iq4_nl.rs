//! IQ4_NL: nibbles through a table of 16 bytes, times the scale.

use std::arch::x86_64::_mm256_shuffle_epi8;

use super::slot::Slot;
use super::tables;
use super::vector::{halves_of_top, nibbles, put_scaled, twice_16};
use crate::quant::iq4_nl::{BYTES, TABLE};

/// The table as bytes.
pub(super) const VALUES: [i8; 32] = tables::bytes(&TABLE);

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let d = halves_of_top::<S>(block, 0);
    for (half, q) in nibbles(twice_16(block, 2)).into_iter().enumerate() {
        let values = _mm256_shuffle_epi8(bytemuck::cast(VALUES), q);
        put_scaled(out, 2 * half, values, d);
    }
}
