//! IQ4_NL: nibbles through a table, times the scale.

use std::arch::x86_64::_mm512_mul_ps;

use super::slot::Slot;
use super::vector::{Sixteen, bytes_16, halves_at};
use crate::quant::iq4_nl::{BYTES, TABLE};

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 2]) {
    let [d] = halves_at(block, 0);
    let values = _mm512_mul_ps(bytemuck::cast(TABLE), d);
    let values = Sixteen::rounded::<S>(values);
    values.put_nibbles(values, out, [0, 1], bytes_16(block, 2));
}
