//! Memory that cannot be had while models of many files are opened, folders are scanned and tensors are compared is
//! an error: each allocation of 48 KiB and more fails once.
//!
//! A failure that the library does not expect aborts the process: each case has a process of its own.

#![allow(missing_docs, unreachable_pub, unsafe_code)]

#[path = "support/allocation.rs"]
mod allocation;
mod support;

use std::path::Path;

use weighbridge::{Checkpoint, ErrorKind, OpenOptions, Result};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// As in `allocation_failure.rs`.
const LARGE: usize = 48 * 1024;

/// In the process of one case: its name.
const CHILD: &str = "WEIGHBRIDGE_FAILING_FOLDER";

/// So many files that each list of them is large.
const MANY: usize = 1_100;

fn safetensors(name: &str) -> Vec<u8> {
    let header = format!(r#"{{"{name}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#);
    support::safetensors::build(&header, &[1])
}

/// Shards and their index.
fn sharded(folder: &Path) {
    let mut map = Vec::new();
    for at in 0..MANY {
        let file = format!("{at}.safetensors");
        std::fs::write(folder.join(&file), safetensors(&format!("t{at}"))).unwrap();
        map.push(format!(r#""t{at}":"{file}""#));
    }
    let index = format!(r#"{{"weight_map":{{{}}}}}"#, map.join(","));
    std::fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
}

/// Shards that no index lists.
fn numbered(folder: &Path) {
    for no in 1..=MANY {
        let file = folder.join(format!("model-{no:05}-of-{MANY:05}.safetensors"));
        std::fs::write(file, safetensors(&format!("t{no}"))).unwrap();
    }
}

/// A model of one GGUF file that was split.
fn split(folder: &Path) {
    use support::gguf::Gguf;
    for no in 0..MANY as u32 {
        let file = Gguf::default()
            .pair("split.no".as_bytes(), support::gguf::U32, &no.to_le_bytes())
            .pair_u32("split.count", MANY as u32)
            .tensor(&format!("t{no}"), &[8], 0, &[0; 32])
            .build();
        let name = format!("model-{:05}-of-{MANY:05}.gguf", no + 1);
        std::fs::write(folder.join(name), file).unwrap();
    }
}

/// Models that have nothing to do with each other.
fn unrelated(folder: &Path) {
    for at in 0..3 * MANY {
        std::fs::write(folder.join(format!("{at}.safetensors")), safetensors("t")).unwrap();
    }
}

/// One tensor, whose values are compared by parts.
fn large(folder: &Path) {
    let header = r#"{"x":{"dtype":"F32","shape":[64,4096],"data_offsets":[0,1048576]}}"#;
    let file = support::safetensors::build(header, &[0; 1 << 20]);
    std::fs::write(folder.join("model.safetensors"), file).unwrap();
}

type Work = fn(&Path) -> Result<usize>;

fn open(folder: &Path) -> Result<usize> {
    let model = OpenOptions::new().open(folder)?;
    Ok(model.len() + model.files().len())
}

fn scan(folder: &Path) -> Result<usize> {
    weighbridge::scan(folder).map(|reports| reports.len())
}

fn one(folder: &Path) -> Result<Checkpoint> {
    weighbridge::open(folder.join("model.safetensors"))
}

/// Columns do not lie side by side.
fn compare(folder: &Path) -> Result<usize> {
    let model = one(folder)?;
    let columns = model.tensor("x")?.narrow(1, 1..)?;
    assert!(columns.has_same_elements(&columns.clone())?);
    Ok(columns.difference(&columns)?.values as usize)
}

fn validate(folder: &Path) -> Result<usize> {
    let model = one(folder)?;
    let columns = model.tensor("x")?.narrow(1, 1..)?;
    Ok(columns.validate()?.not_finite as usize)
}

/// A name, what is put into the folder, and what is done with it.
type Case = (&'static str, fn(&Path), Work);

const CASES: &[Case] = &[
    ("shards", sharded, open),
    ("numbered shards", numbered, open),
    ("split", split, open),
    ("unrelated files", unrelated, open),
    ("scan", unrelated, scan),
    ("compare", large, compare),
    ("validate", large, validate),
];

/// The process of one case.
#[test]
#[ignore = "started by the test below, for one case each"]
fn child() {
    let Some(wanted) = std::env::var_os(CHILD) else {
        return;
    };
    let (name, make, work) = CASES.iter().find(|(name, ..)| wanted == *name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let expected = work(folder.path()).map_err(|error| error.kind());
    let mut failures = 0;
    loop {
        let run = || work(folder.path());
        let (result, failed) = allocation::failing(LARGE, failures, run);
        match result {
            _ if !failed => {
                assert_eq!(result.map_err(|error| error.kind()), expected);
                break;
            }
            // A file of a folder that was not seen whole is told as such.
            Ok(found) => assert!(*name == "scan" && Ok(found) == expected, "{failures}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "{failures}: {error}"),
        }
        failures += 1;
    }
    println!("{name}: {failures} failures");
    assert!(failures > 0);
}

#[test]
fn memory_that_cannot_be_had_for_many_files_is_an_error() {
    support::children::check_all(CHILD, CASES.iter().map(|(name, ..)| *name));
}
