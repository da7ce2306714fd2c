//! IQ4_XS: nibbles through the table of IQ4_NL, each 32 with a 6-bit scale.

use std::arch::x86_64::_mm512_mul_ps;

use super::slot::Slot;
use super::vector::{Sixteen, bytes_16, every, half_at, in_memory, scales_8};
use crate::quant::iq4_nl::TABLE;
use crate::quant::iq4_xs::BYTES;
use crate::quant::simd::avx2::iq4_xs::scales;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 16]) {
    let scales = scales_8(scales(block), half_at(block, 0));
    let scales = in_memory(&scales);
    for (group, &scale) in scales.iter().enumerate() {
        let values = _mm512_mul_ps(bytemuck::cast(TABLE), every(scale));
        let values = Sixteen::rounded::<S>(values);
        let bytes = bytes_16(block, 8 + 16 * group);
        values.put_nibbles(values, out, [2 * group, 2 * group + 1], bytes);
    }
}
