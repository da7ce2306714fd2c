//! Every variant of the error type comes from an input: the variants are read from the sources, so that a new one
//! without an input fails here.

#![allow(missing_docs, unreachable_pub)]
#![cfg_attr(not(feature = "convert"), allow(dead_code, unused_imports))]

mod support;

use std::ops::ControlFlow;

use support::gguf::{ARRAY, Gguf, STRING, U32};
use support::torch::{checkpoint, dict, pickle, storage, tensor, text};
use support::zip::{Zip, entry};
use weighbridge::{
    Checkpoint, Error, ErrorKind, Expected, Limits, OpenOptions, Policy, Strictness,
};

/// The names of the variants of an enum in `src/error`.
fn variants(file: &str, name: &str) -> Vec<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/error")
        .join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let start = text.find(&format!("enum {name} {{")).unwrap();
    let body = &text[start..];
    let body = &body[..body.find("\n}\n").unwrap()];
    let lines = body.lines().skip(1).filter(|line| {
        let rest = line.strip_prefix("    ");
        rest.is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_uppercase()))
    });
    let name_of = |line: &str| {
        let line = line.trim();
        let end = line.find(|letter: char| !letter.is_ascii_alphanumeric());
        line[..end.unwrap()].to_owned()
    };
    lines.map(name_of).collect()
}

fn refused(file: Vec<u8>) -> Error {
    Checkpoint::from_bytes(file).unwrap_err()
}

fn header(info: &str) -> Vec<u8> {
    support::safetensors::build(info, &[1, 2])
}

/// A checkpoint whose tensor `x` is this.
fn with(tensor: Vec<u8>) -> Checkpoint {
    Checkpoint::from_bytes(checkpoint(&pickle(dict(&[(text("x"), tensor)])))).unwrap()
}

fn floats() -> Checkpoint {
    with(tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]))
}

fn transposed() -> Checkpoint {
    with(tensor(storage("ByteStorage", "0", 8), 0, &[2, 2], &[1, 2]))
}

