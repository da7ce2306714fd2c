//! Every file of the official writers, read by us and by the official readers.
//!
//! `tests/files/expected.json` holds what safetensors, gguf and torch themselves read in each file:
//! names, dtypes, shapes, metadata, sha256 of the elements, and of their f32 values. It was written
//! by `tests/files/make_fixtures.py`, never by this library.

#![allow(missing_docs, unreachable_pub)]

mod support;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use weighbridge::{Checkpoint, TensorView};

fn expected() -> Vec<Json> {
    let text = std::fs::read_to_string(support::file("expected.json")).unwrap();
    let json: Json = serde_json::from_str(&text).unwrap();
    let files = json["files"].as_array().unwrap().clone();
    assert!(files.len() > 150, "only {} files", files.len());
    files
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    let bytes = digest.as_ref().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// sha256 of the elements, row-major, little-endian.
fn digest(tensor: &TensorView<'_>) -> Option<String> {
    let mut hash = Sha256::new();
    let read = tensor.for_each_chunk(|chunk| {
        hash.update(chunk);
        Ok(())
    });
    read.ok().map(|()| hex(hash.finalize()))
}

/// sha256 of the f32 values, every NaN as 0x7fc00000.
fn f32_digest(tensor: &TensorView<'_>) -> Option<String> {
    let mut values = vec![0.0_f32; tensor.elements()];
    tensor.dequantize_into(&mut values).ok()?;
    let mut hash = Sha256::new();
    for value in values {
        let bits = if value.is_nan() {
            0x7fc0_0000
        } else {
            value.to_bits()
        };
        hash.update(bits.to_le_bytes());
    }
    Some(hex(hash.finalize()))
}

/// The names under which a file's tensors are to be found, with what the official reader says.
///
/// A bare tensor is called `tensor`, a sparse one stands as its parts, and tensors in attributes of
/// objects count too.
fn listed(file: &Json) -> Vec<(String, Json)> {
    let mut listed = Vec::new();
    for key in ["tensors", "attributes", "arrays", "constants"] {
        for tensor in file[key].as_array().into_iter().flatten() {
            let name = tensor["name"].as_str().unwrap();
            let alone = file["path"].as_str().unwrap().ends_with("tensor_root.pt");
            match tensor["parts"].as_array() {
                Some(parts) => listed.extend(parts.iter().map(|part| {
                    let part_name = part["name"].as_str().unwrap();
                    (format!("{name}.{part_name}"), part.clone())
                })),
                None if alone => listed.push((String::from("tensor"), tensor.clone())),
                None => listed.push((name.to_owned(), tensor.clone())),
            }
        }
    }
    listed
}

/// Everything in which a file differs from the official reader's view.
fn differences(model: &Checkpoint, file: &Json) -> Vec<String> {
    let mut found = Vec::new();
    let listed = listed(file);
    let mut storages = Vec::new();
    // A legacy view has a storage of its own in torch; here it shares the one whose bytes it uses.
    // The pickles of a package share storages that the official reader loads once for each.
    let views = [
        "torch/legacy/storage_views.pt",
        "torch/legacy/tar.pt",
        "torch/package/package.pt",
    ]
    .iter()
    .any(|path| file["path"] == *path);
    let own = file["tensors"].as_array().unwrap();
    for (name, expected) in &listed {
        let Ok(tensor) = model.tensor(name) else {
            // A scalar of NumPy is a value beside the tensors.
            if file["arrays"]
                .as_array()
                .is_some_and(|arrays| arrays.contains(expected))
                && scalar_digest(model, name).as_deref() == expected["sha256"].as_str()
            {
                continue;
            }
            found.push(format!("no tensor {name:?}"));
            continue;
        };
        found.extend(tensor_differences(&tensor, expected));
        if let Some(storage) = expected["storage"].as_u64()
            && own.contains(expected)
            && !views
        {
            storages.push((storage, tensor.storage(), name));
        }
    }
    for tensor in model.tensors() {
        let name = tensor.name();
        // Scales, zero points and axes of a quantized tensor stand beside it under its name.
        let companion = listed.iter().any(|(owner, expected)| {
            expected["kind"] == "quantized" && name.starts_with(&format!("{owner}."))
        });
        // An array of texts is listed, and opaque: the reader of the official side leaves it out.
        let opaque = tensor.dtype() == weighbridge::DType::Opaque;
        if !companion && !opaque && !listed.iter().any(|(listed, _)| listed == name) {
            found.push(format!("{name:?} is not in the file"));
        }
    }
    // Storages are numbered freely; who shares one with whom must agree.
    for (theirs, ours, name) in &storages {
        for (other_theirs, other_ours, other) in &storages {
            if (theirs == other_theirs) != (ours == other_ours) {
                found.push(format!(
                    "{name:?} and {other:?} share storage {ours} and {other_ours}"
                ));
            }
        }
    }
    found
}

/// sha256 of a scalar's bytes, little-endian.
fn scalar_digest(model: &Checkpoint, name: &str) -> Option<String> {
    use weighbridge::Value;
    let bytes = match model.metadata().get(name)? {
        Value::F32(value) => value.to_le_bytes().to_vec(),
        Value::F64(value) => value.to_le_bytes().to_vec(),
        Value::I64(value) => value.to_le_bytes().to_vec(),
        _ => return None,
    };
    Some(hex(Sha256::digest(bytes)))
}

fn tensor_differences(tensor: &TensorView<'_>, expected: &Json) -> Vec<String> {
    let mut found = Vec::new();
    let name = tensor.name();
    let numbers = |key: &str| serde_json::from_value::<Vec<usize>>(expected[key].clone()).ok();
    let dtype = expected["dtype"].as_str().unwrap();
    if Some(tensor.shape()) != numbers("shape").as_deref() || tensor.dtype_name() != dtype {
        found.push(format!("{tensor:?} should be {expected}"));
    }
    if numbers("strides").is_some_and(|strides| strides != tensor.strides()) {
        found.push(format!(
            "{name:?} has strides {:?}, not {}",
            tensor.strides(),
            expected["strides"]
        ));
    }
    let digests = [
        ("sha256", digest(tensor)),
        ("f32_sha256", f32_digest(tensor)),
    ];
    for (key, digest) in digests {
        if let Some(expected) = expected[key].as_str()
            && digest.as_deref() != Some(expected)
        {
            found.push(format!("{name:?} has another {key}: {digest:?}"));
        }
    }
    found
}

#[test]
fn every_file_agrees_with_its_official_reader() {
    let mut wrong = Vec::new();
    let mut tensors = 0;
    let mut files = 0;
    for file in expected() {
        let path = file["path"].as_str().unwrap();
        let place = support::file(path);
        let opened = weighbridge::OpenOptions::new()
            .single_file(!place.is_dir())
            .open(&place);
        let model = match opened {
            Ok(model) => model,
            Err(error) => {
                wrong.push(format!("{path}: {error}"));
                continue;
            }
        };
        let format = file["format"].as_str().unwrap();
        if model.format().name() != format {
            wrong.push(format!("{path}: is {}, expected {format}", model.format()));
        }
        wrong.extend(
            differences(&model, &file)
                .into_iter()
                .map(|what| format!("{path}: {what}")),
        );
        tensors += model.len();
        files += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        files > 150 && tensors > 500,
        "{files} files, {tensors} tensors"
    );
}

/// Whether a value is the one that the official reader gives. JSON has no NaN and no infinity: those
/// are texts there.
fn is(value: weighbridge::Value<'_>, expected: &Json) -> bool {
    use weighbridge::Value;
    let number = || match expected.as_str() {
        Some(text) => text.parse().unwrap(),
        None => expected
            .as_f64()
            .unwrap_or_else(|| panic!("{expected} is no number")),
    };
    match value {
        // Python takes every byte but 0 for true; the byte itself stays to be seen.
        Value::Bool(byte) => expected.as_bool() == Some(byte != 0),
        Value::F32(ours) => ours == number() as f32 || ours.is_nan() && number().is_nan(),
        Value::F64(ours) => ours == number() || ours.is_nan() && number().is_nan(),
        Value::String(text) => match expected["hex"].as_str() {
            Some(bytes) => hex(text.as_bytes()) == bytes && text.as_str().is_err(),
            None => expected.as_str() == text.as_str().ok(),
        },
        Value::Array(_) => false,
        integer => {
            let theirs = expected.as_i64().map(i128::from);
            theirs.or(expected.as_u64().map(i128::from)) == integer.as_integer()
        }
    }
}

#[test]
fn metadata_agrees_with_the_official_reader() {
    let mut keys = 0;
    for file in expected() {
        let path = file["path"].as_str().unwrap();
        let Some(metadata) = file["metadata"].as_object() else {
            continue;
        };
        if path.starts_with("torch/") {
            continue;
        }
        let options = weighbridge::OpenOptions::new().single_file(true);
        let model = options.open(support::file(path)).unwrap();
        assert_eq!(model.metadata().len(), metadata.len(), "{path}");
        for (key, expected) in metadata {
            let value = model
                .metadata()
                .get(key)
                .unwrap_or_else(|| panic!("{path}: no {key:?}"));
            keys += 1;
            if expected.is_string() {
                assert_eq!(value.as_str(), expected.as_str(), "{path}: {key}");
                continue;
            }
            let kind = expected["type"].as_str().unwrap();
            if let Some(array) = value.as_array() {
                assert_eq!(kind, "array", "{path}: {key}");
                assert_eq!(Json::from(array.len()), expected["length"], "{path}: {key}");
                let head = expected["head"].as_array().unwrap();
                assert_eq!(head.len() as u64, array.len().min(8), "{path}: {key}");
                for (ours, theirs) in array.iter().zip(head) {
                    assert!(is(ours, theirs), "{path}: {key}: {ours:?}, not {theirs}");
                }
            } else {
                assert_eq!(value.value_type().name(), kind, "{path}: {key}");
                assert!(
                    is(value, &expected["value"]),
                    "{path}: {key}: {value:?}, not {expected}"
                );
            }
        }
    }
    assert!(keys > 50, "{keys} keys");
}
