//! Every size that is computed from numbers of a file, beside integers wide enough for any: products of
//! dimensions, bytes of elements, padding, ends of ranges, the reach of strides.
//!
//! The sets hold 0 to 3 and each power of two with its neighbours, in every order: so an equal verdict also
//! says that the order of the dimensions does not matter.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::gguf::Gguf;
use weighbridge::bytes::{Span, align_up, to_u64};
use weighbridge::shape::{bytes, contiguous_strides, elements, is_contiguous, reach};
use weighbridge::{Checkpoint, DType, ErrorKind};

/// No size may exceed 63 bits.
const MOST: u128 = (1 << 63) - 1;

/// 0 to 3, and 2^k − 1, 2^k, 2^k + 1 for each `k`.
fn around(powers: impl IntoIterator<Item = u32>) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..4).collect();
    for power in powers {
        let number = 1_u64 << power;
        numbers.extend([number - 1, number, number + 1]);
    }
    numbers
}

/// Calls `visit` with every list of `rank` numbers.
fn tuples(numbers: &[u64], rank: usize, visit: &mut impl FnMut(&[u64])) {
    let count = numbers.len().pow(rank as u32);
    let mut tuple = vec![0; rank];
    for place in 0..count {
        let mut rest = place;
        for slot in &mut tuple {
            *slot = numbers[rest % numbers.len()];
            rest /= numbers.len();
        }
        visit(&tuple);
    }
}

/// The product of the dimensions that are not 0, and whether any is; `None` above 63 bits.
fn product(shape: &[u64]) -> Option<(u128, bool)> {
    let mut product: u128 = 1;
    for &dimension in shape.iter().filter(|&&dimension| dimension > 0) {
        // Below 2^63 times below 2^64: no 128-bit product can overflow.
        product *= u128::from(dimension);
        if product > MOST {
            return None;
        }
    }
    Some((product, shape.contains(&0)))
}

/// Bytes of so many elements: whole blocks of at most 63 bits.
fn bytes_of(elements: u128, block_elements: u128, block_bytes: u128) -> Option<u64> {
    let blocks = elements / block_elements;
    let whole = blocks * block_elements == elements;
    let bytes = blocks * block_bytes;
    (whole && bytes <= MOST).then(|| u64::try_from(bytes).unwrap())
}

/// Tries every shape of `rank` with every type; how many cases.
fn shapes_and_types(numbers: &[u64], rank: usize) -> u64 {
    let types: Vec<(DType, u128, u128)> = DType::ALL
        .iter()
        .map(|&dtype| {
            (
                dtype,
                dtype.block_elements() as u128,
                dtype.block_bytes() as u128,
            )
        })
        .collect();
    let mut cases = 0;
    tuples(numbers, rank, &mut |shape| {
        cases += to_u64(types.len());
        let expected = product(shape).map(|(product, empty)| if empty { 0 } else { product });
        let found = elements(shape).ok();
        assert_eq!(found.map(u128::from), expected, "{shape:?}");
        let (Some(found), Some(expected)) = (found, expected) else {
            return;
        };
        for &(dtype, block_elements, block_bytes) in &types {
            let expected = bytes_of(expected, block_elements, block_bytes);
            assert_eq!(dtype.bytes_for(found), expected, "{shape:?} {dtype}");
        }
    });
    cases
}

#[test]
fn ten_million_sizes_are_those_of_wider_integers() {
    let all = around(8..64);
    let some = around([8, 16, 31, 32, 63]);
    let mut cases = 0;
    for rank in 0..3 {
        cases += shapes_and_types(&all, rank);
    }
    cases += shapes_and_types(&around([8, 9, 15, 16, 21, 31, 32, 33, 42, 62, 63]), 3);
    cases += shapes_and_types(&some, 4);
    println!("{cases} cases");
    assert!(cases >= 10_000_000, "{cases}");
}

/// All shapes of rank 3, and of rank 4 from more powers.
#[test]
#[ignore = "takes minutes: cargo test --release --test arithmetic -- --ignored"]
fn a_billion_sizes_are_those_of_wider_integers() {
    let rank_3 = shapes_and_types(&around(8..64), 3);
    let rank_4 = shapes_and_types(
        &around([
            8, 12, 15, 16, 20, 21, 24, 31, 32, 33, 40, 42, 47, 48, 56, 61, 62, 63,
        ]),
        4,
    );
    let cases = rank_3 + rank_4;
    println!("{cases} cases");
    assert!(cases >= 1_000_000_000, "{cases}");
}

#[test]
fn bytes_of_parts_are_those_of_wider_integers() {
    let numbers = [around(0..64), vec![u64::MAX - 1, u64::MAX]].concat();
    let mut cases = 0;
    tuples(&numbers, 2, &mut |pair| {
        let product: u128 = pair.iter().copied().map(u128::from).product();
        let expected = u64::try_from(product).ok();
        assert_eq!(bytes(pair[0], pair[1]), expected, "{pair:?}");
        cases += 1;
    });
    assert!(cases > 30_000, "{cases}");
}

#[test]
fn padding_is_exact() {
    let mut cases = 0;
    let numbers = [around(8..64), vec![u64::MAX - 1, u64::MAX]].concat();
    tuples(&numbers, 2, &mut |pair| {
        let &[offset, alignment] = pair else {
            unreachable!()
        };
        let (wide, each) = (u128::from(offset), u128::from(alignment));
        let expected = match each {
            0 => None,
            each => u64::try_from(wide.div_ceil(each) * each).ok(),
        };
        assert_eq!(align_up(offset, alignment), expected, "{pair:?}");
        cases += 1;
    });
    assert!(cases > 30_000, "{cases}");
}

