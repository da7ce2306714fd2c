//! The pickle machine beside CPython's own unpickler, on a million mutated pickles.
//!
//! Needs CPython 3.11, so it is not run by default:
//!
//! ```sh
//! PYTHON=python3.11 COUNT=1000000 cargo test --release --test cpython -- --ignored --nocapture
//! ```
//!
//! CPython runs with an inert stand-in for every global: nothing is imported, nothing called.

#![allow(missing_docs, unreachable_pub)]

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::process::{Command, Stdio};

use weighbridge::ErrorKind;
use weighbridge::formats::pickle::{Anomaly, Event, EventKind, Tree, walk};
use weighbridge::limits::Budget;

/// What the walk of one pickle gave.
struct Walked {
    globals: Vec<String>,
    anomalies: Vec<Anomaly>,
    extension: bool,
    error: Option<weighbridge::Error>,
}

fn walked(pickle: &[u8]) -> Walked {
    let (mut globals, mut anomalies, mut extension) = (Vec::new(), Vec::new(), false);
    let mut sink = |event: &Event, tree: &Tree<'_>| match event.kind {
        EventKind::Global(id) => {
            let global = tree.global(id).unwrap();
            let name = format!("{}\t{}", global.raw_module, global.raw_name);
            globals.push(name.replace('\n', "\r"));
        }
        EventKind::Anomaly(anomaly) => anomalies.push(anomaly),
        EventKind::Extension(_) => extension = true,
        _ => {}
    };
    let error = walk(pickle, 0, &mut sink, &mut Budget::default()).err();
    Walked {
        globals,
        anomalies,
        extension,
        error,
    }
}

/// Decided differences: where ours refuses what CPython takes. Integers and floats that no pickler
/// writes so; names that are empty. The text is part of our error.
const STRICTER: &[&str] = &["a decimal integer", "a float", "a global", "a memo index"];

/// The class of a pickle: `same`, a decided difference, or `None` for a bug.
fn class(ours: &Walked, outcome: &str, theirs: &[&str]) -> Option<&'static str> {
    let accepts = outcome == "accept";
    let framed = ours.anomalies.contains(&Anomaly::Frame);
    let error = ours.error.as_ref().map(ToString::to_string);
    if framed
        || error
            .as_ref()
            .is_some_and(|error| error.contains("a frame"))
    {
        return Some("frames are checked");
    }
    // Never less than CPython asked for, and nothing else.
    let common = ours.globals.len().min(theirs.len());
    if ours.globals[..common] != theirs[..common] {
        return None;
    }
    let complete = ours.globals.len() >= theirs.len();
    match (accepts, &error) {
        (true, None) => (ours.globals == theirs).then_some("same: accepted"),
        (true, Some(error)) => STRICTER
            .iter()
            .find(|&&stricter| error.contains(stricter))
            .map(|_| "refused: numbers and names that no pickler writes"),
        (false, Some(_)) => {
            let stricter = error.is_some_and(|e| STRICTER.iter().any(|&s| e.contains(s)));
            (complete || stricter).then_some("same: rejected")
        }
        (false, None) if !complete => None,
        (false, None) if !ours.anomalies.is_empty() => Some("same: rejected, an anomaly here"),
        (false, None) if ours.extension => Some("an extension, which nothing registered"),
        (false, None) => None,
    }
}

#[test]
#[ignore = "needs CPython 3.11 and minutes"]
fn same_globals_and_same_verdict_as_cpython() {
    let setting = |name: &str, otherwise: &str| std::env::var(name).unwrap_or(otherwise.to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/cpython.py");
    let count = setting("COUNT", "1000000");
    let mut python = Command::new(setting("PYTHON", "python3.11"))
        .args([script, &setting("SEED", "1"), &count])
        .stdout(Stdio::piped())
        // It warns of odd escapes.
        .stderr(Stdio::null())
        .spawn()
        .expect("Python runs");
    let mut records = BufReader::new(python.stdout.take().unwrap());
    let mut next = || -> Option<Vec<u8>> {
        let mut length = [0; 4];
        records.read_exact(&mut length).ok()?;
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        records.read_exact(&mut bytes).expect("a whole record");
        Some(bytes)
    };
    let mut classes: BTreeMap<&str, u64> = BTreeMap::new();
    let mut wrong: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut seen: u64 = 0;
    while let Some(pickle) = next() {
        let text = String::from_utf8_lossy(&next().expect("an outcome")).into_owned();
        let mut lines = text.lines();
        let outcome = lines.next().unwrap_or_default();
        let theirs: Vec<&str> = text.split('\n').skip(1).collect();
        let ours = walked(&pickle);
        seen += 1;
        assert!(
            ours.error
                .as_ref()
                .is_none_or(|e| e.kind() != ErrorKind::Caller),
            "{:?}",
            ours.error
        );
        match class(&ours, outcome, &theirs) {
            Some(class) => *classes.entry(class).or_default() += 1,
            None => {
                let what = ours.error.map_or("accepted".into(), |e| e.to_string());
                let example = format!(
                    "{}\n    ours {what}, {:?}\n    theirs {theirs:?}",
                    pickle.escape_ascii(),
                    ours.globals
                );
                let slot = wrong.entry(outcome.to_owned()).or_insert((0, example));
                slot.0 += 1;
            }
        }
    }
    assert!(python.wait().unwrap().success());
    println!("{seen} pickles");
    for (class, count) in &classes {
        println!("{count:9}  {class}");
    }
    for (outcome, (count, example)) in &wrong {
        println!("{count:9}  CPython: {outcome}, for example {example}");
    }
    assert_eq!(seen.to_string(), count);
    assert!(wrong.is_empty());
}
