//! NVFP4: 4-bit floats with one 8-bit float scale for 16, in blocks of 64.
//!
//! ```text
//! | d 4 × ue4m3 | qs 4 × 8 bytes: element e of 16 in the low nibble of e, e + 8 in the high |
//! ```
//!
//! value = d/2 · table[q], the table of MXFP4; the file's `.scale` tensor is a further factor, not applied here
//!
//! Source: ggml 0.25.3 `ggml-common.h` and `ggml-quants.c`, `dequantize_row_nvfp4`.

use super::mxfp4::TABLE;

pub(super) const ELEMENTS: usize = 64;
pub(super) const BYTES: usize = 36;

/// Decodes one block.
pub(super) fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMENTS]) {
    for group in 0..4 {
        let d = HALF_SCALES[usize::from(block[group])];
        let qs = &block[4 + 8 * group..][..8];
        for (at, &byte) in qs.iter().enumerate() {
            out[16 * group + at] = d * TABLE[usize::from(byte & 15)];
            out[16 * group + at + 8] = d * TABLE[usize::from(byte >> 4)];
        }
    }
}

/// Half of an unsigned float of 4 exponent and 3 mantissa bits; 0x7f is 0; bit 7 is ignored, but 0xff is
/// not 0x7f (`ggml_ue4m3_to_fp32`).
pub(super) static HALF_SCALES: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mantissa = (byte & 7) as f32;
        let exponent = (byte >> 3 & 15) as u32;
        table[byte] = if byte == 0x7f {
            0.0
        } else if exponent == 0 {
            mantissa * (1.0 / 512.0) * 0.5
        } else {
            let power = f32::from_bits((exponent + 127 - 7) << 23);
            (1.0 + mantissa / 8.0) * power * 0.5
        };
        byte += 1;
    }
    table
};
