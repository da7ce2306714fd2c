//! Q8_K: signed bytes times a scale of 32 bits, which may be so small that no power of two can be taken out.

use std::arch::x86_64::*;

use super::slot::Slot;
use super::vector::{bytes_16, every, plain_nan, put_16, whole};
use crate::quant::convert::u32_at;
use crate::quant::q8_k::BYTES;

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let d = every(plain_nan(f32::from_bits(u32_at(block, 0))));
    for part in 0..16 {
        let values = whole(bytes_16(block, 4 + 16 * part));
        put_16(out, 2 * part, values.map(|values| _mm_mul_ps(values, d)));
    }
}
