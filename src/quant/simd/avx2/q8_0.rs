//! Q8_0: bytes times the scale.

use super::slot::Slot;
use super::vector::{halves_of_top, put_bytes};
use crate::quant::q8_0::BYTES;

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    put_bytes(out, block, 2, halves_of_top::<S>(block, 0));
}
