//! What memory of the library costs in the budget of a file: how buffers grow, and what is charged before they do.

#![allow(missing_docs, unreachable_pub)]

use std::collections::HashMap;

use weighbridge::limits::{Budget, Limits};
use weighbridge::{Error, Strictness};

fn budget(heap_bytes: u64) -> Budget {
    let mut limits = Limits::default();
    limits.heap_bytes = heap_bytes;
    Budget::new(limits, Strictness::Strict)
}

/// What `work` charges: with so much it succeeds, with one byte less it is refused.
fn charge(expected: u64, work: impl Fn(&mut Budget) -> Result<(), Error>) {
    work(&mut budget(expected)).unwrap();
    if expected > 0 {
        let error = work(&mut budget(expected - 1)).unwrap_err();
        let limit = Some(("heap_bytes", expected, expected - 1));
        assert_eq!(error.as_limit(), limit);
    }
}

/// By half up to 65,536 elements, then by an eighth, and by 16 at least.
#[test]
fn lists_grow_by_half_then_by_an_eighth() {
    for (length, step) in [
        (0, 16),
        (1, 16),
        (33, 16),
        (34, 17),
        (1_000, 500),
        (65_534, 32_767),
        (65_535, 32_767),
        (65_536, 8_192),
        (65_552, 8_194),
        (1_000_000, 125_000),
    ] {
        let full = || {
            let mut list: Vec<u16> = Vec::new();
            list.reserve_exact(length);
            list.resize(length, 7);
            assert_eq!(list.capacity(), length);
            list
        };
        charge(2 * step, |budget| budget.grow(&mut full()));
        let mut list = full();
        budget(u64::MAX).grow(&mut list).unwrap();
        assert_eq!(list.capacity() - length, step as usize, "{length}");
        // There is room now.
        charge(0, |budget| {
            budget.grow(&mut Vec::<u16>::with_capacity(list.capacity()))
        });
    }
}

#[test]
fn room_that_a_text_has_costs_nothing() {
    let text = |length: usize, capacity: usize| {
        let mut text = String::new();
        text.reserve_exact(capacity);
        text.push_str(&"x".repeat(length));
        assert_eq!(text.capacity(), capacity);
        text
    };
    // Length, capacity and what is wanted; what is charged: at least half of what there is.
    for (length, capacity, wanted, charged) in [
        (0, 0, 1, 1),
        (10, 10, 0, 0),
        (10, 10, 1, 5),
        (10, 10, 5, 5),
        (10, 10, 6, 6),
        (10, 20, 10, 0),
        (10, 20, 11, 11),
        (100, 150, 51, 51),
        (100, 120, 21, 50),
        (101, 101, 1, 50),
    ] {
        charge(charged, |budget| {
            let mut text = text(length, capacity);
            budget.room(&mut text, wanted)?;
            assert!(text.capacity() >= length + wanted);
            Ok(())
        });
    }
}

#[test]
fn joined_texts_cost_their_length() {
    charge(7, |budget| {
        let joined = budget.join(&["abc", "", "defg"])?;
        assert_eq!(joined, "abcdefg");
        Ok(())
    });
}

/// 17 bytes for each pair of two 8-byte numbers: a byte of control stands beside them. 8 pairs at first.
#[test]
fn maps_grow_by_as_many_as_they_hold() {
    charge(8 * 17, |budget| {
        budget.grow_map(&mut HashMap::<u64, u64>::new())
    });
    let full = || {
        let mut map: HashMap<u64, u64> = HashMap::with_capacity(14);
        map.extend((0..map.capacity() as u64).map(|key| (key, key)));
        map
    };
    let keys = full().len() as u64;
    assert!(keys >= 14);
    charge(keys * 17, |budget| {
        let mut map = full();
        budget.grow_map(&mut map)?;
        assert!(map.capacity() as u64 > keys);
        Ok(())
    });
    charge(0, |budget| {
        budget.grow_map(&mut HashMap::<u64, u64>::with_capacity(1))
    });
}

#[test]
fn what_is_given_back_can_be_spent_again() {
    let mut budget = budget(10);
    budget.spend_heap(10).unwrap();
    budget.spend_heap(1).unwrap_err();
    budget.refund_heap(4);
    budget.spend_heap(4).unwrap();
    budget.spend_heap(1).unwrap_err();
    // More than was spent: nothing is left to give back.
    budget.refund_heap(1_000);
    budget.spend_heap(10).unwrap();
    budget.spend_heap(1).unwrap_err();
}
