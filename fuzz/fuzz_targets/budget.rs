//! Readers beside their budget, for any bytes as any format.
//!
//! - The heap that is really held never exceeds `Limits::heap_bytes`, wherever that cuts, but for a small
//!   allowance; and without a cut it is at most a multiple of the file.
//! - With one limit cut to any number, reading gives the same, or fails; where it succeeded before, with an
//!   error that names this limit. Only values beside a checkpoint's tensors may be left out, and a finding
//!   then says so.
//!
//! Which limit is cut, and where, is chosen by a hash of the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge::formats::{self, Parsed};
use weighbridge::limits::{Budget, Limit};
use weighbridge::{Error, Limits, Strictness};
use weighbridge_fuzz::builders::torch::checkpoint;
use weighbridge_fuzz::{files, heap, using};

#[global_allocator]
static ALLOCATOR: heap::Watched = heap::Watched;

/// What is not charged: names in errors and findings, and what inflates (see `limits`).
const ALLOWANCE: usize = 128 << 10;

fuzz_target!(init: warm_up(), |data: &[u8]| {
    let file = match data.first() {
        Some(0x80) if files::choice(data) & 1 == 0 => checkpoint(data),
        _ => data.to_vec(),
    };
    let strictness = match files::choice(data) & 2 {
        0 => Strictness::Strict,
        _ => Strictness::Lenient,
    };
    let (whole, held) = read(&file, limits(), strictness);
    assert!(
        held <= ALLOWANCE + 16 * file.len(),
        "{held} bytes held for a file of {}",
        file.len()
    );
    let choice = files::choice(data) >> 8;
    let limit = Limit::ALL[choice as usize % Limit::ALL.len()];
    let cut = (choice >> 8) & ((2 << ((choice >> 32) % 18)) - 1);
    let mut limits = limits();
    *limit.of_mut(&mut limits) = cut.min(limit.of(&limits));
    let (result, held) = read(&file, limits, strictness);
    assert!(
        held as u64 <= limits.heap_bytes + ALLOWANCE as u64,
        "{held} bytes held within a limit of {}",
        limits.heap_bytes
    );
    match (whole, result) {
        (Ok(_), Ok(result)) if leaves_out(&result) => {}
        (Ok(whole), Ok(result)) => {
            assert_eq!(listing(&whole), listing(&result), "{}", limit.name())
        }
        (Ok(_), Err(error)) => {
            let named = error.as_limit().map(|(name, ..)| name);
            assert_eq!(named, Some(limit.name()), "{error}");
        }
        (Err(error), Ok(_)) => panic!(
            "{} cut, and a file opens that did not: {error}",
            limit.name()
        ),
        (Err(_), Err(_)) => {}
    }
});

/// Tables that are made once and kept are no file's.
fn warm_up() {
    drop(read(b"\x80\x02N.", limits(), Strictness::Strict));
}

fn limits() -> Limits {
    let mut limits = using::limits();
    // Inflated members have a budget of their own.
    limits.inflated_bytes = 32 << 10;
    limits
}

/// Reads a file; gives also the most heap that was held meanwhile.
fn read(file: &[u8], limits: Limits, strictness: Strictness) -> (Result<Parsed, Error>, usize) {
    heap::peak(|| formats::read(file, &mut Budget::new(limits, strictness)))
}

fn leaves_out(parsed: &Parsed) -> bool {
    let mut findings = parsed.index.findings().as_slice().iter();
    findings.any(|finding| finding.code == "metadata-limit")
}

/// What was read, as text.
fn listing(parsed: &Parsed) -> (Vec<String>, Vec<(&'static str, Option<u64>)>) {
    let entries = parsed.index.iter().map(|entry| {
        let (name, dtype) = (entry.name(), entry.dtype_name());
        let (shape, strides) = (entry.shape(), entry.strides());
        format!(
            "{name:?} {dtype:?} {shape:?} {strides:?} {:?} {}",
            entry.span(),
            entry.source()
        )
    });
    let findings = parsed.index.findings().as_slice().iter();
    let findings = findings.map(|finding| (finding.code, finding.offset));
    (entries.collect(), findings.collect())
}
