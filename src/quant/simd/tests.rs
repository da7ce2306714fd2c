//! Every kernel of the table beside the scalar code: random blocks, extreme and NaN scales, every tail.

use half::{bf16, f16};

use super::super::{Decoder, Output, decoder};
#[cfg(target_arch = "x86_64")]
use super::Isa;
use super::{Available, Kernel, rows};
use crate::dtype::DType;

type Row = (DType, &'static Kernel);

/// SplitMix64, from a seed.
fn random(seed: u64) -> impl Iterator<Item = u64> {
    (1..).map(move |step: u64| {
        let mut word = seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    })
}

fn random_bytes(seed: u64, length: usize) -> Vec<u8> {
    let words = random(seed).flat_map(u64::to_le_bytes);
    words.take(length).collect()
}

/// Halves, and the first two bytes of floats, that arithmetic treats as special: zeros, subnormals, the
/// least and greatest normal, infinities, quiet and signalling NaN of either sign.
const SPECIAL: [u16; 18] = [
    0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7c01,
    0xfc01, 0x7e00, 0xfe2a, 0x7fff, 0xffff, 0x3c00,
];

/// Blocks of a type: all random, then each special pattern at each multi-byte field, then bytes that are
/// all alike.
fn blocks(dtype: DType) -> Vec<u8> {
    let length = dtype.block_bytes();
    // What is interpreted takes a thousand times as long.
    let random_blocks = match dtype.block_elements() {
        _ if cfg!(miri) => 2,
        1 => 1 << 13,
        _ => 64,
    };
    let mut blocks = random_bytes(dtype.block_bytes() as u64, random_blocks * length);
    let mut seed = 1;
    for fields in dtype.swapped_fields() {
        for field in 0..fields.count {
            for special in SPECIAL.into_iter().step_by(if cfg!(miri) { 6 } else { 1 }) {
                let mut block = random_bytes(seed, length);
                seed += 1;
                // The most significant bytes decide what the number is.
                let end = fields.offset + (field + 1) * fields.bytes;
                block[end - fields.bytes..end].fill(if seed % 2 == 0 { 0 } else { 0xff });
                block[end - 2..end].copy_from_slice(&special.to_le_bytes());
                blocks.extend(block);
            }
        }
    }
    for byte in (0..=255).step_by(if cfg!(miri) { 255 } else { 1 }) {
        blocks.extend(vec![byte; length]);
    }
    blocks
}

/// The same bits, or two NaN: which NaN an operation gives is not defined.
fn alike<T: Output + Into<f32>>(found: T, expected: T) -> bool {
    let (wide, expected_wide): (f32, f32) = (found.into(), expected.into());
    wide.is_nan() && expected_wide.is_nan()
        || bytemuck::bytes_of(&found) == bytemuck::bytes_of(&expected)
}

fn compare<T: Output + Into<f32>>((dtype, kernel): Row, bytes: &[u8], offset: usize) {
    let decoder: Decoder = decoder(dtype).unwrap();
    let elements = decoder.elements_in(bytes.len());
    // `offset` moves the output off the alignment of the allocator.
    let marker = T::from_f32(-77.0);
    let mut expected = vec![marker; elements];
    decoder.decode_scalar(bytes, &mut expected);
    for streamed in [false, true] {
        let mut found = vec![marker; offset + elements + 3];
        let out = &mut found[offset..offset + elements];
        Available(kernel).decode(bytes, out, streamed);
        for (at, (&found, &expected)) in out.iter().zip(&expected).enumerate() {
            let (wide, wanted): (f32, f32) = (found.into(), expected.into());
            assert!(
                alike(found, expected),
                "{} to {} streamed {streamed}: element {at} of {elements} is {wide:e}, not {wanted:e}",
                dtype,
                std::any::type_name::<T>()
            );
        }
        let around = found[..offset].iter().chain(&found[offset + elements..]);
        for &outside in around {
            assert!(alike(outside, marker), "{dtype} wrote outside");
        }
    }
}

fn every_output(row: Row, bytes: &[u8], offset: usize) {
    compare::<f32>(row, bytes, offset);
    compare::<f16>(row, bytes, offset);
    compare::<bf16>(row, bytes, offset);
}

/// The kernels that this processor can run.
fn runnable() -> Vec<Row> {
    let all = DType::ALL
        .iter()
        .flat_map(|&dtype| rows(dtype).map(move |kernel| (dtype, kernel)));
    all.filter(|(_, kernel)| kernel.isa.is_available())
        .collect()
}

#[test]
#[cfg(target_arch = "x86_64")]
fn every_block_type_of_ggml_has_a_kernel() {
    for &dtype in DType::ALL {
        let blocks = dtype.ggml_id().is_some() && dtype.block_elements() > 1;
        if blocks && decoder(dtype).is_some() {
            assert!(rows(dtype).any(|kernel| kernel.isa == Isa::Avx2), "{dtype}");
        }
    }
}

#[test]
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
fn the_common_types_have_a_kernel_that_runs() {
    use DType::*;
    for dtype in [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, F16, BF16] {
        assert!(runnable().iter().any(|row| row.0 == dtype), "{dtype}");
    }
}

#[test]
fn kernels_are_bit_equal_to_scalar_code() {
    for row in runnable() {
        every_output(row, &blocks(row.0), 0);
    }
}

#[test]
fn kernels_are_bit_equal_at_every_length_and_alignment() {
    for row in runnable() {
        let (dtype, _) = row;
        let most = match dtype.block_elements() {
            _ if cfg!(miri) => 2,
            1 | 2 => 70,
            _ => 5,
        };
        for blocks in 0..=most {
            let bytes = random_bytes(blocks as u64, blocks * dtype.block_bytes());
            for offset in [0, 1, 4] {
                every_output(row, &bytes, offset);
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes long to interpret")]
fn sixteen_bit_outputs_are_the_rounded_f32() {
    // f32 to 16 bits: every exponent, ties and their neighbours, infinities, NaN.
    let mut bits: Vec<u32> = random(7).take(1 << 16).map(|word| word as u32).collect();
    for top in 0..=u16::MAX {
        let base = u32::from(top) << 16;
        bits.extend(
            [0, 1, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0xffff].map(|low| base | low),
        );
    }
    let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let decoder = decoder(DType::F32).unwrap();
    let mut halves = vec![f16::ZERO; bits.len()];
    decoder.decode_into(&bytes, &mut halves).unwrap();
    let mut brains = vec![bf16::ZERO; bits.len()];
    decoder.decode_into(&bytes, &mut brains).unwrap();
    for ((&bits, half), brain) in bits.iter().zip(&halves).zip(&brains) {
        let value = f32::from_bits(bits);
        assert_eq!(half.to_bits(), f16::from_f32(value).to_bits(), "{bits:#x}");
        assert_eq!(
            brain.to_bits(),
            bf16::from_f32(value).to_bits(),
            "{bits:#x}"
        );
    }
}
