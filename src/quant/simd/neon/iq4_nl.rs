//! IQ4_NL: nibbles through a table, times the scale.

use std::arch::aarch64::*;

use super::vector::{bytes_16, nibbles, put_scaled};
use crate::quant::convert::f16_at;
use crate::quant::iq4_nl::{BYTES, TABLE};
use crate::quant::simd::slot::Slot;

/// The table as bytes.
const VALUES: [i8; 16] = {
    let mut values = [0; 16];
    let mut code = 0;
    while code < 16 {
        values[code] = TABLE[code] as i8;
        code += 1;
    }
    values
};

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn decode<S: Slot>(block: &[u8; BYTES], out: &mut [S; 4]) {
    let d = f16_at(block, 0);
    for (half, codes) in nibbles(bytes_16(block, 2)).into_iter().enumerate() {
        let q = vqtbl1q_s8(bytemuck::cast(VALUES), codes);
        put_scaled(out, 2 * half, q, d);
    }
}
