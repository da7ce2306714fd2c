//! NVFP4: nibbles through the table of MXFP4, each 16 with an 8-bit float as scale.

use std::arch::x86_64::{_mm_set_epi64x, _mm512_mul_ps};

use super::slot::Slot;
use super::vector::{Sixteen, every, u64_at};
use crate::quant::mxfp4::TABLE;
use crate::quant::nvfp4::{BYTES, HALF_SCALES};

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    for (group, out) in out.iter_mut().enumerate() {
        let d = every(HALF_SCALES[usize::from(block[group])]);
        let values = Sixteen::rounded::<S>(_mm512_mul_ps(bytemuck::cast(TABLE), d));
        // Eight bytes are a group of 16: its low nibbles, then its high nibbles.
        let bytes = u64_at(block, 4 + 8 * group).cast_signed();
        values.put_codes(out, _mm_set_epi64x(bytes >> 4, bytes));
    }
}
