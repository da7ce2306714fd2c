//! The verdict on every odd file that is known to part readers, one table for each container and one for
//! what crosses them: what the reference implementations do, what a strict and a lenient reader should do,
//! and what this one does. A row that differs from what it should be says why.
//!
//! Nothing here opens a file but the rows of indexes, so that the tables run under Miri too: the same
//! verdicts with 32 bits and with the other byte order. `WEIGHBRIDGE_VERDICTS=1` prints a line for each
//! row, to compare between machines (`tests/other_targets.sh`).

#![allow(missing_docs, unreachable_pub)]

mod support;
mod verdicts {
    pub mod across;
    pub mod files;
    pub mod gguf;
    pub mod safetensors;
    pub mod zip;
}

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use weighbridge::policy::Tier;
use weighbridge::{
    Checkpoint, ErrorKind, Limits, OpenOptions, Policy, Result, Scanner, Strictness,
};

/// What a reader should do by the table of odd files, or what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Accept,
    /// Accept, and say what is odd.
    Warn,
    Reject,
}

/// What this reader does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ours {
    Accepted,
    /// Accepted with findings of these codes.
    Noted(&'static [&'static str]),
    /// [`Malformed::code`](weighbridge::error::Malformed::code).
    Malformed(&'static str),
    /// What the message names.
    Unsupported(&'static str),
    /// [`Error::as_limit`](weighbridge::Error::as_limit).
    Limit(&'static str),
}

use Class::{Accept, Reject, Warn};

impl Ours {
    const fn class(self) -> Class {
        match self {
            Self::Accepted => Accept,
            Self::Noted(_) => Warn,
            _ => Reject,
        }
    }
}

/// One odd file.
pub struct Row {
    name: String,
    /// What others do, as measured: `torch 2.15.0`, Python's `zipfile`, Rust's `zip`, the crate
    /// `safetensors` 0.8.0, ggml, candle.
    #[allow(dead_code, reason = "for the reader of the table")]
    peers: &'static str,
    /// What a strict and a lenient reader should do.
    table: [Class; 2],
    input: Input,
    limits: Limits,
    /// What this one does, strict and lenient.
    ours: [Ours; 2],
    /// Why a verdict differs from the table.
    why: &'static str,
    /// Why a scan calls it safe though a reader refuses it.
    safe: &'static str,
    /// Not for an interpreter: too large, or files.
    native: bool,
}

/// What is opened.
enum Input {
    Bytes(Vec<u8>),
    /// Files of one folder, of which the first is opened.
    Files(Vec<(String, Vec<u8>)>),
}

/// A row of which strict and lenient readers should think the same.
pub fn both(name: impl Into<String>, peers: &'static str, class: Class, bytes: Vec<u8>) -> Row {
    row(name, peers, [class, class], bytes)
}

/// A row with what a strict and what a lenient reader should do.
pub fn row(name: impl Into<String>, peers: &'static str, table: [Class; 2], bytes: Vec<u8>) -> Row {
    Row {
        name: name.into(),
        peers,
        table,
        input: Input::Bytes(bytes),
        limits: Limits::default(),
        ours: [Ours::Accepted; 2],
        why: "",
        safe: "",
        native: false,
    }
}

impl Row {
    /// What this reader does, strict or lenient.
    pub fn is(mut self, ours: Ours) -> Self {
        self.ours = [ours; 2];
        self
    }

    /// What this reader does in lenient mode, where that is another verdict.
    pub fn lenient(mut self, ours: Ours) -> Self {
        self.ours[1] = ours;
        self
    }

    /// Why that differs from the table.
    pub fn because(mut self, why: &'static str) -> Self {
        self.why = why;
        self
    }

    /// Why a scan calls it safe all the same.
    pub fn scanned_safe(mut self, why: &'static str) -> Self {
        self.safe = why;
        self
    }

    pub fn limits(mut self, change: impl Fn(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub fn native(mut self) -> Self {
        self.native = true;
        self
    }

    /// Files instead of bytes; the first is opened.
    pub fn files(mut self, files: Vec<(String, Vec<u8>)>) -> Self {
        self.input = Input::Files(files);
        self.native()
    }

    fn open(&self, strictness: Strictness) -> Result<Checkpoint> {
        let options = OpenOptions::new()
            .limits(self.limits)
            .strictness(strictness)
            .policy(policy());
        match &self.input {
            Input::Bytes(bytes) => options.from_bytes(bytes.clone()),
            Input::Files(files) => {
                let folder = tempfile::tempdir().unwrap();
                for (name, bytes) in files {
                    std::fs::write(folder.path().join(name), bytes).unwrap();
                }
                options.open(folder.path().join(&files[0].0))
            }
        }
    }
}

/// The globals of these files: the whole list takes an interpreter a minute to build.
fn policy() -> Arc<Policy> {
    static ONCE: LazyLock<Arc<Policy>> = LazyLock::new(|| {
        let mut policy = Policy::empty();
        for (module, name) in [
            ("collections", "OrderedDict"),
            ("torch", "FloatStorage"),
            ("torch._utils", "_rebuild_tensor_v2"),
        ] {
            policy.allow(module, name, Tier::Tensor).unwrap();
        }
        Arc::new(policy)
    });
    Arc::clone(&ONCE)
}

/// What came of a file, in full: for comparing machines.
struct Outcome<'a>(&'a Result<Checkpoint>);

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(model) => {
                write!(out, "accepted[{}]", codes(model).join(","))?;
                write!(out, "({} tensors, {:016x})", model.len(), digest(model))
            }
            Err(error) => {
                write!(out, "{:?}", error.kind())?;
                write!(out, "({error}, at {:?})", error.offset())
            }
        }
    }
}

