//! Q1_0: a bit is the sign of the scale.

use std::arch::x86_64::_mm512_mul_ps;

use super::slot::Slot;
use super::vector::{Sixteen, every, half_at};
use crate::quant::convert::u16_at;
use crate::quant::q1_0::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 8]) {
    let d = every(half_at(block, 0));
    let set = Sixteen::rounded::<S>(d);
    let clear = Sixteen::rounded::<S>(_mm512_mul_ps(d, every(-1.0)));
    for (at, out) in out.iter_mut().enumerate() {
        clear.put_bits(set, out, u16_at(block, 2 + 2 * at));
    }
}
