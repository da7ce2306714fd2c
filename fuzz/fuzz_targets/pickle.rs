//! Any bytes as a pickle: alone, as the pickle of a checkpoint, and as the description of a distributed one.
//!
//! The walk is deterministic, and its events come in the order of their offsets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge::Strictness;
use weighbridge::formats::pickle::{Event, Tree, walk};
use weighbridge::formats::torch::distributed;
use weighbridge::limits::Budget;
use weighbridge_fuzz::using::{limits, open_and_use};

fuzz_target!(|data: &[u8]| {
    let walk = || {
        let mut offsets = Vec::new();
        let mut sink = |event: &Event, _: &Tree<'_>| offsets.push(event.offset);
        let result = walk(
            data,
            0,
            &mut sink,
            &mut Budget::new(limits(), Strictness::Strict),
        );
        (offsets, result.map_err(|error| error.to_string()))
    };
    let (offsets, result) = walk();
    assert!(offsets.is_sorted());
    assert_eq!((offsets, result), walk());
    let mut budget = Budget::new(limits(), Strictness::Strict);
    let _ = distributed::read(data, &mut budget);
    open_and_use(data);
});
