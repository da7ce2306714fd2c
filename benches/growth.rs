//! How long opening and scanning take when the input doubles, from 1,000 to a million things of each kind:
//! `cargo bench --bench growth -- [KIND]`. A ratio of 2 is linear; the bound is 2.3, and a quadratic step shows as
//! 4. With a number behind the kind, that file is read once, for counting instructions:
//! `valgrind --tool=none target/release/deps/growth-… "zip: members" 1024`. Figures stand in `README.md`.

#![allow(missing_docs)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use support::growth::{KINDS, Kind};
use weighbridge::{Limits, OpenOptions, Scanner};

fn limits() -> Limits {
    let mut limits = Limits::trusted();
    limits.heap_bytes = 4 << 30;
    limits
}

fn open(file: &'static [u8]) {
    let options = OpenOptions::new().limits(limits()).allow_dangerous(true);
    drop(options.from_bytes(file).expect("the file opens"));
}

fn scan(file: &'static [u8]) {
    drop(Scanner::new().limits(limits()).bytes(file));
}

/// The least of several times: other programs can only add to it.
fn least(work: impl Fn()) -> Duration {
    let start = Instant::now();
    let times = std::iter::repeat_with(|| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    let mut least = Duration::MAX;
    for (round, time) in times.take(200).enumerate() {
        least = least.min(time);
        if round >= 4 && start.elapsed() > Duration::from_millis(400) {
            break;
        }
    }
    least
}

fn measure(kind: &Kind) {
    for (job, work) in [("open", open as fn(&'static [u8])), ("scan", scan)] {
        let mut last: Option<Duration> = None;
        let mut worst: f64 = 0.0;
        let mut n = 1 << 10;
        let mut each = 0.0;
        while n <= kind.most {
            let file = (kind.file)(n).leak();
            let time = least(|| work(file));
            if let Some(last) = last {
                worst = worst.max(time.as_secs_f64() / last.as_secs_f64());
            }
            each = time.as_secs_f64() * 1e9 / file.len() as f64;
            last = Some(time);
            n *= 2;
        }
        let most = n / 2;
        println!(
            "| {} | {job} | {most} | {worst:.2} | {each:.2} |",
            kind.name
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|text| !text.starts_with("--"))
        .collect();
    let wanted = arguments.first().map(String::as_str);
    let kinds = KINDS
        .iter()
        .filter(|kind| wanted.is_none_or(|wanted| kind.name.contains(wanted)));
    if let Some(n) = arguments.get(1) {
        let n = n.parse().expect("a number of things");
        for kind in kinds {
            let file = (kind.file)(n).leak();
            open(file);
        }
        return;
    }
    println!(
        "| kind | job | to | worst ratio per doubling | ns per byte at the end |\n|---|---|---|---|---|"
    );
    kinds.for_each(measure);
}
