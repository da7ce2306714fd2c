//! Any bytes as the file that says which others make up a model: an index of shards, the index of a pipeline,
//! the description of a distributed checkpoint.
//!
//! What opens consists of files of that folder alone: never of the one outside, whose tensor is called
//! `outside`. An index of shards that opens lists exactly the tensors that there are, each in its shard, by
//! plain names, as serde_json reads it.
//!
//! Input: a byte that says which kind of file, then the file.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use weighbridge::formats::detect;
use weighbridge::{Checkpoint, ErrorKind, Format};
use weighbridge_fuzz::{files, using};

const INDEX: &str = "model.safetensors.index.json";

fuzz_target!(|data: &[u8]| {
    let [kind, text @ ..] = data else { return };
    let folder = folder();
    let name = match kind % 3 {
        0 => INDEX,
        1 => "model_index.json",
        _ => ".metadata",
    };
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file for the process");
    let options = using::options();
    let by_folder = options.open(&folder);
    let by_path = options.open(&path);
    std::fs::remove_file(&path).expect("the file of the process");
    for model in [&by_folder, &by_path].into_iter().flatten() {
        assert!(
            !model.contains("outside"),
            "a file outside the folder was opened"
        );
        for file in model.files() {
            assert!(file.path.starts_with(&folder), "{}", file.path.display());
        }
        using::use_all(model);
    }
    // Content decides: what is no JSON is opened as what it is.
    if name == INDEX && detect(text).is_ok_and(|format| format == Format::ShardIndex) {
        if let Ok(model) = &by_path {
            check_index(model, text);
            // A shard that the index does not list is another model of the folder.
            let same = by_folder.as_ref().map(Checkpoint::len);
            assert!(same.is_err() || same.is_ok_and(|length| length == model.len()));
        } else if let Err(error) = &by_path {
            assert_ne!(error.kind(), ErrorKind::Caller, "{error}");
        }
    }
});

/// A folder with two shards, a component of a pipeline and a file of a distributed checkpoint; beside it, a
/// file that nothing may reach.
fn folder() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let folder = files::folder().join("model");
        std::fs::create_dir_all(folder.join("unet")).expect("folders");
        for (path, tensor) in [
            ("../outside.safetensors", "outside"),
            ("a.safetensors", "x"),
            ("b.safetensors", "y"),
            ("unet/diffusion_pytorch_model.safetensors", "z"),
        ] {
            std::fs::write(folder.join(path), shard(tensor)).expect("a shard");
        }
        std::os::unix::fs::symlink("../outside.safetensors", folder.join("link.bin"))
            .expect("a link");
        std::fs::write(folder.join("__0_0.distcp"), [7; 256]).expect("a file");
        folder
    };
    FOLDER.get_or_init(make).clone()
}

fn shard(tensor: &str) -> Vec<u8> {
    let header =
        format!("{{\"{tensor}\":{{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}}}");
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_bytes(), &[1, 2]].concat()
}

/// What the index says, read by another parser.
fn check_index(model: &Checkpoint, text: &[u8]) {
    if model.files().iter().any(|file| file.path.ends_with(INDEX)) {
        panic!("an index is no model");
    }
    let index: Value = serde_json::from_slice(text).expect("JSON for serde_json too");
    let map = index["weight_map"].as_object().expect("an object of names");
    assert_eq!(map.len(), model.len());
    for tensor in model.tensors() {
        let shard = map[tensor.name()].as_str().expect("a file name");
        let place = tensor.location().expect("in a file");
        let path = &model.files()[place.file].path;
        assert_eq!(path.file_name().and_then(|name| name.to_str()), Some(shard));
    }
}
