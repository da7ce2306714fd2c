//! Checkpoints of several files: split GGUF models written by the official writer, whole and damaged.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::path::Path;

use support::gguf::Gguf;
use weighbridge::{Checkpoint, Error, ErrorKind, Limits, OpenOptions, Result};

const COUNT: u64 = 3;

fn shard_name(no: u64) -> String {
    format!("network-{:05}-of-{COUNT:05}.gguf", no + 1)
}

/// A copy of a split model, to damage.
fn copy(split: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for no in 0..COUNT {
        let from = support::file(&format!("gguf/{split}/{}", shard_name(no)));
        std::fs::copy(from, folder.path().join(shard_name(no))).unwrap();
    }
    folder
}

fn assert_is_network(model: &Checkpoint) {
    let whole = weighbridge::open(support::file("gguf/network.gguf")).unwrap();
    assert_eq!(model.len(), whole.len());
    for tensor in whole.tensors() {
        let found = model.tensor(tensor.name()).unwrap();
        assert_eq!(found.shape(), tensor.shape(), "{}", tensor.name());
        assert_eq!(
            found.bytes().unwrap(),
            tensor.bytes().unwrap(),
            "{}",
            tensor.name()
        );
        let location = found.location().unwrap();
        let file = std::fs::read(&model.files()[location.file].path).unwrap();
        let start = location.offset as usize;
        assert_eq!(
            &file[start..start + location.length as usize],
            tensor.bytes().unwrap()
        );
    }
    let mut storages: Vec<u32> = model.tensors().map(|tensor| tensor.storage()).collect();
    storages.sort();
    storages.dedup();
    assert_eq!(
        storages.len(),
        model.len(),
        "each tensor has a storage of its own"
    );
    let architecture = model.metadata().get("general.architecture").unwrap();
    assert_eq!(architecture.as_str(), Some("weighbridge"));
}

#[test]
fn a_split_model_opens_from_every_shard_and_from_its_folder() {
    for split in ["split", "split_metadata_first"] {
        let folder = support::file(&format!("gguf/{split}"));
        for no in 0..COUNT {
            let model = weighbridge::open(folder.join(shard_name(no))).unwrap();
            assert_eq!(model.files().len() as u64, COUNT);
            assert_is_network(&model);
        }
        assert_is_network(&weighbridge::open(&folder).unwrap());
    }
}

#[test]
fn a_shard_opens_alone_when_asked() {
    let path = support::file("gguf/split").join(shard_name(1));
    let model = OpenOptions::new().single_file(true).open(path).unwrap();
    assert_eq!(model.files().len(), 1);
    assert!(!model.is_empty());
}

/// The error, which must name the file `no`.
fn error_of(opened: Result<Checkpoint>, no: u64) -> Error {
    let error = opened.unwrap_err();
    let file = error
        .file()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    assert_eq!(file, Some(&*shard_name(no)), "{error}");
    error
}

/// Replaces a shard by a small one with these split keys and tensor names.
fn replace(folder: &Path, no: u64, place: (u32, u32, u32), tensors: &[&str]) {
    let mut file = Gguf::default()
        .pair_u32("split.no", place.0)
        .pair_u32("split.count", place.1)
        .pair_u32("split.tensors.count", place.2);
    for name in tensors {
        file = file.tensor(name, &[1], 0, &[0; 4]);
    }
    std::fs::write(folder.join(shard_name(no)), file.build()).unwrap();
}

/// A split model of three small shards.
fn small() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    replace(folder.path(), 0, (0, 3, 3), &["a"]);
    replace(folder.path(), 1, (1, 3, 3), &["b"]);
    replace(folder.path(), 2, (2, 3, 3), &["c"]);
    folder
}

#[test]
fn a_missing_shard_is_named() {
    for missing in 0..COUNT {
        let folder = copy("split");
        std::fs::remove_file(folder.path().join(shard_name(missing))).unwrap();
        let there = (missing + 1) % COUNT;
        let error = error_of(
            weighbridge::open(folder.path().join(shard_name(there))),
            missing,
        );
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(weighbridge::open(folder.path()).is_err());
    }
}

#[test]
fn a_shard_of_another_model_is_named() {
    for place in [(0, 3, 3), (2, 3, 3), (1, 4, 3), (1, 3, 4)] {
        let folder = small();
        assert_eq!(weighbridge::open(folder.path()).unwrap().len(), 3);
        replace(folder.path(), 1, place, &["b"]);
        let error = error_of(weighbridge::open(folder.path().join(shard_name(0))), 1);
        assert_eq!(
            error.as_malformed().map(|rule| rule.code()),
            Some("mismatch"),
            "{error}"
        );
    }
    let folder = small();
    let plain = Gguf::default().tensor("b", &[1], 0, &[0; 4]).build();
    std::fs::write(folder.path().join(shard_name(1)), plain).unwrap();
    let error = error_of(weighbridge::open(folder.path().join(shard_name(0))), 1);
    assert_eq!(
        error.as_malformed().map(|rule| rule.code()),
        Some("missing"),
        "{error}"
    );
}

#[test]
fn a_wrong_number_of_tensors_is_an_error() {
    let folder = small();
    replace(folder.path(), 2, (2, 3, 3), &["c", "d"]);
    let error = error_of(weighbridge::open(folder.path().join(shard_name(0))), 0);
    assert_eq!(
        error.to_string().split("gguf: ").last(),
        Some("the number of tensors in all shards is 4, expected 3")
    );
}

#[test]
fn a_tensor_in_two_shards_is_an_error() {
    let folder = small();
    replace(folder.path(), 2, (2, 3, 3), &["a"]);
    let error = error_of(weighbridge::open(folder.path()), 2);
    assert_eq!(
        error.as_malformed().map(|rule| rule.code()),
        Some("duplicate"),
        "{error}"
    );
}

#[test]
fn a_damaged_shard_is_named() {
    let folder = copy("split");
    let path = folder.path().join(shard_name(2));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = error_of(weighbridge::open(folder.path()), 2);
    assert_eq!(error.kind(), ErrorKind::Malformed);
}

#[test]
fn a_renamed_shard_is_an_error() {
    let folder = copy("split");
    let path = folder.path().join("model.gguf");
    std::fs::rename(folder.path().join(shard_name(0)), &path).unwrap();
    let error = weighbridge::open(&path).unwrap_err();
    assert_eq!(
        error.as_malformed().map(|rule| rule.code()),
        Some("unexpected"),
        "{error}"
    );
}

#[test]
fn a_count_of_millions_opens_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m-00001-of-4000000000.gguf");
    let file = Gguf::default()
        .pair_u32("split.no", 0)
        .pair_u32("split.count", 4_000_000_000);
    std::fs::write(&path, file.build()).unwrap();
    let error = weighbridge::open(&path).unwrap_err();
    assert_eq!(error.as_limit(), Some(("shards", 4_000_000_000, 10_000)));
    // Without a limit, the first file that is missing.
    let trusting = OpenOptions::new().limits(Limits::trusted());
    let error = trusting.open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let missing = folder.path().join("m-00002-of-4000000000.gguf");
    assert_eq!(error.file(), Some(&*missing));
}

#[test]
fn a_folder_of_two_models_is_refused_by_name() {
    let folder = copy("split");
    std::fs::copy(
        support::file("gguf/network.gguf"),
        folder.path().join("other.gguf"),
    )
    .unwrap();
    let error = weighbridge::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Caller);
    assert!(error.to_string().contains("other.gguf"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(
        weighbridge::open(empty.path()).unwrap_err().kind(),
        ErrorKind::Caller
    );
}
