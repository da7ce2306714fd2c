//! What lenient mode takes without a word, beside what it reports: boundaries of both.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::gguf::Gguf;
use support::outcome::{code, has};
use support::safetensors::build;
use weighbridge::{Checkpoint, OpenOptions, Strictness};

fn open(bytes: Vec<u8>) -> weighbridge::Result<Checkpoint> {
    let options = OpenOptions::new().strictness(Strictness::Lenient);
    options.from_bytes(bytes)
}

/// Of no bytes nothing is shared, wherever they lie.
#[test]
fn only_tensors_with_bytes_share_them() {
    let info = |name: &str, shape: u64, start: u64| {
        let end = start + shape;
        format!(r#""{name}":{{"dtype":"U8","shape":[{shape}],"data_offsets":[{start},{end}]}}"#)
    };
    let file = |infos: &[String], data: &[u8]| build(&format!("{{{}}}", infos.join(",")), data);
    let empty = [
        info("a", 0, 0),
        info("b", 0, 0),
        info("c", 2, 0),
        info("d", 0, 2),
        info("e", 0, 2),
    ];
    let model = open(file(&empty, &[1, 2])).unwrap();
    assert_eq!(model.len(), 5);
    assert!(!has(&model, "shared-range", ""));
    let shared = [info("a", 2, 0), info("b", 2, 0)];
    let model = open(file(&shared, &[1, 2])).unwrap();
    assert!(has(&model, "shared-range", "\"a\" and \"b\""));
    assert!(Checkpoint::from_bytes(file(&shared, &[1, 2])).is_err());
}

/// A tensor without elements overlaps nothing, even where another lies.
#[test]
fn an_empty_tensor_may_lie_inside_another() {
    let of = |elements: u64| {
        let file = Gguf::default()
            .info(b"all", &[16], 0, 0)
            .info(b"inside", &[elements], 0, 32);
        file.data(&[0; 64]).build()
    };
    let model = open(of(0)).unwrap();
    assert_eq!(model.tensor("inside").unwrap().shape(), [0]);
    let error = open(of(1)).unwrap_err();
    assert_eq!(code(&error), "overlap", "{error}");
    assert_eq!(error.tensor(), Some("inside"));
}

/// llama.cpp takes four dimensions, and names of 63 bytes (`GGML_MAX_DIMS`, `GGML_MAX_NAME`).
#[test]
fn only_what_llama_cpp_refuses_is_reported() {
    for (rank, told) in [(4, false), (5, true)] {
        let file = Gguf::default().tensor("x", &vec![1; rank], 0, &[0; 4]);
        assert_eq!(Checkpoint::from_bytes(file.build()).is_ok(), !told);
        let model = open(file.build()).unwrap();
        assert_eq!(has(&model, "many-dimensions", ""), told, "{rank}");
    }
    for (length, told) in [(63, false), (64, true)] {
        let file = Gguf::default().tensor(&"x".repeat(length), &[1], 0, &[0; 4]);
        assert_eq!(Checkpoint::from_bytes(file.build()).is_ok(), !told);
        let model = open(file.build()).unwrap();
        assert_eq!(has(&model, "long-name", ""), told, "{length}");
    }
}

/// A key of one letter with a value of one byte: nothing less can be told from a count.
#[test]
fn the_smallest_pairs_fill_a_file() {
    for version in [1, 2, 3] {
        for pairs in 1..4 {
            let mut file = Gguf {
                version,
                ..Gguf::default()
            };
            for no in 0..pairs {
                file = file.pair(&[b'a' + no], 0, &[no]);
            }
            let model = Checkpoint::from_bytes(file.head()).unwrap();
            assert_eq!(model.metadata().len(), usize::from(pairs));
            let mut cut = file.head();
            cut.pop();
            let error = Checkpoint::from_bytes(cut).unwrap_err();
            assert_eq!(code(&error), "truncated", "{error}");
        }
    }
}

/// Whatever a field holds that nobody reads: it is passed over, and named.
#[test]
fn fields_that_are_not_known_are_passed_over() {
    for value in [
        r#""a\"b\\\n\u00e9""#,
        r#"{"a\"":[1,-2.5e3,"}"],"b":{}}"#,
        "[[],{},null,true,false]",
        "-0.5",
        "0",
    ] {
        let header =
            format!(r#"{{"x":{{"dtype":"U8","more":{value},"shape":[2],"data_offsets":[0,2]}}}}"#);
        serde_json::from_str::<serde_json::Value>(&header).unwrap();
        let model = open(build(&header, &[1, 2])).unwrap();
        assert_eq!(
            model.tensor("x").unwrap().bytes().unwrap(),
            [1, 2],
            "{value}"
        );
        assert!(has(&model, "unknown-field", "\"more\""), "{value}");
    }
    for value in [r#""a\x""#, "[1", "{\"a\"}", "[}", "{]", "nul"] {
        let header =
            format!(r#"{{"x":{{"dtype":"U8","more":{value},"shape":[2],"data_offsets":[0,2]}}}}"#);
        assert!(open(build(&header, &[1, 2])).is_err(), "{value}");
    }
}