fn codes(model: &Checkpoint) -> Vec<&'static str> {
    let codes: BTreeSet<_> = model.findings().map(|finding| finding.code).collect();
    codes.into_iter().collect()
}

/// All that a caller can see of the tensors: names, shapes, places, bytes and values.
fn digest(model: &Checkpoint) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for &byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for tensor in model.tensors() {
        let place = tensor.location();
        add(format!(
            "{:?} {} {:?}",
            tensor.name(),
            tensor.dtype(),
            tensor.shape()
        )
        .as_bytes());
        add(format!("{:?} {place:?}", tensor.strides()).as_bytes());
        let mut bytes = vec![0; tensor.byte_length() as usize];
        if tensor.copy_into(&mut bytes).is_ok() {
            add(&bytes);
        }
        let mut values = vec![0.0_f32; tensor.elements()];
        if tensor.dequantize_into(&mut values).is_ok() {
            values
                .iter()
                .for_each(|value| add(&value.to_bits().to_be_bytes()));
        }
    }
    for (key, value) in model.metadata().iter() {
        add(format!("{key:?} {value:?}").as_bytes());
    }
    hash
}

/// What is wrong with an outcome, if anything is.
fn objection(opened: &Result<Checkpoint>, ours: Ours) -> Option<String> {
    let same = match (opened, ours) {
        (Ok(model), Ours::Accepted) => codes(model).is_empty(),
        (Ok(model), Ours::Noted(expected)) => codes(model) == expected,
        (Err(error), Ours::Malformed(code)) => {
            error.as_malformed().map(|rule| rule.code()) == Some(code)
        }
        (Err(error), Ours::Unsupported(what)) => {
            error.kind() == ErrorKind::Unsupported && error.to_string().contains(what)
        }
        (Err(error), Ours::Limit(limit)) => {
            error.as_limit().is_some_and(|(name, _, _)| name == limit)
        }
        _ => false,
    };
    let placed = match opened {
        Err(error) => error.offset().is_some() || error.file().is_some(),
        Ok(_) => true,
    };
    match same && placed {
        true => None,
        false => Some(format!("should be {ours:?} and is {}", Outcome(opened))),
    }
}

/// Runs a table: each row's verdicts, and that what differs from the table is argued.
fn check(table: &str, rows: &[Row], least: usize) {
    assert!(rows.len() >= least, "only {} rows", rows.len());
    let names: BTreeSet<&str> = rows.iter().map(|row| &*row.name).collect();
    assert_eq!(names.len(), rows.len(), "a name stands twice");
    let print = std::env::var_os("WEIGHBRIDGE_VERDICTS").is_some();
    let mut wrong: Vec<String> = Vec::new();
    for row in rows.iter().filter(|row| !(row.native && cfg!(miri))) {
        let name = format!("{table}/{}", row.name);
        let strict = row.open(Strictness::Strict);
        let lenient = row.open(Strictness::Lenient);
        if print && !row.native {
            let (strict, lenient) = (Outcome(&strict), Outcome(&lenient));
            println!("verdict {name} strict={strict} lenient={lenient}");
        }
        wrong.extend(objection(&strict, row.ours[0]).map(|why| format!("{name} {why}")));
        wrong.extend(objection(&lenient, row.ours[1]).map(|why| format!("{name} (lenient) {why}")));
        // Lenient mode never refuses what strict mode takes.
        if strict.is_ok() && lenient.is_err() {
            wrong.push(format!("{name} is refused by lenient mode alone"));
        }
        // Too slow to interpret: a scan looks for pickles at every place.
        if !cfg!(miri) && is_called_safe(row, &strict) == row.safe.is_empty() {
            wrong.push(format!(
                "{name} is refused: should a scan call it safe? {:?}",
                row.safe
            ));
        }
        let differs = row.ours.map(Ours::class) != row.table;
        if differs == row.why.is_empty() {
            wrong.push(format!(
                "{name}: reason {:?}, but differs: {differs}",
                row.why
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Whether a scan says that nothing is wrong with a file that a reader refuses.
fn is_called_safe(row: &Row, strict: &Result<Checkpoint>) -> bool {
    match &row.input {
        Input::Bytes(bytes)
            if strict.is_err() && !row.native && row.limits == Limits::default() =>
        {
            Scanner::new().bytes(bytes).findings.verdict() == weighbridge::Verdict::Safe
        }
        _ => false,
    }
}

#[test]
fn zip() {
    check("zip", &verdicts::zip::rows(), 45);
}

#[test]
fn safetensors() {
    check("safetensors", &verdicts::safetensors::rows(), 30);
}

#[test]
fn gguf() {
    check("gguf", &verdicts::gguf::rows(), 30);
}

#[test]
fn across() {
    check("across", &verdicts::across::rows(), 36);
}

#[test]
fn files() {
    check("files", &verdicts::files::rows(), 9);
}