/// One input for each way to break the rules of a format.
fn malformed() -> Vec<(&'static str, Error)> {
    let one = r#"{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#;
    vec![
        ("Truncated", refused(b"GGUF\x03\0\0\0".to_vec())),
        ("TrailingBytes", refused([header(one), vec![0]].concat())),
        (
            "NotUtf8",
            refused(Gguf::default().pair(b"\xff", U32, &[0; 4]).build()),
        ),
        (
            "Duplicate",
            refused(Gguf::default().pair_u32("a", 1).pair_u32("a", 1).build()),
        ),
        (
            "Missing",
            refused(checkpoint(&support::torch::pickle_of(tensor(
                storage("FloatStorage", "7", 2),
                0,
                &[2],
                &[1],
            )))),
        ),
        (
            "OutOfRange",
            refused(Gguf::default().pair_u32("general.alignment", 3).build()),
        ),
        ("Unexpected", refused(header("[]  "))),
        ("Invalid", refused(header(r#"{"x""#))),
        (
            "Mismatch",
            refused(
                Zip {
                    count: Some(9),
                    ..Zip::of(support::torch::members(&support::torch::good_pickle()))
                }
                .build(),
            ),
        ),
        (
            "Overflow",
            refused(
                Gguf::default()
                    .info(b"w", &[1 << 32, 1 << 32], 0, 0)
                    .build(),
            ),
        ),
        (
            "PartialBlock",
            refused(Gguf::default().info(b"w", &[33], 2, 0).build()),
        ),
        (
            "Gap",
            refused(header(
                r#"{"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#,
            )),
        ),
        (
            "Overlap",
            refused(header(
                r#"{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"y":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#,
            )),
        ),
    ]
}

/// One call for each misuse.
fn misuses() -> Vec<(&'static str, Error)> {
    let model = floats();
    let x = model.tensor("x").unwrap();
    let wide = transposed();
    let wide = wide.tensor("x").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let blocks = Gguf::default().tensor("x", &[64], 2, &[0; 36]).build();
    let blocks = Checkpoint::from_bytes(blocks).unwrap();
    let big = Gguf {
        big_endian: true,
        ..Gguf::default()
    };
    let big = Checkpoint::from_bytes(big.tensor("x", &[1], 0, &[0; 4]).build()).unwrap();
    let negated = weighbridge::open(support::file("torch/negated.pt")).unwrap();
    let conjugated = weighbridge::open(support::file("torch/conjugated.pt")).unwrap();
    let signed = negated.tensors().chain(conjugated.tensors());
    let meta = weighbridge::open(support::file("torch/meta.pt")).unwrap();
    let absent = meta.tensors().find(|tensor| tensor.location().is_none());
    let lazy = OpenOptions::new()
        .from_reader(std::fs::File::open(support::file("safetensors/network.safetensors")).unwrap())
        .unwrap();
    let unaligned = {
        // One byte of metadata more shifts the data off its alignment.
        let files = (0..4_usize).map(|pad| {
            let info = r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
            let header = format!("{info}{}", " ".repeat(pad));
            Checkpoint::from_bytes(support::safetensors::build(&header, &[0; 4])).unwrap()
        });
        let mut errors = files.filter_map(|file| file.tensor("x").unwrap().as_slice::<f32>().err());
        errors.next().expect("one of four is unaligned")
    };
    let metadata = Gguf::default().pair(b"a", ARRAY, &[0; 12]).build();
    let metadata = Checkpoint::from_bytes(metadata).unwrap();
    let array = metadata.metadata().get("a").unwrap().as_array().unwrap();
    vec![
        ("NoSuchTensor", model.tensor("y").unwrap_err()),
        ("OutputLength", x.copy_into(&mut [0; 7]).unwrap_err()),
        ("DType", x.as_slice::<f64>().unwrap_err()),
        ("Unaligned", unaligned),
        ("Strided", wide.bytes().unwrap_err()),
        (
            "ByteOrder",
            big.tensor("x").unwrap().as_slice::<f32>().unwrap_err(),
        ),
        (
            "Signs",
            signed
                .filter_map(|tensor| tensor.bytes().err())
                .find(|error| format!("{:?}", error.as_caller()).contains("Signs"))
                .expect("a negated view"),
        ),
        (
            "NoData",
            absent.expect("a meta tensor").bytes().unwrap_err(),
        ),
        (
            "NotInMemory",
            lazy.tensors().next().unwrap().bytes().unwrap_err(),
        ),
        ("Range", x.narrow(0, 1..9).unwrap_err()),
        (
            "CutsBlock",
            blocks.tensor("x").unwrap().narrow(0, 1..32).unwrap_err(),
        ),
        ("Ranks", x.narrow_to_rank(0, 0, 3).unwrap_err()),
        ("NotOneModel", weighbridge::open(folder.path()).unwrap_err()),
        ("Shape", x.expect_shape(&[3]).unwrap_err()),
        (
            "Misuse",
            weighbridge::formats::gguf::Tokenizer::byte("x").unwrap_err(),
        ),
        ("ValueType", array.strings().map(|_| ()).unwrap_err()),
        (
            "Policy",
            Policy::default().forbid("", "d", "no").unwrap_err(),
        ),
    ]
}

#[cfg(feature = "convert")]
fn misuses_of_converting() -> Vec<(&'static str, Error)> {
    use weighbridge::convert::ConvertOptions;
    let model = floats();
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there.safetensors");
    std::fs::write(&there, b"old").unwrap();
    let link = folder.path().join("link.safetensors");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&there, &link).unwrap();
    let inner = folder.path().join("folder.safetensors");
    std::fs::create_dir(&inner).unwrap();
    let options = ConvertOptions::new();
    let convert = |options: &ConvertOptions, path: &std::path::Path| {
        options.convert(&model, path, None).unwrap_err()
    };
    let named = dict(&[(
        text(&"n".repeat(200)),
        tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]),
    )]);
    let named = Checkpoint::from_bytes(checkpoint(&pickle(named))).unwrap();
    vec![
        ("OutputExists", convert(&options, &there)),
        #[cfg(unix)]
        (
            "OutputIsLink",
            convert(&options.clone().overwrite(true), &link),
        ),
        (
            "OutputIsNoFile",
            convert(&options.clone().overwrite(true), &inner),
        ),
        (
            "DoesNotFit",
            options
                .convert(&named, folder.path().join("n.gguf"), None)
                .unwrap_err(),
        ),
    ]
}

