//! Twice the input is twice the work: what opening and scanning ask of the allocator, and how often they look at
//! their limits, for files of 1,000 to a million things of each kind. Times stand in `benches/growth.rs`.

#![allow(missing_docs, unreachable_pub, unsafe_code)]

#[path = "support/allocation.rs"]
mod allocation;
mod support;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use support::growth::KINDS;
use weighbridge::{Limits, OpenOptions, Scanner};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// Twice, and room for lists that grow by steps.
const MOST: f64 = 2.3;

/// What is counted of one file.
struct Work {
    allocations: usize,
    bytes: usize,
    /// How often the readers asked whether to go on: each stands for 256 checks of a limit.
    looks: usize,
}

fn limits() -> Limits {
    let mut limits = Limits::trusted();
    limits.heap_bytes = 4 << 30;
    limits
}

fn work(file: &'static [u8]) -> Work {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let options = OpenOptions::new().limits(limits()).allow_dangerous(true);
    let options = options.progress(move |_| {
        counted.fetch_add(1, Relaxed);
        ControlFlow::Continue(())
    });
    let (allocations, bytes) = allocation::total(|| {
        let opened = options.from_bytes(file);
        assert!(opened.is_ok(), "{:?}", opened.err());
        drop(opened);
        drop(Scanner::new().limits(limits()).bytes(file));
    });
    Work {
        allocations,
        bytes,
        looks: looks.load(Relaxed),
    }
}

fn grows(from: usize, to: usize) {
    let _ = weighbridge::policy::Policy::default();
    for kind in KINDS {
        let mut last: Option<Work> = None;
        // Lists of more than 64 Ki elements grow by an eighth, not by half: for the doubling at which they begin
        // to, they are given more bytes. A kind of file has two such lists at most.
        let mut smaller_steps = 0;
        let mut n = from;
        while n <= to.min(kind.most) {
            let now = work((kind.file)(n).leak());
            if let Some(last) = &last {
                let pairs = [
                    ("allocations", last.allocations, now.allocations, 64),
                    ("bytes", last.bytes, now.bytes, 64 * 1024),
                    ("looks", last.looks, now.looks, 16),
                ];
                for (what, before, after, free) in pairs {
                    let ratio = after as f64 / (before + free) as f64;
                    let large = what == "bytes" && n >= 64 * 1024 && ratio < 2.0 * MOST;
                    if large && ratio > MOST && smaller_steps < 2 {
                        smaller_steps += 1;
                        continue;
                    }
                    assert!(
                        ratio <= MOST,
                        "{}: {what} grow {ratio:.2}-fold from {} to {n}",
                        kind.name,
                        n / 2
                    );
                }
            }
            println!(
                "{} {n}: {} allocations, {} bytes, {} looks",
                kind.name, now.allocations, now.bytes, now.looks
            );
            last = Some(now);
            n *= 2;
        }
    }
}

#[test]
fn work_doubles_with_the_input() {
    grows(1 << 9, 1 << 11);
}

#[test]
#[ignore = "takes minutes: cargo test --release --test growth -- --ignored"]
fn work_doubles_up_to_a_million() {
    grows(1 << 11, 1 << 20);
}
