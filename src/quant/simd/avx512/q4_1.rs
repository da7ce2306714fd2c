//! Q4_1: nibbles times the scale, plus the minimum.

use std::arch::x86_64::_mm512_fmadd_ps;

use super::slot::Slot;
use super::vector::{Sixteen, bytes_16, halves_at};
use crate::quant::q4_1::BYTES;

/// The value of each nibble, not scaled.
pub(super) const VALUES: [f32; 16] = [
    0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
];

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 2]) {
    let [d, m] = halves_at(block, 0);
    let values = _mm512_fmadd_ps(bytemuck::cast(VALUES), d, m);
    let values = Sixteen::rounded::<S>(values);
    values.put_nibbles(values, out, [0, 1], bytes_16(block, 4));
}
