//! Every kernel of this processor beside the scalar code: any block bytes, any type, any tail, into f32, f16
//! and bf16, stored as usual and past the cache, aligned and not: the same bits, and nothing outside.
//!
//! Input: a byte for the type, one for output, store and alignment, then blocks.
#![no_main]

use half::{bf16, f16};
use libfuzzer_sys::fuzz_target;
use weighbridge::DType;
use weighbridge::quant::{Output, decode_both_ways};

fuzz_target!(|data: &[u8]| {
    let [which, how, blocks @ ..] = data else {
        return;
    };
    let all = DType::ALL;
    let dtype = all[usize::from(*which) % all.len()];
    let streamed = how & 4 != 0;
    let offset = usize::from(how >> 3);
    match how & 3 {
        0 => compare::<f16>(dtype, blocks, streamed, offset),
        1 => compare::<bf16>(dtype, blocks, streamed, offset),
        _ => compare::<f32>(dtype, blocks, streamed, offset),
    }
});

fn compare<T: Output + Into<f32>>(dtype: DType, blocks: &[u8], streamed: bool, offset: usize) {
    let Some(count) = blocks.len().checked_div(dtype.block_bytes()) else {
        return;
    };
    let blocks = &blocks[..count * dtype.block_bytes()];
    let elements = count * dtype.block_elements();
    let marker = T::from_f32(-77.0);
    let mut scalar = vec![marker; elements];
    for kernel in 0.. {
        // The offset moves the output off the alignment of the allocator.
        let mut found = vec![marker; offset + elements + 9];
        let out = &mut found[offset..offset + elements];
        if !decode_both_ways(dtype, kernel, blocks, &mut scalar, out, streamed) {
            return;
        }
        for (at, (&found, &expected)) in out.iter().zip(&scalar).enumerate() {
            assert!(
                alike(found, expected),
                "{dtype}, kernel {kernel}: element {at} of {elements}"
            );
        }
        let outside = found[..offset].iter().chain(&found[offset + elements..]);
        for &outside in outside {
            assert!(
                alike(outside, marker),
                "{dtype}, kernel {kernel}: written outside"
            );
        }
    }
}

/// The same bits, or two NaN: which NaN an operation gives is not defined.
fn alike<T: Output + Into<f32>>(found: T, expected: T) -> bool {
    let (wide, expected_wide): (f32, f32) = (found.into(), expected.into());
    wide.to_bits() == expected_wide.to_bits() || wide.is_nan() && expected_wide.is_nan()
}
