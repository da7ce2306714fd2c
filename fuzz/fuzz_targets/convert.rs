//! What opens, converts: to safetensors, and to GGUF, and from there to safetensors again. Each file written
//! opens with the same names, shapes and bytes, and the official crate reads the same.
//!
//! What a format cannot hold is an error of the kinds that say so, never of a failed verification. Bytes that
//! start as a pickle are put into a checkpoint first.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use safetensors::SafeTensors;
use weighbridge::convert::{ConvertOptions, Converted};
use weighbridge::{Access, Checkpoint, ErrorKind, OpenOptions, TensorView};
use weighbridge_fuzz::builders::torch::checkpoint;
use weighbridge_fuzz::{files, using};

/// Bytes of all tensors together: larger inputs only take longer.
const MOST_BYTES: u64 = 1 << 18;

fuzz_target!(|data: &[u8]| {
    let file = match data.first() {
        Some(0x80) => checkpoint(data),
        _ => data.to_vec(),
    };
    let Ok(model) = using::options().from_bytes(file) else {
        return;
    };
    if bytes_of(&model) > MOST_BYTES {
        return;
    }
    let choice = files::choice(data);
    let options = ConvertOptions::new()
        .overwrite(true)
        .allow_dangerous(true)
        .skip_absent(true)
        .clone_shared(choice & 1 == 0)
        .companions(choice & 2 == 0);
    let first = files::folder().join("first.safetensors");
    let direct = convert(&options, &model, &first);
    let other = files::folder().join("other.gguf");
    if convert(&options, &model, &other).is_none() {
        return;
    }
    let gguf = open(&other);
    let back = files::folder().join("back.safetensors");
    if convert(&options.clone_shared(true), &gguf, &back).is_some() && direct.is_some() {
        // Names of companions differ, and what one format writes once the other may write twice.
        let (direct, back) = (open(&first), open(&back));
        for tensor in direct.tensors() {
            if let Ok(same) = back.tensor(tensor.name()) {
                assert_eq!(bytes(&tensor), bytes(&same), "{tensor:?}");
            }
        }
    }
});

fn bytes_of(model: &Checkpoint) -> u64 {
    let bytes = model.tensors().map(|tensor| tensor.byte_length());
    bytes.fold(0, u64::saturating_add)
}

fn open(path: &Path) -> Checkpoint {
    let options = OpenOptions::new().access(Access::Read);
    options.open(path).expect("what was written opens")
}

/// Converts and compares; `None` if the format cannot hold the model.
fn convert(options: &ConvertOptions, model: &Checkpoint, path: &Path) -> Option<()> {
    let converted = match options.convert(model, path, None) {
        Ok(converted) => converted,
        Err(error) => {
            let stated = [
                ErrorKind::Unsupported,
                ErrorKind::Caller,
                ErrorKind::Limit,
                ErrorKind::Malformed,
            ];
            assert!(stated.contains(&error.kind()), "{error}");
            return None;
        }
    };
    let written = open(path);
    assert_eq!(written.len(), converted.tensors);
    for tensor in model.tensors() {
        check(&tensor, &converted, &written);
    }
    if path
        .extension()
        .is_some_and(|extension| extension == "safetensors")
    {
        check_with_crate(path, &written);
    }
    Some(())
}

/// The tensor stands in the written file, under its name or that of the one it is tied to.
fn check(tensor: &TensorView<'_>, converted: &Converted, written: &Checkpoint) {
    let name = tensor.name();
    if converted.left_out.iter().any(|left| left == name) {
        return;
    }
    let alias = converted
        .aliases
        .iter()
        .find(|(removed, _)| removed == name);
    let kept = alias.map_or(name, |(_, kept)| kept);
    let names = ["", ".view_as_real", ".int_repr", ".bits"].map(|suffix| format!("{kept}{suffix}"));
    let found = names.iter().find_map(|name| written.tensor(name).ok());
    let found = found.unwrap_or_else(|| panic!("{tensor:?} is lost"));
    if found.name() == name && found.dtype() == tensor.dtype() {
        assert_eq!(found.shape(), tensor.shape(), "{tensor:?}");
    }
    assert_eq!(bytes(&found), bytes(tensor), "{tensor:?}");
}

fn bytes(tensor: &TensorView<'_>) -> Vec<u8> {
    let mut bytes = vec![0; tensor.byte_length() as usize];
    tensor.copy_into(&mut bytes).expect("it was converted");
    bytes
}

fn check_with_crate(path: &Path, ours: &Checkpoint) {
    let file = std::fs::read(path).expect("written");
    let theirs = SafeTensors::deserialize(&file).expect("the crate reads what we write");
    assert_eq!(theirs.len(), ours.len());
    for tensor in ours.tensors() {
        let other = theirs.tensor(tensor.name()).expect("same names");
        assert_eq!(other.shape(), tensor.shape());
        assert_eq!(other.data(), tensor.bytes().expect("contiguous"));
    }
}
