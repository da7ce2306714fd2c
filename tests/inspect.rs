//! What is inspected is what is loaded: the program that lists a file's tensors, and the library that loads
//! them, say the same of every file, also of broken ones.
#![cfg(all(feature = "mmap", feature = "rayon", feature = "convert"))]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use weighbridge::{OpenOptions, TensorView};

/// The example, built as these tests are.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", "inspect"]);
    // `target/PROFILE/deps/TEST`, where the profile `dev` has the folder `debug`.
    if folder.ends_with("release") {
        build.arg("--release");
    }
    build.env("CARGO_TARGET_DIR", folder.parent().unwrap());
    assert!(build.status().unwrap().success());
    let program = folder.join("examples/inspect");
    program.with_extension(std::env::consts::EXE_EXTENSION)
}

fn inspected(program: &Path, path: &Path) -> (Output, Json) {
    let mut command = Command::new(program);
    let output = command.arg(path).args(["--json", "--digest"]).output();
    let output = output.unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap();
    (output, json)
}

/// A tensor that was loaded, in the words of `inspect --json`.
fn described(tensor: &TensorView<'_>) -> Json {
    let loaded = tensor.load().ok();
    let mut hash = Sha256::new();
    let bytes = loaded.and_then(|loaded| {
        let mut bytes = vec![0; loaded.view().byte_length() as usize];
        loaded.view().copy_into(&mut bytes).ok().map(|()| bytes)
    });
    let mut json = serde_json::json!({
        "name": tensor.name(),
        "dtype": tensor.dtype_name(),
        "shape": tensor.shape(),
        "bytes": tensor.byte_length(),
        "file": tensor.location().map(|place| place.file),
        "offset": tensor.location().map(|place| place.offset),
        "strides": tensor.strides(),
        "contiguous": tensor.is_contiguous(),
        "storage": tensor.storage(),
    });
    if let Some(bytes) = bytes {
        hash.update(&bytes);
        let digest = hash.finalize();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        json["sha256"] = hex.into();
    }
    json
}

#[test]
fn the_inspector_lists_exactly_what_is_loaded() {
    let program = program();
    let folders = ["safetensors", "gguf", "torch", "old_torch", "malformed"];
    let files = folders.map(|folder| support::files_below(&support::file(folder)));
    let (mut opened, mut refused) = (0, 0);
    for path in files.concat() {
        let what = path.display();
        if path.extension().is_some_and(|extension| extension == "err") {
            continue;
        }
        let (output, json) = inspected(&program, &path);
        match OpenOptions::new().allow_dangerous(true).open(&path) {
            Ok(model) => {
                assert!(output.status.success(), "{what}");
                let tensors: Vec<Json> = model.tensors().map(|tensor| described(&tensor)).collect();
                assert_eq!(json["tensors"], Json::from(tensors), "{what}");
                assert_eq!(json["format"], model.format().name(), "{what}");
                assert_eq!(json["verdict"], model.verdict().name(), "{what}");
                let findings = json["findings"].as_array().unwrap().iter();
                let codes: Vec<&str> = findings.map(|one| one["code"].as_str().unwrap()).collect();
                let expected: Vec<&str> = model.findings().map(|one| one.code).collect();
                assert_eq!(codes, expected, "{what}");
                opened += 1;
            }
            Err(error) => {
                assert_eq!(output.status.code(), Some(2), "{what}");
                assert_eq!(json["error"]["message"], error.to_string(), "{what}");
                assert_eq!(
                    json["error"]["offset"],
                    Json::from(error.offset()),
                    "{what}"
                );
                refused += 1;
            }
        }
    }
    assert!(
        opened > 150 && refused > 200,
        "{opened} opened, {refused} refused"
    );
}
