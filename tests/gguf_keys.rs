//! The keys of a GGUF model that engines ask for by name, as llama.cpp and the package `gguf` spell them
//! (`gguf/constants.py`, `Keys`).

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::gguf::{BOOL, F32, Gguf, I32, STRING, U32};
use weighbridge::formats::gguf::{Model, PerLayer};
use weighbridge::{Checkpoint, ErrorKind};

fn toy() -> Gguf {
    Gguf::default()
        .pair_string("general.architecture", b"toy")
        .pair_u32("toy.block_count", 3)
}

fn open(file: &Gguf) -> Checkpoint {
    Checkpoint::from_bytes(file.build()).unwrap()
}

fn strings(texts: &[&str]) -> Vec<u8> {
    let string = |text: &&str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    texts.iter().flat_map(string).collect()
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

#[test]
fn texts_numbers_and_floats_have_their_keys() {
    let epsilon = 1e-5_f32;
    let checkpoint = open(
        &toy()
            .pair_string("general.name", b"Toy 3 layers")
            .pair_u32("general.quantization_version", 2)
            .pair_u32("general.file_type", 15)
            .pair(
                b"toy.attention.layer_norm_rms_epsilon",
                F32,
                &epsilon.to_le_bytes(),
            )
            .pair_string("tokenizer.chat_template", b"{{ messages }}")
            .pair_string("tokenizer.chat_template.tool_use", b"{{ tools }}"),
    );
    let model = Model::new(checkpoint.metadata());
    assert_eq!(model.name().unwrap(), Some("Toy 3 layers"));
    assert_eq!(model.quantization_version().unwrap(), Some(2));
    assert_eq!(model.file_type().unwrap(), Some(15));
    let found = model.layer_norm_rms_epsilon().unwrap();
    assert_eq!(found, Some(f64::from(epsilon)));
    assert_eq!(model.chat_template(None).unwrap(), Some("{{ messages }}"));
    let named = model.chat_template(Some("tool_use")).unwrap();
    assert_eq!(named, Some("{{ tools }}"));
    assert_eq!(model.chat_template(Some("rag")).unwrap(), None);

    let checkpoint = open(&toy());
    let empty = Model::new(checkpoint.metadata());
    assert_eq!(empty.name().unwrap(), None);
    assert_eq!(empty.quantization_version().unwrap(), None);
    assert_eq!(empty.file_type().unwrap(), None);
    assert_eq!(empty.layer_norm_rms_epsilon().unwrap(), None);
    assert_eq!(empty.chat_template(None).unwrap(), None);
    assert!(empty.head_count_kv().unwrap().is_none());
    assert!(empty.feed_forward_length().unwrap().is_none());
}

#[test]
fn keys_of_other_types_are_errors_that_name_them() {
    let checkpoint = open(
        &toy()
            .pair_u32("general.name", 1)
            .pair(b"general.quantization_version", BOOL, &[1])
            .pair(b"general.file_type", I32, &(-1_i32).to_le_bytes())
            .pair_string("toy.attention.layer_norm_rms_epsilon", b"1e-5")
            .pair_u32("tokenizer.chat_template", 1)
            .pair_string("toy.attention.head_count_kv", b"8")
            .pair_array(
                "toy.feed_forward_length",
                I32,
                3,
                &numbers(&[1, u32::MAX, 1]),
            ),
    );
    let model = Model::new(checkpoint.metadata());
    let errors = [
        ("general.name", model.name().err()),
        (
            "general.quantization_version",
            model.quantization_version().err(),
        ),
        ("general.file_type", model.file_type().err()),
        (
            "toy.attention.layer_norm_rms_epsilon",
            model.layer_norm_rms_epsilon().err(),
        ),
        ("tokenizer.chat_template", model.chat_template(None).err()),
        ("toy.attention.head_count_kv", model.head_count_kv().err()),
        ("toy.feed_forward_length", model.feed_forward_length().err()),
    ];
    for (key, error) in errors {
        let error = error.unwrap_or_else(|| panic!("{key} was taken"));
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert!(error.to_string().contains(key), "{error}");
        let offset = checkpoint.metadata().offset_of(key);
        assert!(offset.is_some() && error.offset() == offset, "{error}");
    }
}

#[test]
fn one_number_holds_for_every_layer_and_a_list_for_each_its_own() {
    let checkpoint = open(
        &toy().pair_u32("toy.attention.head_count_kv", 4).pair_array(
            "toy.feed_forward_length",
            U32,
            3,
            &numbers(&[10, 20, 30]),
        ),
    );
    let model = Model::new(checkpoint.metadata());
    let heads = model.head_count_kv().unwrap().unwrap();
    assert_eq!(heads, PerLayer::All(4));
    assert_eq!((heads.layer(0), heads.layer(2)), (Some(4), Some(4)));
    let lengths = model.feed_forward_length().unwrap().unwrap();
    let each: Vec<Option<u64>> = (0..4).map(|layer| lengths.layer(layer)).collect();
    assert_eq!(each, [Some(10), Some(20), Some(30), None]);
}

#[test]
fn a_vocabulary_gives_its_merges_types_and_pre_tokenizer() {
    let tokens = ["<unk>", "a", "b", "ab"];
    let checkpoint = open(
        &toy()
            .pair_string("tokenizer.ggml.model", b"gpt2")
            .pair_string("tokenizer.ggml.pre", b"llama-bpe")
            .pair_array("tokenizer.ggml.tokens", STRING, 4, &strings(&tokens))
            .pair_array("tokenizer.ggml.token_type", I32, 4, &numbers(&[2, 1, 1, 1]))
            .pair_array(
                "tokenizer.ggml.merges",
                STRING,
                2,
                &strings(&["a b", "b a"]),
            ),
    );
    let tokenizer = Model::new(checkpoint.metadata()).tokenizer().unwrap();
    assert!(!tokenizer.is_empty());
    assert_eq!(tokenizer.kind().unwrap(), Some("gpt2"));
    assert_eq!(tokenizer.pre().unwrap(), Some("llama-bpe"));
    let merges: Vec<&str> = tokenizer
        .merges()
        .map(|merge| merge.as_str().unwrap())
        .collect();
    assert_eq!(merges, ["a b", "b a"]);
    let types: Vec<Option<u64>> = tokenizer
        .token_types()
        .unwrap()
        .iter()
        .map(|value| value.as_u64())
        .collect();
    assert_eq!(types, [Some(2), Some(1), Some(1), Some(1)]);
    assert!(tokenizer.scores().is_none());

    let none = open(&toy().pair_array("tokenizer.ggml.tokens", STRING, 0, &[]));
    let tokenizer = Model::new(none.metadata()).tokenizer().unwrap();
    assert!(tokenizer.is_empty());
    assert_eq!(tokenizer.merges().count(), 0);
    assert!(tokenizer.token_types().is_none());
    assert_eq!(tokenizer.pre().unwrap(), None);

    let wrong = [
        ("no tokens", open(&toy())),
        (
            "tokens that are numbers",
            open(&toy().pair_array("tokenizer.ggml.tokens", U32, 1, &numbers(&[7]))),
        ),
        (
            "merges in one text",
            open(
                &toy()
                    .pair_array("tokenizer.ggml.tokens", STRING, 1, &strings(&["a"]))
                    .pair_string("tokenizer.ggml.merges", b"a b"),
            ),
        ),
    ];
    for (what, checkpoint) in wrong {
        let error = Model::new(checkpoint.metadata()).tokenizer().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{what}: {error}");
    }
}
