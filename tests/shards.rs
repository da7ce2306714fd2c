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

/// Writes a safetensors file with one tensor `name` of four bytes.
fn write_one(path: &Path, name: &str) {
    let header = format!(r#"{{"{name}":{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}}}"#);
    let bytes = support::safetensors::build(&header, b"mine");
    std::fs::write(path, bytes).unwrap();
}

fn write_index(path: &Path, map: &[(&str, &str)]) {
    let map: serde_json::Map<String, serde_json::Value> = map
        .iter()
        .map(|(tensor, shard)| ((*tensor).to_owned(), (*shard).into()))
        .collect();
    std::fs::write(path, serde_json::json!({ "weight_map": map }).to_string()).unwrap();
}

fn names(model: &Checkpoint) -> Vec<&str> {
    let mut names: Vec<&str> = model.tensors().map(|tensor| tensor.name()).collect();
    names.sort_unstable();
    names
}

/// Index and shards under every name that hubs use for them.
#[test]
fn folders_open_under_every_naming() {
    let namings = [
        (
            "model.safetensors.index.json",
            "model-0000N-of-00002.safetensors",
        ),
        (
            "model.safetensors.index.fp16.json",
            "model.fp16-0000N-of-00002.safetensors",
        ),
        (
            "model.fp16.safetensors.index.json",
            "model-0000N-of-00002.fp16.safetensors",
        ),
        (
            "model.fp16.index.json",
            "model-0000N-of-00002.fp16.safetensors",
        ),
        (
            "diffusion_pytorch_model.safetensors.index.json",
            "diffusion_pytorch_model-0000N-of-00002.safetensors",
        ),
        (
            "adapter_model.safetensors.index.json",
            "adapter_model-0000N-of-00002.safetensors",
        ),
        ("model.safetensors.index.json", "any.name.N"),
    ];
    for (index, shard) in namings {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (shard.replace('N', "1"), shard.replace('N', "2"));
        write_one(&folder.path().join(&first), "a");
        write_one(&folder.path().join(&second), "b");
        write_index(&folder.path().join(index), &[("a", &first), ("b", &second)]);
        let model =
            weighbridge::open(folder.path()).unwrap_or_else(|error| panic!("{index}: {error}"));
        assert_eq!(names(&model), ["a", "b"], "{index}");
        // A second variant in full makes two models, and both are named.
        write_one(&folder.path().join("model.other.safetensors"), "a");
        let error = weighbridge::open(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains(index) && error.contains("model.other.safetensors"),
            "{error}"
        );
    }
}

#[test]
fn numbered_files_without_an_index_are_one_model_if_none_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    for no in 1..=3 {
        let name = format!("model-0000{no}-of-00003.safetensors");
        write_one(&folder.path().join(name), &format!("t{no}"));
    }
    let model = weighbridge::open(folder.path()).unwrap();
    assert_eq!(names(&model), ["t1", "t2", "t3"]);
    std::fs::remove_file(folder.path().join("model-00002-of-00003.safetensors")).unwrap();
    let error = weighbridge::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("shard 2 of 3"), "{error}");
    // The same tensor in two of them.
    write_one(
        &folder.path().join("model-00002-of-00003.safetensors"),
        "t3",
    );
    let error = weighbridge::open(folder.path()).unwrap_err();
    assert!(
        error.to_string().contains("duplicate tensor \"t3\""),
        "{error}"
    );
    assert!(error.file().is_some());
}

#[test]
fn what_a_trainer_writes_beside_a_model_is_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let weights = support::file("torch/network.pt");
    for name in [
        "pytorch_model.bin",
        "training_args.bin",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state_0.pth",
    ] {
        std::fs::copy(&weights, folder.path().join(name)).unwrap();
    }
    let model = weighbridge::open(folder.path()).unwrap();
    assert!(model.files()[0].path.ends_with("pytorch_model.bin"));
}

/// A pipeline as diffusers saves it.
fn pipeline() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for component in ["unet", "vae", "text_encoder", "scheduler"] {
        std::fs::create_dir(at(component)).unwrap();
    }
    write_one(&at("vae/diffusion_pytorch_model.safetensors"), "w");
    write_one(&at("text_encoder/model.safetensors"), "w");
    write_one(
        &at("unet/diffusion_pytorch_model-00001-of-00002.safetensors"),
        "a",
    );
    write_one(
        &at("unet/diffusion_pytorch_model-00002-of-00002.safetensors"),
        "b",
    );
    write_index(
        &at("unet/diffusion_pytorch_model.safetensors.index.json"),
        &[
            ("a", "diffusion_pytorch_model-00001-of-00002.safetensors"),
            ("b", "diffusion_pytorch_model-00002-of-00002.safetensors"),
        ],
    );
    std::fs::write(at("scheduler/scheduler_config.json"), "{}").unwrap();
    let index = r#"{"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.0",
        "force_zeros_for_empty_prompt": true, "safety_checker": [null, null],
        "scheduler": ["diffusers", "PNDMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
        "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}"#;
    std::fs::write(at("model_index.json"), index).unwrap();
    folder
}