#[test]
fn ranges_lie_inside_their_source() {
    let numbers = [
        around([8, 31, 32, 33, 62, 63]),
        vec![u64::MAX - 1, u64::MAX],
    ]
    .concat();
    let mut cases = 0;
    tuples(&numbers, 3, &mut |triple| {
        let &[start, length, source] = triple else {
            unreachable!()
        };
        let end = u128::from(start) + u128::from(length);
        let span = Span::new("a range", start, length, source);
        assert_eq!(span.is_ok(), end <= u128::from(source), "{triple:?}");
        cases += 1;
        let Ok(span) = span else { return };
        assert_eq!(u128::from(span.end()), end);
        for &offset in &numbers {
            for &inner in &[0, 1, length, u64::MAX] {
                let inside = u128::from(offset) + u128::from(inner) <= u128::from(length);
                let part = span.part(offset, inner);
                assert_eq!(part.is_some(), inside, "{triple:?} {offset} {inner}");
                let Some(part) = part else { continue };
                let (from, to) = (u128::from(part.start()), u128::from(part.end()));
                assert_eq!(from, u128::from(start) + u128::from(offset));
                assert_eq!(to, from + u128::from(inner));
            }
        }
    });
    assert!(cases > 13_000, "{cases}");
}

#[test]
fn strides_reach_no_further_than_they_should() {
    let numbers = around([8, 31, 32, 62]);
    let mut cases = 0;
    tuples(&numbers, 4, &mut |all| {
        let (shape, strides) = all.split_at(2);
        cases += 1;
        let found = reach(shape, strides).ok().map(u128::from);
        if shape.contains(&0) {
            return assert_eq!(found, Some(0), "{all:?}");
        }
        let each = shape.iter().zip(strides);
        let last: u128 = each
            .map(|(&dimension, &stride)| u128::from(dimension - 1) * u128::from(stride))
            .sum();
        assert_eq!(
            found,
            Some(last + 1).filter(|&reach| reach <= MOST),
            "{all:?}"
        );
    });
    assert!(cases > 60_000, "{cases}");
}

/// Row-major strides of shapes that fit reach exactly over their elements.
#[test]
fn contiguous_strides_reach_over_every_element() {
    let numbers = around([8, 16, 31]);
    tuples(&numbers, 3, &mut |shape| {
        let Some((product, empty)) = product(shape) else {
            return;
        };
        let narrow: Vec<usize> = shape.iter().map(|&number| number as usize).collect();
        let mut strides = Vec::new();
        contiguous_strides(&narrow, &mut strides);
        assert!(is_contiguous(&narrow, &strides), "{shape:?}");
        let strides: Vec<u64> = strides.into_iter().map(to_u64).collect();
        let expected = if empty { 0 } else { product };
        assert_eq!(
            reach(shape, &strides).map(u128::from).unwrap(),
            expected,
            "{shape:?}"
        );
    });
}

/// The vectors of CVE-2024-21802, -23605, CVE-2025-53630, CVE-2026-27940, -33298 and what followed them:
/// products that wrap to 0, to a little, to all but a little; padding that wraps; sums that wrap.
#[test]
fn sizes_that_wrapped_elsewhere_are_refused_in_gguf_files() {
    let overflows: &[&[u64]] = &[
        &[1 << 32, 1 << 32],
        &[1 << 33, (1 << 31) + 1],
        &[1 << 16, 1 << 16, 1 << 16, 1 << 16],
        &[1 << 63, 2],
        &[u64::MAX],
        &[u64::MAX, u64::MAX],
        &[(1 << 32) - 1, (1 << 32) + 1],
        &[0, 1 << 63, 1 << 63],
        &[1 << 63, 0, 1 << 63],
        &[1 << 63, 1 << 63, 0],
        // As many bytes as fit, 16 short: the padding wraps.
        &[(1 << 62) - 4],
        &[1 << 61],
    ];
    for dimensions in overflows {
        // F32, F16, Q4_0, Q4_K.
        for type_id in [0, 1, 2, 12] {
            let file = Gguf::default().info(b"w", dimensions, type_id, 0).build();
            let error = Checkpoint::from_bytes(file).unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::Malformed,
                "{dimensions:?}: {error}"
            );
        }
    }
    // Two sizes below 2^63 whose sum is above it, at offsets that follow each other.
    let half = 1_u64 << 62;
    let file = Gguf::default()
        .info(b"a", &[half], 24, 0)
        .info(b"b", &[half], 24, half)
        .info(b"c", &[half], 24, half * 2)
        .info(b"d", &[half], 24, half * 3);
    let error = Checkpoint::from_bytes(file.build()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
}

#[test]
fn sizes_that_wrapped_elsewhere_are_refused_in_safetensors_files() {
    let half = 1_u64 << 62;
    let nine: Vec<String> = (0..9_u64)
        .map(|at| {
            let start = at.saturating_mul(u64::MAX / 9);
            let end = start.saturating_add(u64::MAX / 9);
            let size = end - start;
            format!(r#""{at}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let info = |shape: &str, end: u64| {
        format!(r#""x":{{"dtype":"U8","shape":{shape},"data_offsets":[0,{end}]}}"#)
    };
    let headers = [
        info("[4294967296,4294967296]", 0),
        info("[9223372036854775808,2]", 0),
        info("[0,9223372036854775808,9223372036854775808]", 0),
        info("[9223372036854775808,9223372036854775808,0]", 0),
        info("[18446744073709551615]", u64::MAX),
        info(&format!("[{half}]"), half),
        nine.join(","),
    ];
    for header in headers {
        let file = support::safetensors::build(&format!("{{{header}}}"), &[]);
        let error = Checkpoint::from_bytes(file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{header}: {error}");
    }
}
