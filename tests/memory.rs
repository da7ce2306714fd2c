//! What opening and scanning may hold at one time, counted by the allocator for every file of the tree, every
//! malformed one and every seed of the fuzzers, and for small files that claim much.
//!
//! The bound is 64 KiB + 4 × the bytes of metadata: all that is not the data of a tensor, and what compressed
//! members inflate to.

#![allow(missing_docs, unreachable_pub, unsafe_code)]

#[path = "support/allocation.rs"]
mod allocation;
mod support;

use std::io::Read;
use std::path::{Path, PathBuf};

use weighbridge::{Checkpoint, Content, OpenOptions, Scanner, Strictness};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// Memory is counted for the whole process: one test at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    let guard = ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    // Made once for the whole program.
    let _ = weighbridge::policy::Policy::default();
    guard
}

const SMALL: usize = 64 * 1024;

/// Every way to read a file.
const WAYS: [&str; 4] = ["strict", "lenient", "dangerous", "scan"];

fn options(way: &str) -> OpenOptions {
    OpenOptions::new()
        .strictness(if way == "strict" {
            Strictness::Strict
        } else {
            Strictness::Lenient
        })
        .allow_dangerous(way == "dangerous")
}

/// Peak heap of reading `file`, beyond the file itself.
fn peak(file: &'static [u8], way: &str) -> usize {
    let options = options(way);
    allocation::peak(|| match way {
        "scan" => drop(Scanner::new().bytes(file)),
        _ => drop(options.from_bytes(file)),
    })
}

/// Bytes that are not the data of a tensor; all of a file that does not open.
fn metadata_bytes(file: &'static [u8]) -> usize {
    let opened = options("dangerous").from_bytes(file);
    let tensors: u64 = opened.map_or(0, |model: Checkpoint| {
        let regions = model.layout();
        let tensors = regions
            .iter()
            .filter(|region| matches!(region.content, Content::Tensor(_)));
        tensors.map(|region| region.length).sum()
    });
    file.len() - tensors as usize + inflated_bytes(file)
}

/// What a gzip file, or the deflated members of a zip, inflate to.
fn inflated_bytes(file: &[u8]) -> usize {
    if file.starts_with(b"\x1f\x8b") {
        let mut bytes = Vec::new();
        let _ = flate2::read::GzDecoder::new(file).read_to_end(&mut bytes);
        return bytes.len();
    }
    let records = file.windows(4).enumerate();
    let records = records.filter(|(_, bytes)| bytes == b"PK\x01\x02");
    let number = |at: usize, bytes: usize| {
        let bytes = file.get(at..at + bytes).unwrap_or_default();
        bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | usize::from(byte))
    };
    records
        .filter(|(at, _)| number(at + 10, 2) == 8)
        // No more than deflate could give.
        .map(|(at, _)| number(at + 24, 4).min(1032 * number(at + 20, 4)))
        .sum()
}

/// Every file of the tree that is no text, and every seed.
fn files() -> Vec<PathBuf> {
    let mut files = support::files_below(&support::file(""));
    files.retain(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        !matches!(extension, Some("py" | "err" | "json" | "jsonl" | "txt"))
    });
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    files.extend(support::files_below(&seeds));
    files
}

#[test]
fn every_file_is_read_within_4_times_its_metadata() {
    let _alone = alone();
    let files = files();
    let mut worst = Vec::new();
    for path in &files {
        let bytes: &'static [u8] = std::fs::read(path).unwrap().leak();
        let metadata = metadata_bytes(bytes);
        for way in WAYS {
            let peak = peak(bytes, way);
            let ratio = peak.saturating_sub(SMALL) as f64 / metadata.max(1) as f64;
            worst.push((ratio, peak, metadata, way, path.clone()));
        }
    }
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (ratio, peak, metadata, way, path) in worst.iter().take(12) {
        println!(
            "{ratio:.2} ({peak} for {metadata}) {way} {}",
            path.display()
        );
    }
    let (ratio, .., path) = &worst[0];
    assert!(*ratio <= 4.0, "{}: {ratio:.2}", path.display());
    assert!(files.len() > 600, "{} files", files.len());
}
