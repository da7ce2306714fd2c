//! MXFP4: nibbles through a table, times a power of two.

use std::arch::x86_64::_mm512_mul_ps;

use super::slot::Slot;
use super::vector::{Sixteen, bytes_16, every};
use crate::quant::mxfp4::{BYTES, TABLE, half_exponent};

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 2]) {
    let values = _mm512_mul_ps(bytemuck::cast(TABLE), every(half_exponent(block[0])));
    // The least powers make them subnormal.
    let values = Sixteen::rounded_any::<S>(values);
    values.put_nibbles(values, out, [0, 1], bytes_16(block, 1));
}
