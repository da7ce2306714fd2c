//! What walking a pickle costs in the budget.

#![allow(missing_docs, unreachable_pub)]

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
