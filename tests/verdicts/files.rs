//! Rows that need files: indexes of shards, and names that say another thing than the content.
//!
//! The names that an index may give its shards are a table of their own, in `tests/links.rs`.

use std::collections::BTreeSet;
use std::fs;

use weighbridge::formats::detect;

use super::across::samples;
use crate::Class::{Accept, Reject, Warn};
use crate::Ours::{Malformed, Noted};
use crate::support::safetensors::build;
use crate::{Outcome, Row, row};

/// A file of tensors of two bytes each.
fn shard(names: &[&str]) -> Vec<u8> {
    let info = |(at, name): (usize, &&str)| {
        let (start, end) = (2 * at, 2 * at + 2);
        format!(r#""{name}":{{"dtype":"U8","shape":[2],"data_offsets":[{start},{end}]}}"#)
    };
    let infos: Vec<String> = names.iter().enumerate().map(info).collect();
    build(
        &format!("{{{}}}", infos.join(",")),
        &vec![1; 2 * names.len()],
    )
}

/// An index over `1.safetensors` with `a` and `2.safetensors` with `second`.
fn index(json: &str, second: &[&str]) -> Vec<(String, Vec<u8>)> {
    vec![
        ("model.safetensors.index.json".into(), json.into()),
        ("1.safetensors".into(), shard(&["a"])),
        ("2.safetensors".into(), shard(second)),
    ]
}

pub fn rows() -> Vec<Row> {
    let map = r#""weight_map":{"a":"1.safetensors","b":"2.safetensors"}"#;
    let plain = format!("{{{map}}}");
    let of = |name: &str, peers: &'static str, table, json: &str, second: &[&str]| {
        row(name, peers, table, Vec::new()).files(index(json, second))
    };
    let read = "transformers reads it";
    let total = format!(r#"{{"metadata":{{"total_size":99}},{map}}}"#);
    let escaped =
        r#"{"weight_map":{"a":"1.safetensors","\u0061":"2.safetensors","b":"2.safetensors"}}"#;
    let outside = r#"{"weight_map":{"a":"1.safetensors","b":"../2.safetensors"}}"#;
    vec![
        of("index", read, [Accept; 2], &plain, &["b"]),
        of(
            "index_key_twice",
            "Python's json: the last wins",
            [Reject; 2],
            r#"{"weight_map":{"a":"1.safetensors","a":"2.safetensors","b":"2.safetensors"}}"#,
            &["b"],
        )
        .is(Malformed("invalid")),
        of(
            "index_key_twice_by_escape",
            "Python's json: the last wins",
            [Reject; 2],
            escaped,
            &["b"],
        )
        .is(Malformed("invalid")),
        of(
            "index_leaves_the_folder",
            "transformers follows it",
            [Reject; 2],
            outside,
            &["b"],
        )
        .is(Malformed("unexpected")),
        of(
            "index_tensor_missing",
            "transformers warns",
            [Reject; 2],
            &plain,
            &["c"],
        )
        .is(Malformed("missing")),
        of(
            "index_tensor_extra",
            read,
            [Reject, Warn],
            &plain,
            &["b", "c"],
        )
        .is(Malformed("unexpected"))
        .because("lenient: two loaders would see two models"),
        of(
            "index_tensor_in_two_shards",
            "transformers: the last wins",
            [Reject; 2],
            &plain,
            &["b", "a"],
        )
        .is(Malformed("unexpected")),
        of(
            "index_tensor_in_another_shard",
            "transformers reads it",
            [Reject; 2],
            r#"{"weight_map":{"a":"2.safetensors","b":"1.safetensors"}}"#,
            &["b"],
        )
        .is(Malformed("missing")),
        of(
            "index_total_size",
            "transformers does not look",
            [Reject, Warn],
            &total,
            &["b"],
        )
        .is(Noted(&["total-size"]))
        .because("often stale in honest files; nothing is read by it"),
        of("index_without_a_map", "error", [Reject; 2], "{}", &["b"]).is(Malformed("missing")),
    ]
}

const EXTENSIONS: &[&str] = &[
    "safetensors",
    "gguf",
    "pt",
    "pth",
    "bin",
    "ckpt",
    "pkl",
    "zip",
    "tar",
    "json",
    "txt",
    "",
];

/// The name says nothing: neither what a file is, nor whether it is right.
#[test]
#[cfg_attr(miri, ignore = "files")]
fn a_file_has_one_verdict_under_every_extension() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in samples() {
        let cut = bytes[..bytes.len() - 1].to_vec();
        for (what, bytes) in [(name, bytes), ("cut", cut)] {
            let mut verdicts = BTreeSet::new();
            for extension in EXTENSIONS {
                let path = folder.path().join("file").with_extension(extension);
                fs::write(&path, &bytes).unwrap();
                let opened = weighbridge::open(&path);
                let format = opened.as_ref().map(|model| model.format()).ok();
                let path = path.display().to_string();
                let outcome = Outcome(&opened).to_string().replace(&path, "PATH");
                verdicts.insert((format.map(|format| format.name()), outcome));
                fs::remove_file(folder.path().join("file").with_extension(extension)).unwrap();
            }
            assert_eq!(verdicts.len(), 1, "{what} of {name}: {verdicts:?}");
        }
    }
    assert_eq!(EXTENSIONS.len(), 12);
}

