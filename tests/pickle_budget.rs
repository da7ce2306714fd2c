//! What walking a pickle costs in the budget, and what is given back.

#![allow(missing_docs, unreachable_pub)]

use weighbridge::formats::pickle::load;
use weighbridge::limits::Budget;

/// Lists grow by steps; what is left of them when all is read is given back.
#[test]
fn a_small_pickle_leaves_the_budget_as_it_was() {
    let mut limits = weighbridge::Limits::default();
    limits.heap_bytes = 10_000;
    let mut budget = Budget::new(limits, weighbridge::Strictness::Strict);
    for _ in 0..100 {
        load(b"N.", 0, &mut (), &mut budget).unwrap();
        // The stack of a walk, of 16 values of 4 bytes, is charged and never grows back.
        budget.refund_heap(64);
    }
    budget.spend_heap(6_000).unwrap();
}

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
