//! Files that are read while one allocation after the other fails: in a process of its own each, because a failure
//! that the library does not expect aborts it.

#![allow(dead_code, reason = "each test uses a part")]

use weighbridge::{
    Access, Checkpoint, ErrorKind, Limits, OpenOptions, Result, Scanner, Strictness, Verdict,
};

use crate::allocation;
use crate::support::children;

/// Allocations of this many bytes and more have a size that comes from the file: the largest of a size of its
/// own is the state of the inflater, 43,296 bytes.
const LARGE: usize = 48 * 1024;

/// Dimensions of one tensor whose sizes need a large allocation.
pub const LONG_RANK: usize = 8_192;

/// Levels of nested arrays whose counts need a large allocation.
pub const LONG_DEPTH: usize = 8_192;

/// In the process of one file: its name.
const CHILD: &str = "WEIGHBRIDGE_FAILING_FILE";

/// A file that is made.
pub struct Made {
    name: &'static str,
    make: fn() -> Vec<u8>,
    /// Whether it is read with and without failures, and needs large allocations for both reading and scanning.
    accepted: bool,
}

impl Made {
    pub const fn accepted(name: &'static str, make: fn() -> Vec<u8>) -> Self {
        let accepted = true;
        Self {
            name,
            make,
            accepted,
        }
    }

    /// A file that may be refused, and of which little may be copied.
    pub const fn any(name: &'static str, make: fn() -> Vec<u8>) -> Self {
        let accepted = false;
        Self {
            name,
            make,
            accepted,
        }
    }
}

/// Runs `work` with one failure after the other until there is none left; how many there were.
fn each_failure<T>(work: impl Fn() -> T, check: impl Fn(usize, T)) -> usize {
    for place in 0.. {
        let (result, failed) = allocation::failing(LARGE, place, &work);
        if !failed {
            return place;
        }
        check(place, result);
    }
    unreachable!()
}

fn out_of_memory(place: usize, result: Result<Checkpoint>) {
    let error = result
        .err()
        .unwrap_or_else(|| panic!("failure {place} went unnoticed"));
    assert_eq!(error.kind(), ErrorKind::Io, "{place}: {error}");
    let cause = std::error::Error::source(&error).unwrap();
    let cause = cause.downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(
        cause.kind(),
        std::io::ErrorKind::OutOfMemory,
        "{place}: {error}"
    );
}

/// Opens `bytes` with each failure: how many there were.
fn opened(name: &str, options: &OpenOptions, bytes: &'static [u8], used: fn(&Checkpoint)) -> usize {
    let whole = options.from_bytes(bytes);
    let refused = whole.is_err();
    println!(
        "{name}: {}",
        match &whole {
            Ok(_) => String::from("accepted"),
            Err(error) => error.to_string(),
        }
    );
    drop(whole);
    let open = || {
        let opened = options.from_bytes(bytes);
        if let Ok(opened) = &opened {
            used(opened);
        }
        opened
    };
    each_failure(open, |place, result| match refused {
        true => assert!(result.is_err(), "failure {place} made it right"),
        false => out_of_memory(place, result),
    })
}

/// The process of one file: every way to read it, and what `used` does with what was read.
pub fn child(table: &[Made], used: fn(&Checkpoint)) {
    let Some(name) = std::env::var_os(CHILD) else {
        return;
    };
    let name = name.into_string().unwrap();
    let made = table.iter().find(|made| made.name == name).unwrap();
    let bytes: &'static [u8] = (made.make)().leak();
    let _ = weighbridge::policy::Policy::default();
    let mut limits = Limits::default();
    limits.rank = LONG_RANK as u64;
    limits.array_depth = LONG_DEPTH as u64;
    let strict = OpenOptions::new().limits(limits).allow_dangerous(true);
    let lenient = strict.clone().strictness(Strictness::Lenient);
    if made.accepted {
        let whole = lenient.from_bytes(bytes);
        assert!(whole.is_ok(), "{name}: {whole:?}");
    } else {
        let opens = opened(&name, &strict, bytes, used);
        println!("{name}: {opens} failures of opening, strictly");
    }
    let opens = opened(&name, &lenient, bytes, used);
    println!("{name}: {opens} failures of opening");
    if bytes.len() >= LARGE {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let reading = lenient.clone().access(Access::Read);
        let (read, failed) = allocation::failing(LARGE, 0, || reading.open(&path));
        assert!(failed);
        out_of_memory(0, read);
    }
    let scanner = Scanner::new();
    let before = scanner.bytes(bytes).verdict();
    let scans = each_failure(
        || scanner.bytes(bytes),
        |place, report| {
            let verdict = report.verdict();
            let told = verdict == Verdict::Incomplete || verdict == before;
            assert!(told, "{place}: {verdict} {:?}", report.findings);
        },
    );
    println!("{name}: {scans} failures of scanning, {before}");
    assert!(opens > 0 && scans > 0 || !made.accepted);
}

/// Starts the process of each file.
pub fn check_all(table: &[Made]) {
    children::check_all(CHILD, table.iter().map(|made| made.name));
}
