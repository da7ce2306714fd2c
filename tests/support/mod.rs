//! What the tests share: builders of small files, and the catalogue of malformed ones.

#![allow(dead_code, reason = "each test uses a part")]

pub mod children;
pub mod gguf;
pub mod growth;
pub mod outcome;
pub mod safetensors;
pub mod tar;
pub mod torch;
pub mod zip;

use std::path::{Path, PathBuf};

/// A file of `tests/files`.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files")
        .join(name)
}

/// Every regular file below `folder`, sorted.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