/// Every format beside every other: the first bytes decide, and what follows is never read as a file of
/// its own.
#[test]
#[cfg_attr(miri, ignore = "slow to interpret")]
fn a_format_behind_another_is_not_seen() {
    for (first, start) in samples() {
        let alone = detect(&start).unwrap();
        for (second, end) in samples() {
            let both = [&start[..], &end].concat();
            let found = detect(&both);
            // Headers of safetensors are found by a length that fits the file; the rest by its first bytes.
            assert_eq!(found.unwrap(), alone, "{first} then {second}");
            match weighbridge::Checkpoint::from_bytes(both) {
                // Bytes behind the last tensor of a GGUF file, a legacy stream or an old archive are a
                // finding; bare pickles stand in a row.
                Ok(model) => {
                    assert_eq!(model.format().name(), first);
                    let noted = model
                        .findings()
                        .any(|finding| finding.code == "trailing-bytes");
                    let row = first == "pickle" && ["pickle", "torch-legacy"].contains(&second);
                    assert!(noted || row, "{first} then {second}");
                    let open = ["gguf", "torch-legacy", "torch-tar", "pickle"];
                    assert!(open.contains(&first), "{first} then {second}");
                }
                Err(error) => assert_eq!(
                    error.kind(),
                    weighbridge::ErrorKind::Malformed,
                    "{first} then {second}: {error}"
                ),
            }
        }
    }
}

/// Bytes 0 to 8 of a GGUF file are a number like a safetensors header's length: 13 GiB for version 3. With
/// 123 tensors (or 379, 635, …) the next byte is an opening brace.
#[cfg(all(not(miri), unix, target_pointer_width = "64", feature = "mmap"))]
#[test]
fn a_large_gguf_of_123_tensors_is_no_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut gguf = crate::support::gguf::Gguf::default();
    for at in 0..123 {
        gguf = gguf.tensor(&format!("t{at}"), &[8], 0, &[0; 32]);
    }
    let bytes = gguf.build();
    assert_eq!(bytes[8], b'{');
    fs::write(&path, &bytes).unwrap();
    // Without blocks on the disk; the tensors' own bytes would be as many.
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(14 << 30).unwrap();
    for access in [weighbridge::Access::Map, weighbridge::Access::Lazy] {
        let model = weighbridge::OpenOptions::new()
            .access(access)
            .open(&path)
            .unwrap();
        assert_eq!((model.format().name(), model.len()), ("gguf", 123));
    }
}
