//! A catalogue of malformed files: each breaks one rule, named by its file, and is refused at open
//! with the text beside it.
//!
//! `WEIGHBRIDGE_BLESS=1 cargo test --test malformed` writes the files and their `.err` texts anew;
//! kind and code stand in the tables of `malformed/`, so that a blessed text cannot hide a
//! change of verdict.

#![allow(missing_docs, unreachable_pub)]

mod malformed {
    pub mod gguf;
    pub mod pickle;
    pub mod safetensors;
    pub mod tar;
    pub mod torch;
    pub mod zip;
}
mod support;

use std::path::Path;

use weighbridge::{Checkpoint, ErrorKind};

/// One malformed file.
pub struct Case {
    /// The rule that it breaks, and the file's name.
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub kind: ErrorKind,
    /// [`Malformed::code`](weighbridge::error::Malformed::code); empty for other kinds.
    pub code: &'static str,
}

/// A malformed file and the code of its error.
pub fn malformed(name: &'static str, code: &'static str, bytes: Vec<u8>) -> Case {
    Case {
        name,
        bytes,
        kind: ErrorKind::Malformed,
        code,
    }
}

/// A file that is refused for another reason.
pub fn other(name: &'static str, kind: ErrorKind, bytes: Vec<u8>) -> Case {
    Case {
        name,
        bytes,
        kind,
        code: "",
    }
}

/// Runs one format's table against its folder.
fn check(format: &str, extension: &str, least: usize, cases: &[Case]) {
    let bless = std::env::var_os("WEIGHBRIDGE_BLESS").is_some();
    let folder = support::file("malformed").join(format);
    if bless {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
    }
    assert!(cases.len() >= least, "only {} cases", cases.len());
    for case in cases {
        let path = folder.join(case.name).with_extension(extension);
        let error = match Checkpoint::from_bytes(case.bytes.clone()) {
            Ok(model) => panic!("{} was accepted: {model:?}", case.name),
            Err(error) => error,
        };
        if bless {
            std::fs::write(&path, &case.bytes).unwrap();
            std::fs::write(path.with_extension("err"), format!("{error}\n")).unwrap();
        }
        assert_eq!(error.kind(), case.kind, "{}: {error}", case.name);
        let code = error.as_malformed().map_or("", |rule| rule.code());
        assert_eq!(code, case.code, "{}: {error}", case.name);
        assert!(error.format().is_some() || error.kind() == ErrorKind::Unsupported);
        assert!(
            error.offset().is_some(),
            "{}: no offset: {error}",
            case.name
        );
        compare(&path, case, &error.to_string());
    }
    // A file without a case would be a sample that nobody tries.
    let files = support::files_below(&folder);
    assert_eq!(files.len(), 2 * cases.len(), "{}", folder.display());
}

fn compare(path: &Path, case: &Case, error: &str) {
    let sample = std::fs::read(path).unwrap();
    assert_eq!(sample, case.bytes, "{} differs from its builder", case.name);
    let text = std::fs::read_to_string(path.with_extension("err")).unwrap();
    assert_eq!(text.trim_end(), error, "{}", case.name);
    let opened = weighbridge::open(path).unwrap_err();
    assert_eq!(opened.kind(), case.kind, "{}", case.name);
}

#[test]
fn safetensors() {
    check(
        "safetensors",
        "safetensors",
        30,
        &malformed::safetensors::cases(),
    );
}

#[test]
fn gguf() {
    check("gguf", "gguf", 60, &malformed::gguf::cases());
}

#[test]
fn zip() {
    check("zip", "pt", 35, &malformed::zip::cases());
}

#[test]
fn pickle() {
    check("pickle", "pt", 40, &malformed::pickle::cases());
}

#[test]
fn torch() {
    check("torch", "pt", 40, &malformed::torch::cases());
}

#[test]
fn tar() {
    check("tar", "pt", 45, &malformed::tar::cases());
}
