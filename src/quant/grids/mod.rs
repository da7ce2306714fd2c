//! The codebooks of the IQ types, packed and expanded at compile time.
//!
//! The numbers are ggml's (`ggml-common.h`, ggml 0.25.3); a test compares each expanded grid with
//! the sha256 of the one in PyPI `gguf` 0.19.0.

pub(super) mod iq1;
pub(super) mod iq2_s;
pub(super) mod iq2_xs;
pub(super) mod iq2_xxs;
pub(super) mod iq3_s;
pub(super) mod iq3_xxs;

/// Unpacks rows of `WIDTH` indices of `bits` bits into `levels`.
const fn expand<const WIDTH: usize, const ROWS: usize, const LEVELS: usize>(
    codes: &[u16; ROWS],
    levels: &[i8; LEVELS],
    bits: usize,
) -> [[i8; WIDTH]; ROWS] {
    let mut grid = [[0; WIDTH]; ROWS];
    let mut row = 0;
    while row < ROWS {
        let mut column = 0;
        while column < WIDTH {
            let index = (codes[row] >> (bits * column)) as usize & ((1 << bits) - 1);
            grid[row][column] = levels[index];
            column += 1;
        }
        row += 1;
    }
    grid
}

/// `value`, negated where the sign bit of its place is set.
#[inline(always)]
pub(super) fn signed(value: i8, signs: u8, place: usize) -> f32 {
    let value = f32::from(value);
    f32::from_bits(value.to_bits() ^ (u32::from(signs >> place & 1) << 31))
}

/// The eight signs of a 7-bit code: the eighth makes their number even (`ksigns_iq2xs`).
#[inline(always)]
pub(super) const fn even_signs(code: u32) -> u8 {
    let code = (code & 127) as u8;
    code | ((code.count_ones() & 1) as u8) << 7
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn digest<const WIDTH: usize, const ROWS: usize>(grid: &[[i8; WIDTH]; ROWS]) -> String {
        let bytes: Vec<u8> = grid.iter().flatten().map(|&value| value as u8).collect();
        let digest = Sha256::digest(&bytes);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// sha256 of `init_grid()` of PyPI `gguf` 0.19.0 `quants.py`, as int8, row by row.
    #[test]
    fn grids_are_those_of_the_official_package() {
        let found = [
            digest(&iq2_xxs::GRID),
            digest(&iq2_xs::GRID),
            digest(&iq2_s::GRID),
            digest(&iq3_xxs::GRID),
            digest(&iq3_s::GRID),
            digest(&iq1::GRID),
        ];
        let official = [
            "05826b5d3e472a3a78f196be62ac78acf81df0f909626e12ab9fa2a5d490dd54",
            "06e47aaca60b4dc1d9b5a3f34540437058a6b142b4d7a59d5ded769b4d1bf1de",
            "e1aa1473412b0552c2174c30ef22ab4073f6a181b85a17056e8249bd2932fd88",
            "46e35f5a997efdee6c99ce57854c8a0d4f0ff8ca57e5e8a60c0793ea580acf5d",
            "bd1af4945a1717c65610b0284e4628b9a1ba3b306fae3a06f6e5f597356e349f",
            "07540ffc1aeaf6ad4d97e96b0fcc765aae39671d4ae4a27bbd0e796fde167c6a",
        ];
        assert_eq!(found, official);
    }
}
