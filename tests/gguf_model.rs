//! What engines and people ask of a GGUF file beyond its tensors: typed metadata, the vocabulary, types of
//! forks, validity of values, the layout of the bytes.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::gguf::{ARRAY, BOOL, F32, Gguf, I32, STRING, U8, U32, U64};
use weighbridge::formats::gguf::{Model, PerLayer, Tokenizer};
use weighbridge::{Checkpoint, Content, DType, ErrorKind, OpenOptions, Strictness};

fn open(file: &Gguf) -> Checkpoint {
    Checkpoint::from_bytes(file.build()).unwrap()
}

/// A model of architecture `toy` with this key.
fn with(key: &str, value_type: u32, value: &[u8]) -> Checkpoint {
    open(
        &Gguf::default()
            .pair_string("general.architecture", b"toy")
            .pair_u32("toy.block_count", 2)
            .pair(key.as_bytes(), value_type, value),
    )
}

fn strings(texts: &[&str]) -> Vec<u8> {
    let texts = texts.iter();
    texts
        .flat_map(|text| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat())
        .collect()
}

#[test]
fn numbers_of_every_width_are_numbers() {
    for (value_type, value) in [
        (U8, &[7][..]),
        (U32, &7_u32.to_le_bytes()),
        (I32, &7_i32.to_le_bytes()),
        (U64, &7_u64.to_le_bytes()),
    ] {
        let checkpoint = with("toy.context_length", value_type, value);
        let model = Model::new(checkpoint.metadata());
        assert_eq!(model.context_length().unwrap(), Some(7));
        assert_eq!(model.embedding_length().unwrap(), None);
    }
}

#[test]
fn numbers_out_of_range_or_of_other_types_are_errors() {
    for (value_type, value) in [
        (I32, &(-1_i32).to_le_bytes()[..]),
        (U64, &u64::MAX.to_le_bytes()),
        (F32, &1.0_f32.to_le_bytes()),
        (BOOL, &[1]),
        (STRING, &strings(&["7"])),
    ] {
        let checkpoint = with("toy.context_length", value_type, value);
        let error = Model::new(checkpoint.metadata())
            .context_length()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert!(error.offset().is_some());
        assert!(error.to_string().contains("toy.context_length"), "{error}");
    }
    let layers = open(
        &Gguf::default()
            .pair_string("general.architecture", b"toy")
            .pair_u32("toy.block_count", 65_537),
    );
    assert!(Model::new(layers.metadata()).block_count().is_err());
    let flag = with("toy.flag", BOOL, &[2]);
    assert!(Model::new(flag.metadata()).flag("toy.flag").is_err());
    let not_finite = with("toy.rope.freq_base", F32, &f32::NAN.to_le_bytes());
    assert!(Model::new(not_finite.metadata()).rope_freq_base().is_err());
}

/// A key that starts with it would be made for every question.
#[test]
fn an_architecture_is_no_longer_than_a_name() {
    for (length, taken) in [(255, true), (256, false), (100_000, false)] {
        let architecture = vec![b'a'; length];
        let checkpoint = open(&Gguf::default().pair_string("general.architecture", &architecture));
        let model = Model::new(checkpoint.metadata());
        assert_eq!(model.architecture().unwrap().len(), length);
        match model.context_length() {
            Ok(number) => assert!(taken && number.is_none()),
            Err(error) => {
                assert!(!taken && error.kind() == ErrorKind::Malformed);
                let words = format!("{length} bytes long, expected at most 255 bytes");
                assert!(error.to_string().contains(&words), "{error}");
            }
        }
    }
}

#[test]
fn head_counts_are_one_number_or_one_per_layer() {
    let one = with("toy.attention.head_count", U32, &8_u32.to_le_bytes());
    let one = Model::new(one.metadata()).head_count().unwrap();
    assert_eq!(one, Some(PerLayer::All(8)));
    let list = |count: u64, values: &[u32]| {
        let values: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let value = [&U32.to_le_bytes()[..], &count.to_le_bytes(), &values].concat();
        with("toy.attention.head_count", ARRAY, &value)
    };
    let each = list(2, &[8, 4]);
    let each = Model::new(each.metadata()).head_count().unwrap().unwrap();
    assert_eq!(
        (each.layer(0), each.layer(1), each.layer(2)),
        (Some(8), Some(4), None)
    );
    let wrong = list(3, &[8, 4, 2]);
    assert!(
        Model::new(wrong.metadata()).head_count().is_err(),
        "three numbers for two layers"
    );
}

fn vocabulary(scores: u64, types: u32) -> Gguf {
    Gguf::default()
        .pair_array(
            "tokenizer.ggml.tokens",
            STRING,
            3,
            &strings(&["<s>", "a", "<0x0A>"]),
        )
        .pair_array(
            "tokenizer.ggml.scores",
            F32,
            scores,
            &vec![0; 4 * scores as usize],
        )
        .pair_array("tokenizer.ggml.token_type", types, 3, &[0; 12])
}

