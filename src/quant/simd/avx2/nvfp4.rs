//! NVFP4: nibbles through the table of MXFP4, each 16 with an 8-bit float as scale.

use std::arch::x86_64::*;

use super::mxfp4::VALUES;
use super::slot::Slot;
use super::vector::{TOP, every, nibbles, put_scaled, twice_16};
use crate::quant::nvfp4::{BYTES, HALF_SCALES};

#[inline]
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 8]) {
    for pair in 0..2 {
        let [low, high] = nibbles(twice_16(block, 4 + 16 * pair));
        // Eight bytes are a group of 16: its low nibbles, then its high nibbles.
        let groups = [_mm256_unpacklo_epi64(low, high), _mm256_unpackhi_epi64(low, high)];
        for (part, q) in groups.into_iter().enumerate() {
            let values = _mm256_shuffle_epi8(bytemuck::cast(VALUES), q);
            let group = 2 * pair + part;
            let d = HALF_SCALES[usize::from(block[group])] * TOP;
            put_scaled(out, 2 * group, values, every(d));
        }
    }
}
