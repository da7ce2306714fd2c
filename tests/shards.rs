//! Checkpoints whose shards an index names: written by the official writers, whole and damaged.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::path::Path;

use weighbridge::{Checkpoint, Error, ErrorKind};

/// Folder, index, and the same model in one file.
const MODELS: &[(&str, &str, &str)] = &[
    (
        "safetensors/sharded",
        "model.safetensors.index.json",
        "safetensors/network.safetensors",
    ),
    (
        "torch/sharded",
        "pytorch_model.bin.index.json",
        "safetensors/network.safetensors",
    ),
];

fn assert_same(model: &Checkpoint, whole: &Checkpoint) {
    assert_eq!(model.len(), whole.len());
    for tensor in whole.tensors() {
        let found = model.tensor(tensor.name()).unwrap();
        assert_eq!(found.shape(), tensor.shape(), "{}", tensor.name());
        assert_eq!(found.bytes().unwrap(), tensor.bytes().unwrap());
    }
}

#[test]
fn an_index_opens_as_the_whole_model() {
    for (folder, index, whole) in MODELS {
        let whole = weighbridge::open(support::file(whole)).unwrap();
        let folder = support::file(folder);
        let model = weighbridge::open(folder.join(index)).unwrap();
        assert_same(&model, &whole);
        assert_eq!(model.files().len(), 2);
        assert!(model.findings().all(|finding| finding.code != "total-size"));
        assert_same(&weighbridge::open(&folder).unwrap(), &whole);
    }
}

/// A copy of a sharded model, to damage.
fn copy(folder: &str) -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    for file in support::files_below(&support::file(folder)) {
        std::fs::copy(&file, target.path().join(file.file_name().unwrap())).unwrap();
    }
    target
}

/// Opens a model whose index was changed by `change`.
fn damaged(place: usize, change: impl Fn(&str) -> String) -> Result<Checkpoint, Error> {
    let (folder, index, _) = MODELS[place];
    let folder = copy(folder);
    let path = folder.path().join(index);
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text);
    std::fs::write(&path, changed).unwrap();
    weighbridge::open(&path)
}

#[test]
fn every_damage_is_an_error_that_names_it() {
    let second = "-00002-of-00002";
    for place in 0..MODELS.len() {
        let replaced = |from: &str, to: &str| {
            let error = damaged(place, |text| text.replace(from, to)).unwrap_err();
            error.to_string()
        };
        let error = replaced(second, "-00001-of-00002");
        assert!(error.contains("missing tensor of the index"), "{error}");
        assert!(error.contains("-00001-of-00002"), "{error}");
        let error = replaced("\"norm.weight\"", "\"norm.wight\"");
        assert!(error.contains("norm.wight"), "{error}");
        let error = replaced(second, "-00003-of-00002");
        assert!(error.contains("-00003-of-00002"), "{error}");
        let error = replaced("weight_map", "map");
        assert!(error.contains("weight_map"), "{error}");
        let error = replaced("\"norm.weight\"", "\"embed.weight\"");
        assert!(error.contains("stands twice"), "{error}");
        let error = damaged(place, |text| text[..text.len() / 2].to_owned()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.file().is_some());
    }
}

#[test]
fn a_tensor_that_the_index_leaves_out_is_an_error() {
    for (place, (_, _, whole)) in MODELS.iter().enumerate() {
        let error = damaged(place, |text| {
            let lines = text.lines().filter(|line| !line.contains("embed.weight"));
            lines.collect::<Vec<_>>().join("\n")
        });
        let error = error.unwrap_err();
        assert_eq!(error.tensor(), Some("embed.weight"), "{whole}: {error}");
    }
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    for name in [
        "../x.bin",
        "/etc/passwd",
        "a/b.bin",
        "C:x",
        "..\\\\x",
        "NUL",
        "",
    ] {
        let error = damaged(0, |text| {
            text.replace("model-00002-of-00002.safetensors", name)
        });
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{name}: {error}");
        assert!(error.to_string().contains("a file name"), "{error}");
    }
}

#[test]
fn a_size_that_is_stale_is_a_warning() {
    let model = damaged(0, |text| {
        text.replace("\"total_size\": ", "\"total_size\": 9")
    });
    let model = model.unwrap();
    assert!(model.findings().any(|finding| finding.code == "total-size"));
}

#[test]
fn a_folder_with_several_models_is_ambiguous() {
    let folder = copy("safetensors/sharded");
    let other = folder.path().join("other.safetensors");
    std::fs::copy(support::file("safetensors/network.safetensors"), other).unwrap();
    let error = weighbridge::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Caller);
    assert!(error.to_string().contains("other.safetensors"), "{error}");
    // A pickle beside safetensors is the same model again.
    std::fs::remove_file(folder.path().join("other.safetensors")).unwrap();
    std::fs::copy(
        support::file("torch/network.pt"),
        folder.path().join("pytorch_model.bin"),
    )
    .unwrap();
    assert_eq!(weighbridge::open(folder.path()).unwrap().len(), 8);
    let empty = tempfile::tempdir().unwrap();
    assert!(weighbridge::open(empty.path() as &Path).is_err());
}
