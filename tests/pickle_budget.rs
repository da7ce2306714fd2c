//! What walking a pickle costs in the budget.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::torch::{call, checkpoint, pickle_of};
use weighbridge::OpenOptions;
use weighbridge::formats::pickle::load;
use weighbridge::limits::Budget;

/// The letters of a text with escapes are charged before they are written: no more than two for each of the line.
#[test]
fn decoded_texts_are_charged() {
    let least = |letters: usize| {
        let stream = format!("S'{}'\n.", "x".repeat(letters));
        let fits = |heap_bytes: u64| {
            let mut limits = weighbridge::Limits::default();
            limits.heap_bytes = heap_bytes;
            let mut budget = Budget::new(limits, weighbridge::Strictness::Strict);
            load(stream.as_bytes(), 0, &mut (), &mut budget).is_ok()
        };
        (0..100_000).find(|&heap_bytes| fits(heap_bytes)).unwrap()
    };
    assert_eq!(least(3_000) - least(1_000), 2 * 2_000);
}

/// A value that the stack drops again stays one of the pickle's: 64 bits of each integer at least are kept.
#[test]
fn values_that_nothing_refers_to_are_charged() {
    let count = 100_000;
    // BININT of 256, POP; an integer for STOP at last.
    let stream = [[b'J', 0, 1, 0, 0, b'0'].repeat(count), b"K\0.".to_vec()].concat();
    let mut limits = weighbridge::Limits::default();
    limits.heap_bytes = 8 * count as u64 - 1;
    let mut budget = Budget::new(limits, weighbridge::Strictness::Strict);
    let error = load(&stream, 0, &mut (), &mut budget).err().unwrap();
    assert_eq!(error.as_limit().unwrap().0, "heap_bytes");
}

/// The first opcode beyond the limit is refused, whether it is a frequent one or not.
#[test]
fn the_first_opcode_beyond_the_limit_is_refused() {
    for opcode in *b"N]" {
        let mut limits = weighbridge::Limits::default();
        limits.pickle_opcodes = 10;
        let mut budget = Budget::new(limits, weighbridge::Strictness::Strict);
        let error = load(&[opcode; 20], 0, &mut (), &mut budget).err().unwrap();
        assert_eq!(error.as_limit(), Some(("pickle_opcodes", 11, 10)));
        assert_eq!(error.offset(), Some(10));
    }
}

/// Of each attribute that is listed the name (a pointer and a length) and the value are kept, beside the pair in the
/// dict: 24 bytes at least.
#[test]
fn listed_attributes_are_charged() {
    let count = 10_000;
    let state = [&b"}("[..], &b"K\0N".repeat(count), b"u"].concat();
    let object = [call("my.module", "MyClass", &[]), state, b"b".to_vec()].concat();
    let file = checkpoint(&pickle_of(object));
    let open = |limits| {
        let options = OpenOptions::new().limits(limits).allow_dangerous(true);
        options.from_bytes(file.clone())
    };
    let mut limits = weighbridge::Limits::default();
    assert!(open(limits).is_ok());
    limits.heap_bytes = 24 * count as u64;
    let error = open(limits).unwrap_err();
    assert_eq!(error.as_limit().unwrap().0, "heap_bytes");
}
