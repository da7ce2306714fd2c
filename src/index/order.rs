//! Sorting that can be stopped: in short runs, which are then merged.

use crate::bytes::to_usize;
use crate::error::Result;
use crate::limits::Budget;

/// Positions that are sorted or merged between two looks at whether opening is still wanted.
const RUN: usize = 4096;

/// Positions in an order.
pub(crate) enum Order {
    /// As they are counted.
    Counted(std::ops::Range<u32>),
    Sorted(std::vec::IntoIter<u32>),
}

impl Iterator for Order {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            Self::Counted(positions) => positions.next(),
            Self::Sorted(positions) => positions.next(),
        }
    }
}

/// The positions below `count` in the order of their keys; those of one key as they are counted. Positions
/// that stand in that order already take no memory.
///
/// # Errors
/// `Limit` if the heap budget is spent, `Cancelled` if opening was stopped.
pub(crate) fn sorted<K: Ord>(
    count: u32,
    budget: &mut Budget,
    key: impl Fn(u32) -> K,
) -> Result<Order> {
    if is_sorted(count, budget, &key)? {
        return Ok(Order::Counted(0..count));
    }
    let length = to_usize(count.into()).unwrap_or(usize::MAX);
    let (mut from, mut to) = (Vec::new(), Vec::new());
    budget.reserve(&mut from, length)?;
    budget.reserve(&mut to, length)?;
    from.extend(0..count);
    for run in from.chunks_mut(RUN) {
        budget.look()?;
        run.sort_unstable_by(|&a, &b| key(a).cmp(&key(b)).then(a.cmp(&b)));
    }
    let mut sorted = RUN;
    while sorted < length {
        to.clear();
        for pair in from.chunks(sorted.saturating_mul(2)) {
            let (left, right) = pair.split_at_checked(sorted).unwrap_or((pair, &[]));
            merge(left, right, &mut to, budget, &key)?;
        }
        std::mem::swap(&mut from, &mut to);
        sorted = sorted.saturating_mul(2);
    }
    Ok(Order::Sorted(from.into_iter()))
}

fn is_sorted<K: Ord>(count: u32, budget: &Budget, key: &impl Fn(u32) -> K) -> Result<bool> {
    let mut last = None;
    for position in 0..count {
        if to_usize(position.into()).is_some_and(|position| position.is_multiple_of(RUN)) {
            budget.look()?;
        }
        let next = key(position);
        if last.is_some_and(|last| last > next) {
            return Ok(false);
        }
        last = Some(next);
    }
    Ok(true)
}

/// Merges two sorted runs behind what is in `to`.
fn merge<K: Ord>(
    mut left: &[u32],
    mut right: &[u32],
    to: &mut Vec<u32>,
    budget: &Budget,
    key: &impl Fn(u32) -> K,
) -> Result<()> {
    while let ([first, rest_left @ ..], [second, rest_right @ ..]) = (left, right) {
        if to.len().is_multiple_of(RUN) {
            budget.look()?;
        }
        if key(*second) < key(*first) {
            to.push(*second);
            right = rest_right;
        } else {
            to.push(*first);
            left = rest_left;
        }
    }
    to.extend_from_slice(left);
    to.extend_from_slice(right);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "sorts 100,000 numbers; the next test sorts too")]
    fn any_number_of_runs_is_sorted_and_stable() {
        for count in [0, 1, 2, 4095, 4096, 4097, 20_000, 70_001] {
            let keys: Vec<u32> = (0..count)
                .map(|at: u32| at.wrapping_mul(0x9e37_79b9) % 5003)
                .collect();
            let mut expected: Vec<u32> = (0..count).collect();
            expected.sort_by_key(|&position| keys[position as usize]);
            let key = |position: u32| keys[position as usize];
            let sorted = sorted(count, &mut Budget::default(), key).unwrap();
            assert!(sorted.eq(expected), "{count}");
        }
    }

    #[test]
    fn what_is_sorted_takes_no_memory() {
        let limits = crate::limits::Limits {
            heap_bytes: 0,
            ..crate::limits::Limits::default()
        };
        let mut budget = Budget::new(limits, crate::limits::Strictness::Strict);
        let order = sorted(10, &mut budget, |position| position / 2).unwrap();
        assert!(order.eq(0..10));
        assert!(sorted(10, &mut budget, |position| 10 - position).is_err());
    }

    /// How often `work` on 50,000 items asks whether to go on, if it is told to stop at the call `stop`.
    fn calls(stop: u32, work: impl Fn(&mut Budget) -> Result<()>) -> u32 {
        use std::ops::ControlFlow;
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let callback = move |_| match counted.fetch_add(1, Relaxed) {
            call if call == stop => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let job = Arc::new(crate::progress::Watcher::new(callback).job("testing"));
        let result = work(&mut Budget::default().watched(&job));
        let calls = calls.load(Relaxed);
        assert_eq!(result.is_err(), calls > stop, "{result:?}");
        calls
    }

    #[test]
    #[cfg_attr(miri, ignore = "sorts 50,000 numbers ten times")]
    fn sorting_and_entering_can_be_stopped_all_the_while() {
        const COUNT: u32 = 50_000;
        let names: Vec<String> = (0..COUNT).map(|at| format!("name {at}")).collect();
        let sort = |budget: &mut Budget| {
            sorted(COUNT, budget, |position| position.wrapping_mul(0x9e37_79b9)).map(drop)
        };
        let enter = |budget: &mut Budget| {
            let name_of = |position: u32| names[position as usize].as_bytes();
            crate::index::Names::enter(COUNT, name_of, budget).map(drop)
        };
        // Once a run of 4,096: entering once over, sorting the runs and four times merging them.
        for (work, least) in [
            (&sort as &dyn Fn(&mut Budget) -> Result<()>, 5 * 12),
            (&enter, 12),
        ] {
            let all = calls(u32::MAX, work);
            assert!(all >= least, "{all} calls");
            for stop in [0, 1, all / 2, all - 1] {
                assert_eq!(calls(stop, work), stop + 1);
            }
        }
    }
}
