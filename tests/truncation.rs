//! Every file of the official writers, cut at every byte, extended by one, and with every bit of its
//! head flipped: an error or a sound reading, never a panic.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::path::PathBuf;

use weighbridge::{Checkpoint, ErrorKind, Format};

const EXTENSIONS: &[&str] = &["safetensors", "gguf", "pt"];

/// The fixtures of at most `most` bytes; malformed files are no fixtures.
fn fixtures(most: usize) -> Vec<(PathBuf, Vec<u8>)> {
    let files = ["safetensors", "gguf", "torch", "old_torch"]
        .map(|format| support::files_below(&support::file(format)));
    let files = files.concat().into_iter().filter(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
    });
    files
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .filter(|(_, bytes)| bytes.len() <= most)
        .collect()
}

/// Reads everything that a caller could.
fn use_all(model: &Checkpoint) {
    for tensor in model.tensors() {
        if tensor.byte_length() <= 1 << 16 && tensor.elements() <= 1 << 16 {
            let mut bytes = vec![0; tensor.byte_length() as usize];
            let _ = tensor.copy_into(&mut bytes);
            let mut values = vec![0.0_f32; tensor.elements()];
            let _ = tensor.dequantize_into(&mut values);
        }
    }
    assert_eq!(model.metadata().iter().count(), model.metadata().len());
}

#[test]
fn a_cut_file_is_an_error() {
    let mut cuts = 0;
    for (path, bytes) in fixtures(2_500) {
        let whole = Checkpoint::from_bytes(bytes.clone());
        for length in 0..bytes.len() {
            cuts += 1;
            let Ok(model) = Checkpoint::from_bytes(bytes[..length].to_vec()) else {
                continue;
            };
            // A GGUF file is whole without the padding after its last tensor or its metadata.
            let padding = bytes[length..].iter().all(|&byte| byte == 0);
            let whole = whole.as_ref().unwrap();
            let same = model.format() == Format::Gguf && padding && model.len() == whole.len();
            assert!(same, "{} cut at {length} opens", path.display());
            use_all(&model);
        }
    }
    assert!(cuts > 100_000, "only {cuts} cuts");
}

#[test]
fn a_byte_more_is_an_error_or_a_finding() {
    let mut files = 0;
    for (path, mut bytes) in fixtures(usize::MAX) {
        let before = Checkpoint::from_bytes(bytes.clone()).map(|model| model.findings().count());
        let Ok(before) = before else { continue };
        bytes.push(1);
        files += 1;
        match Checkpoint::from_bytes(bytes) {
            Err(error) => assert_eq!(
                error.kind(),
                ErrorKind::Malformed,
                "{}: {error}",
                path.display()
            ),
            Ok(model) => assert!(model.findings().count() > before, "{}", path.display()),
        }
    }
    assert!(files > 150, "only {files} files");
}

#[test]
fn flipped_bits_never_panic() {
    let mut flips = 0;
    for (_, bytes) in fixtures(1_500) {
        for place in 0..bytes.len().min(600) {
            for bit in [0, 3, 7] {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                if let Ok(model) = Checkpoint::from_bytes(changed) {
                    use_all(&model);
                }
                flips += 1;
            }
        }
    }
    assert!(flips > 50_000, "only {flips} flips");
}
