//! Q8_1: bytes times the scale.

use super::slot::Slot;
use super::vector::{halves_at, put_bytes};
use crate::quant::q8_1::BYTES;

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vl,avx512bf16,bmi2")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 2]) {
    let [d] = halves_at(block, 0);
    put_bytes(out, block, 4, d);
}
