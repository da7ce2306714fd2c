//! Q4_0: nibbles less 8, times the scale.

use std::arch::x86_64::_mm512_mul_ps;

use super::slot::Slot;
use super::vector::{Sixteen, bytes_16, halves_at};
use crate::quant::q4_0::BYTES;

/// The value of each nibble, not scaled.
const VALUES: [f32; 16] = [
    -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0,
];

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 2]) {
    let [d] = halves_at(block, 0);
    let values = _mm512_mul_ps(bytemuck::cast(VALUES), d);
    let values = Sixteen::rounded::<S>(values);
    values.put_nibbles(values, out, [0, 1], bytes_16(block, 2));
}