/// The variant's name is what its debug form starts with.
fn named(debug: &str) -> &str {
    let end = debug.find(|letter: char| !letter.is_ascii_alphanumeric());
    &debug[..end.unwrap_or(debug.len())]
}

fn check(file: &str, name: &str, cases: &[(&str, String)]) {
    let variants = variants(file, name);
    for (expected, found) in cases {
        assert_eq!(named(found), *expected, "{found}");
    }
    for variant in &variants {
        let produced = cases.iter().any(|(expected, _)| expected == variant);
        assert!(produced, "nothing produces {name}::{variant}");
    }
    assert_eq!(variants.len(), cases.len(), "{variants:?}");
}

#[test]
fn every_broken_rule_has_a_file() {
    let cases = malformed();
    let cases: Vec<(&str, String)> = cases
        .iter()
        .map(|(name, error)| {
            let rule = error.as_malformed();
            (
                *name,
                format!("{:?}", rule.unwrap_or_else(|| panic!("{name}: {error}"))),
            )
        })
        .collect();
    check("malformed.rs", "Malformed", &cases);
}

#[cfg(all(feature = "convert", unix))]
#[test]
fn every_misuse_has_a_call() {
    let mut cases = misuses();
    cases.extend(misuses_of_converting());
    let cases: Vec<(&str, String)> = cases
        .iter()
        .map(|(name, error)| {
            assert_eq!(error.kind(), ErrorKind::Caller, "{name}: {error}");
            (*name, format!("{:?}", error.as_caller().unwrap()))
        })
        .collect();
    check("caller.rs", "Caller", &cases);
}

#[test]
fn every_kind_has_an_input() {
    let missing = weighbridge::open("no such file").unwrap_err();
    let mut limits = Limits::default();
    limits.tensors = 0;
    let one = Gguf::default().tensor("x", &[1], 0, &[0; 4]).build();
    let limited = OpenOptions::new()
        .limits(limits)
        .from_bytes(one)
        .unwrap_err();
    let dangerous = checkpoint(&pickle(b"cos\nsystem\nX\x02\0\0\0id\x85R".to_vec()));
    let stop = |_| ControlFlow::Break(());
    let stopped = OpenOptions::new()
        .progress(stop)
        .open(support::file("torch/network.pt"))
        .unwrap_err();
    let cases = [
        ("Io", missing),
        ("Malformed", refused(b"GGUF\x03\0\0\0".to_vec())),
        ("Unsupported", refused(b"GGUF\x09\0\0\0".to_vec())),
        ("Limit", limited),
        ("Refused", refused(dangerous)),
        ("Caller", floats().tensor("y").unwrap_err()),
        ("Cancelled", stopped),
    ];
    let cases: Vec<(&str, String)> = cases
        .iter()
        .map(|(name, error)| {
            // Each kind has its values, or none.
            assert_eq!(error.as_malformed().is_some(), *name == "Malformed");
            assert_eq!(error.as_caller().is_some(), *name == "Caller");
            assert_eq!(error.as_limit().is_some(), *name == "Limit");
            assert_eq!(error.as_cancelled().is_some(), *name == "Cancelled");
            (*name, format!("{:?}", error.kind()))
        })
        .collect();
    check("mod.rs", "ErrorKind", &cases);
}

/// Strictness changes what is accepted, never what an error is.
#[test]
fn both_modes_name_the_same_rule() {
    let strings = Gguf::default().pair(b"k", STRING, &u64::MAX.to_le_bytes());
    let zip = Zip::of(vec![entry("a", b"")]);
    for file in [strings.build(), zip.build()] {
        let strict = refused(file.clone());
        let lenient = OpenOptions::new()
            .strictness(Strictness::Lenient)
            .from_bytes(file)
            .unwrap_err();
        assert_eq!(strict.to_string(), lenient.to_string());
    }
    let expected = Expected {
        name: "x",
        dtype: None,
        shape: &[9],
    };
    assert_eq!(floats().diff([expected]).mismatched.len(), 1);
}