#[test]
fn a_vocabulary_has_lists_of_one_length() {
    let file = vocabulary(3, I32)
        .pair_u32("tokenizer.ggml.bos_token_id", 0)
        .pair_u32("tokenizer.ggml.eos_token_id", 3)
        .pair_u32("tokenizer.ggml.seperator_token_id", 2);
    let checkpoint = open(&file);
    let tokenizer = Model::new(checkpoint.metadata()).tokenizer().unwrap();
    let tokens: Vec<&str> = tokenizer
        .tokens()
        .map(|token| token.as_str().unwrap())
        .collect();
    assert_eq!(tokens, ["<s>", "a", "<0x0A>"]);
    assert_eq!(tokenizer.special("bos").unwrap(), Some(0));
    assert_eq!(
        tokenizer.special("separator").unwrap(),
        Some(2),
        "under its misspelt key"
    );
    assert!(
        tokenizer.special("eos").is_err(),
        "three tokens have no id 3"
    );
    assert_eq!(tokenizer.special("mask").unwrap(), None);
    for wrong in [vocabulary(2, I32), vocabulary(4, I32), vocabulary(3, U32)] {
        let checkpoint = open(&wrong);
        assert!(Model::new(checkpoint.metadata()).tokenizer().is_err());
    }
}

#[test]
fn byte_tokens_are_two_hexadecimal_digits() {
    assert_eq!(Tokenizer::byte("<0x0A>").unwrap(), 10);
    assert_eq!(Tokenizer::byte("<0xff>").unwrap(), 255);
    for wrong in [
        "<0x-1>", "<0x+1>", "<0x1>", "<0x001>", "0x0A", "<0x0A", "", "<0x0A> ",
    ] {
        assert!(Tokenizer::byte(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_official_writers_vocabulary_reads() {
    let checkpoint = weighbridge::open(support::file("gguf/vocabulary.gguf")).unwrap();
    let model = Model::new(checkpoint.metadata());
    let tokenizer = model.tokenizer().unwrap();
    assert_eq!(tokenizer.tokens().count() as u64, tokenizer.len());
    assert!(tokenizer.len() > 10);
    assert!(tokenizer.kind().unwrap().is_some());
    assert_eq!(
        tokenizer.scores().map(|scores| scores.len()),
        Some(tokenizer.len())
    );
}

#[test]
fn types_of_forks_are_named_where_their_size_fits() {
    // IQ4_KS: 4 bytes before each row of 2 blocks of 136.
    let bytes = 3 * (4 + 2 * 136);
    let file = |padding: usize| {
        Gguf::default()
            .info(b"a", &[512, 3], 144, 0)
            .info(b"b", &[8], 0, (bytes + padding) as u64)
            .data(&vec![7; bytes + padding])
            .data(&[0; 32])
    };
    let padding = (32 - bytes % 32) % 32;
    let model = open(&file(padding));
    let tensor = model.tensor("a").unwrap();
    assert_eq!(
        (tensor.dtype(), tensor.dtype_name()),
        (DType::Opaque, "ik:IQ4_KS")
    );
    assert_eq!(tensor.byte_length(), bytes as u64);
    // With 32 bytes more between the tensors, another fork's type must be meant.
    let model = open(&file(padding + 32));
    let tensor = model.tensor("a").unwrap();
    assert_eq!(tensor.dtype_name(), "ggml:144");
    assert_eq!(tensor.byte_length(), (bytes + padding + 32) as u64);
    assert!(tensor.dequantize_into(&mut vec![0.0_f32; 3 * 512]).is_err());
    // The tensor beside it works.
    assert_eq!(model.tensor("b").unwrap().bytes().unwrap(), [0; 32]);
    assert!(
        model
            .findings()
            .any(|finding| finding.code == "unknown-dtype")
    );
}

#[test]
fn a_type_that_nobody_knows_leaves_the_rest_alone() {
    for id in [4, 5, 31, 36, 43, 999, u32::MAX] {
        let file = Gguf::default()
            .info(b"a", &[5], id, 0)
            .info(b"b", &[8], 0, 64)
            .data(&[1; 96]);
        let model = open(&file);
        let tensor = model.tensor("a").unwrap();
        assert_eq!(tensor.dtype_name(), format!("ggml:{id}"));
        assert_eq!(tensor.bytes().unwrap(), [1; 64]);
        assert_eq!(model.tensor("b").unwrap().elements(), 8);
    }
}

#[test]
fn lenient_mode_takes_gaps_other_orders_and_nested_arrays() {
    let lenient = |file: &Gguf| {
        OpenOptions::new()
            .strictness(Strictness::Lenient)
            .from_bytes(file.build())
    };
    let two = |first: u64, second: u64| {
        Gguf::default()
            .info(b"a", &[8], 0, first)
            .info(b"b", &[8], 0, second)
            .data(&[3; 128])
    };
    for (file, code) in [(two(32, 0), "reordered-data"), (two(0, 64), "gap")] {
        assert!(Checkpoint::from_bytes(file.build()).is_err());
        let model = lenient(&file).unwrap();
        assert!(
            model.findings().any(|finding| finding.code == code),
            "{code}"
        );
        assert_eq!(model.tensor("b").unwrap().bytes().unwrap(), [3; 32]);
    }
    assert!(lenient(&two(0, 0)).is_err(), "overlap");
    assert!(lenient(&two(0, 33)).is_err(), "unaligned");
    let inner = [&U8.to_le_bytes()[..], &2_u64.to_le_bytes(), &[1, 2]].concat();
    let nested = Gguf::default().pair_array("a", ARRAY, 1, &inner);
    let model = lenient(&nested).unwrap();
    let outer = model.metadata().get("a").unwrap().as_array().unwrap();
    let inner = outer.iter().next().unwrap().as_array().unwrap();
    assert_eq!(
        inner
            .iter()
            .filter_map(|value| value.as_u64())
            .collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn values_that_are_no_numbers_are_found() {
    let check = |dtype: u32, dimensions: &[u64], data: &[u8]| {
        let model = open(&Gguf::default().tensor("w", dimensions, dtype, data));
        let validity = model.tensor("w").unwrap().validate().unwrap();
        (validity.not_finite, validity.first)
    };
    let floats = |values: &[f32]| {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    assert_eq!(check(0, &[3], &floats(&[1.0, -2.0, f32::MAX])), (0, None));
    assert_eq!(
        check(0, &[3], &floats(&[1.0, f32::NAN, f32::INFINITY])),
        (2, Some(1))
    );
    let mut q4_0 = vec![0; 36];
    assert_eq!(check(2, &[64], &q4_0), (0, None));
    q4_0[18..20].copy_from_slice(&0x7c00_u16.to_le_bytes());
    let (count, first) = check(2, &[64], &q4_0);
    assert!(
        count > 0 && first >= Some(32),
        "an infinite scale in the second block"
    );
    let mut mxfp4 = vec![0; 17];
    mxfp4[0] = 254;
    assert_eq!(check(39, &[32], &mxfp4), (0, None));
    mxfp4[0] = 255;
    assert_eq!(check(39, &[32], &mxfp4), (1, Some(0)));
    assert_eq!(
        check(26, &[2], &[0xff; 8]),
        (0, None),
        "every integer is a number"
    );
}

#[test]
fn the_layout_covers_every_byte_once() {
    let mut files = 0;
    for path in support::files_below(&support::file("gguf")) {
        let model = OpenOptions::new().single_file(true).open(&path).unwrap();
        let layout = model.layout();
        let mut at = 0;
        for region in &layout {
            assert_eq!(region.offset, at, "{}", path.display());
            at += region.length;
        }
        assert_eq!(at, model.files()[0].bytes);
        let hidden = Content::Between { zero: false };
        assert!(
            layout.iter().all(|region| region.content != hidden),
            "{}",
            path.display()
        );
        files += 1;
    }
    assert!(files > 50);
    let hidden = Gguf::default().tensor("w", &[1], 0, &[1; 4]).build();
    let mut hidden = hidden;
    let last = hidden.len() - 1;
    hidden[last] = 9;
    let model = Checkpoint::from_bytes(hidden).unwrap();
    assert_eq!(
        model.layout().last().unwrap().content,
        Content::Between { zero: false }
    );
}

#[test]
fn nvfp4_values_are_multiplied_by_their_scale() {
    // Scale byte 0x38 is 1, halved; nibble 2 is 2: every value is 1.
    let block = [&[0x38; 4][..], &[0x22; 32]].concat();
    let ones = open(&Gguf::default().tensor("w.weight", &[64], 40, &block));
    let mut values = [0.0_f32; 64];
    let tensor = ones.tensor("w.weight").unwrap();
    assert!(ones.scale_of(&tensor).is_none());
    ones.dequantize_scaled_into(&tensor, &mut values).unwrap();
    assert_eq!(values, [1.0; 64]);
    let scale = |values: &[f32]| {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let file = |scales: &[f32]| {
        let two = [block.clone(), block.clone()].concat();
        let file = Gguf::default().tensor("w.weight", &[64, 2], 40, &two);
        open(&file.tensor("w.scale", &[scales.len() as u64], 0, &scale(scales)))
    };
    for (scales, expected) in [(&[3.0][..], [3.0, 3.0]), (&[0.5, 2.0], [0.5, 2.0])] {
        let model = file(scales);
        let tensor = model.tensor("w.weight").unwrap();
        let mut values = [half::f16::ZERO; 128];
        model.dequantize_scaled_into(&tensor, &mut values).unwrap();
        assert!(
            values[..64]
                .iter()
                .all(|value| value.to_f32() == expected[0])
        );
        assert!(
            values[64..]
                .iter()
                .all(|value| value.to_f32() == expected[1])
        );
    }
    let wrong = file(&[1.0, 2.0, 3.0]);
    let tensor = wrong.tensor("w.weight").unwrap();
    assert!(
        wrong
            .dequantize_scaled_into(&tensor, &mut [0.0_f32; 128])
            .is_err()
    );
}
