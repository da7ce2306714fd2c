//! Q8_K: bytes times the scale.

use super::slot::Slot;
use super::vector::{every, plain_nan, put_unscaled, twice_16};
use crate::quant::convert::u32_at;
use crate::quant::q8_k::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 32]) {
    let d = every(plain_nan(f32::from_bits(u32_at(block, 0))));
    for two in 0..16 {
        put_unscaled(out, 2 * two, twice_16(block, 4 + 16 * two), d);
    }
}