#[test]
fn a_pipeline_opens_with_its_components_before_the_names() {
    let folder = pipeline();
    let model = weighbridge::open(folder.path()).unwrap();
    assert_eq!(
        names(&model),
        ["text_encoder/w", "unet/a", "unet/b", "vae/w"]
    );
    for tensor in model.tensors() {
        assert_eq!(tensor.bytes().unwrap(), b"mine");
        let place = tensor.location().unwrap();
        let file = std::fs::read(&model.files()[place.file].path).unwrap();
        assert_eq!(&file[place.offset as usize..][..4], b"mine");
    }
    let index = folder.path().join("model_index.json");
    let text = std::fs::read_to_string(&index).unwrap();
    let opened = |text: String| {
        std::fs::write(&index, text).unwrap();
        weighbridge::open(folder.path()).unwrap_err().to_string()
    };
    let error = opened(text.replace("\"vae\"", "\"vae2\""));
    assert!(error.contains("vae2"), "{error}");
    let error = opened(text.replace("\"vae\"", "\"../vae\""));
    assert!(error.contains("a folder name"), "{error}");
    let error = opened(text.replace("\"vae\"", "\"unet\""));
    assert!(error.contains("stands twice"), "{error}");
    std::fs::write(&index, text).unwrap();
    // Two precisions of one component: it is named, with both.
    write_one(
        &folder
            .path()
            .join("vae/diffusion_pytorch_model.fp16.safetensors"),
        "w",
    );
    let error = weighbridge::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("vae") && error.contains("fp16"), "{error}");
}

#[test]
fn an_index_with_a_key_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_one(&folder.path().join("1.safetensors"), "a");
    let path = folder.path().join("model.safetensors.index.json");
    for text in [
        r#"{"weight_map": {"a": "1.safetensors", "a": "2.safetensors"}}"#,
        r#"{"weight_map": {"a": "1.safetensors"}, "weight_map": {"a": "../x"}}"#,
        r#"{"weight_map": {"a": "1.safetensors", "\u0061": "2.safetensors"}}"#,
        r#"{"weight_map": ["1.safetensors"]}"#,
        r#"{"weight_map": {"a": 1}}"#,
        r#"{"weight_map": {"a": "1.safetensors"}} {}"#,
        r#"{}"#,
        r#"{"weight_map": {}, "#,
    ] {
        std::fs::write(&path, text).unwrap();
        let error = weighbridge::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{text}: {error}");
        assert_eq!(error.file(), Some(&*path), "{error}");
    }
    std::fs::write(&path, r#"{"weight_map": {"a": "1.safetensors"}}"#).unwrap();
    assert_eq!(weighbridge::open(&path).unwrap().len(), 1);
}

#[test]
fn an_index_of_a_million_entries_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    write_one(&folder.path().join("1.safetensors"), "t0");
    let path = folder.path().join("model.safetensors.index.json");
    let write = |count: usize, entry: &dyn Fn(usize) -> String| {
        let entries: Vec<String> = (0..count).map(entry).collect();
        let text = format!("{{\"weight_map\": {{{}}}}}", entries.join(","));
        std::fs::write(&path, text).unwrap();
        weighbridge::open(&path).unwrap_err()
    };
    // Every one in the same shard, which does not hold them.
    let error = write(1_000_000, &|no| format!("\"t{no}\":\"1.safetensors\""));
    assert!(
        error.to_string().contains("missing tensor of the index"),
        "{error}"
    );
    // Every one in a shard of its own: refused before any is opened.
    let error = write(50_000, &|no| format!("\"t{no}\":\"{no}.safetensors\""));
    assert_eq!(
        error.as_limit(),
        Some(("shards", 50_000, 10_000)),
        "{error}"
    );
    // Two in turn.
    let error = write(50_000, &|no| {
        format!("\"t{no}\":\"{}.safetensors\"", no % 2)
    });
    assert!(error.to_string().contains("0.safetensors"), "{error}");
}

#[test]
fn a_shard_that_is_a_folder_or_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("1.safetensors")).unwrap();
    let path = folder.path().join("model.safetensors.index.json");
    for shard in ["1.safetensors", "2.safetensors"] {
        write_index(&path, &[("a", shard)]);
        let error = weighbridge::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(error.file(), Some(&*folder.path().join(shard)));
    }
}

#[test]
fn opening_can_be_watched_and_stopped() {
    use std::ops::ControlFlow;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use weighbridge::{Access, OpenOptions};
    for folder in [
        "safetensors/sharded",
        "torch/sharded",
        "gguf/split",
        "torch/distributed/two_ranks",
    ] {
        for access in [Access::Map, Access::Read, Access::Lazy] {
            let seen = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
            let watch = Arc::clone(&seen);
            let options = OpenOptions::new().access(access).progress(move |progress| {
                assert!(progress.done <= progress.total);
                watch.0.fetch_max(progress.done, Ordering::Relaxed);
                watch.1.fetch_add(1, Ordering::Relaxed);
                ControlFlow::Continue(())
            });
            let model = options.open(support::file(folder)).unwrap();
            let bytes: u64 = model.files().iter().map(|file| file.bytes).sum();
            assert!(
                seen.0.load(Ordering::Relaxed) >= bytes,
                "{folder} {access:?}"
            );
            let calls = seen.1.load(Ordering::Relaxed);
            assert!(calls > 0);
            for stop in 0..calls.min(8) {
                let left = AtomicU64::new(stop);
                let options = OpenOptions::new().access(access).progress(move |_| {
                    match left
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    {
                        Ok(_) => ControlFlow::Continue(()),
                        Err(_) => ControlFlow::Break(()),
                    }
                });
                let error = options.open(support::file(folder)).unwrap_err();
                assert_eq!(
                    error.kind(),
                    ErrorKind::Cancelled,
                    "{folder} {access:?}: {error}"
                );
                assert!(error.to_string().contains("cancelled: opening"), "{error}");
            }
        }
    }
}
