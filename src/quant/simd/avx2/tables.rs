//! Tables of vectors, made at compile time: a load is cheaper than the operations that it spares.

use crate::quant::grids::even_signs;

/// Eight lanes, aligned as a vector.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
pub(super) struct Lanes<T>(pub(super) [T; 8]);

/// For each byte, `set` in lane i where bit i is set, else `clear`.
const fn by_bits(clear: u32, set: u32) -> [Lanes<u32>; 256] {
    let mut table = [Lanes([0; 8]); 256];
    let mut byte = 0;
    while byte < 256 {
        let mut lane = 0;
        while lane < 8 {
            table[byte].0[lane] = if byte >> lane & 1 == 1 { set } else { clear };
            lane += 1;
        }
        byte += 1;
    }
    table
}

/// The sign of a float where the bit is set.
pub(super) static SIGNS: [Lanes<u32>; 256] = by_bits(0, 1 << 31);

/// The signs of a 7-bit code, whose eighth makes their number even.
pub(super) static EVEN_SIGNS: [Lanes<u32>; 128] = {
    let mut table = [Lanes([0; 8]); 128];
    let mut code = 0;
    while code < 128 {
        table[code] = SIGNS[even_signs(code as u32) as usize];
        code += 1;
    }
    table
};

/// A codebook as floats.
pub(super) const fn floats<const WIDTH: usize, const ROWS: usize>(
    grid: &[[i8; WIDTH]; ROWS],
) -> [[f32; WIDTH]; ROWS] {
    let mut floats = [[0.0; WIDTH]; ROWS];
    let mut row = 0;
    while row < ROWS {
        let mut at = 0;
        while at < WIDTH {
            floats[row][at] = grid[row][at] as f32;
            at += 1;
        }
        row += 1;
    }
    floats
}

/// A table of small integers as bytes, in both halves of a vector, for a shuffle.
pub(super) const fn bytes(values: &[f32; 16]) -> [i8; 32] {
    let mut table = [0; 32];
    let mut at = 0;
    while at < 32 {
        table[at] = values[at % 16] as i8;
        at += 1;
    }
    table
}
