//! JSON parts of files: values as the readers ask for them, and the errors of broken texts in the words of
//! `serde_json`, whichever of our two readers finds them.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::gguf::Gguf;
use support::safetensors::build;
use weighbridge::ErrorKind;
use weighbridge::formats::json::Json;
use weighbridge::formats::{gguf, safetensors};
use weighbridge::limits::Budget;

#[test]
fn values_answer_only_as_what_they_are() {
    let text =
        br#"["a\u00e9", -4, 0.5, 18446744073709551615, true, null, [1], {"k": 2}, 3.0, -1.0]"#;
    let json = Json::parse(text, &mut Budget::default()).unwrap();
    let values: Vec<_> = json.root().items().map(|(_, value)| value).collect();
    let texts: Vec<_> = values.iter().map(|value| value.to_text()).collect();
    let expected = [
        "a\u{e9}",
        "-4",
        "0.5",
        "18446744073709551615",
        "",
        "",
        "",
        "",
        "3",
        "-1",
    ];
    assert_eq!(texts, expected);
    let numbers: Vec<Option<u64>> = values.iter().map(|value| value.as_u64()).collect();
    let mut expected = [None; 10];
    (expected[3], expected[8]) = (Some(u64::MAX), Some(3));
    assert_eq!(numbers, expected);
    for (place, value) in values.iter().enumerate() {
        assert_eq!(value.as_bool(), (place == 4).then_some(true), "{place}");
        assert_eq!(value.as_str().is_some(), place == 0, "{place}");
        assert_eq!(value.is_null(), place == 5, "{place}");
        assert_eq!(value.is_object(), place == 7, "{place}");
        assert_eq!(value.has_items(), matches!(place, 6 | 7), "{place}");
        let inner = value.get("k").and_then(|inner| inner.as_u64());
        assert_eq!(inner, (place == 7).then_some(2), "{place}");
        let items = value.items().count();
        assert_eq!(items, usize::from(matches!(place, 6 | 7)), "{place}");
    }
}

#[test]
fn broken_texts_have_serde_jsons_words() {
    for text in [
        r#"{"a":tru"#,
        r#"{"a":t"#,
        r#"{"a":-"#,
        r#"{"a":-x}"#,
        r#"{"a":nul}"#,
        r#"{"a":01}"#,
        r#"{"a":"\ud800\u0041"}"#,
        r#"{"a":"\udc00"}"#,
        r#"{"a":"\ud800x"}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"#,
        r#"{"__metadata__":{"a":"\ud800\u0041"}}"#,
        r#"{"__metadata__":{"a":"\ud800\ud800"}}"#,
        r#"{"x":{"dtype":"U8","data_offsets":[0,1],"shape":["#,
        r#"{"x":{"dtype":"U8","data_offsets":[0,1],"shape":[1,"#,
        r#"{"x":{"dtype":"U8","shape":[1],"data_offsets":[-"#,
        r#"{"x":{"dtype":"U8","shape":[1],"data_offsets":["#,
        r#"{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,"#,
    ] {
        let theirs = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
        let theirs = theirs.to_string();
        let words = theirs.split(" at line").next().unwrap();
        let mut budget = Budget::default();
        let part = Json::parse(text.as_bytes(), &mut budget).unwrap_err();
        let header = build(text, &[0]);
        let whole = safetensors::read(&header, &mut budget).unwrap_err();
        for error in [part, whole] {
            assert_eq!(error.kind(), ErrorKind::Malformed, "{text}: {error}");
            let code = error.as_malformed().map(|rule| rule.code());
            assert_eq!(code, Some("invalid"), "{text}: {error}");
            assert!(
                error.to_string().contains(words),
                "{text}: {theirs}: {error}"
            );
        }
    }
}

#[test]
fn escapes_of_texts_are_those_of_json() {
    let text = r#"{"__metadata__":{"a":"\/\"\\\b\f\n\r\t\u0041\ud83d\ude00"}}"#;
    let theirs: serde_json::Value = serde_json::from_str(text).unwrap();
    let expected = theirs["__metadata__"]["a"].as_str().unwrap();
    let model = weighbridge::Checkpoint::from_bytes(build(text, &[])).unwrap();
    let found = model.metadata().get("a").unwrap();
    assert_eq!(found.as_str(), Some(expected));
    let json = Json::parse(text.as_bytes(), &mut Budget::default()).unwrap();
    let inner = json.root().get("__metadata__").unwrap().get("a").unwrap();
    assert_eq!(inner.as_str(), Some(expected));
}

/// The reader of one format, given a file of another, names what it found.
#[test]
fn another_magic_is_an_error_of_the_reader() {
    let file = Gguf {
        magic: *b"GGML",
        ..Gguf::default()
    };
    let error = gguf::read(&file.build(), &mut Budget::default()).unwrap_err();
    let code = error.as_malformed().map(|rule| rule.code());
    assert_eq!(code, Some("unexpected"), "{error}");
    assert!(error.to_string().contains("GGML"), "{error}");
    assert_eq!(error.offset(), Some(0));
}

/// A text with escapes is copied without them, and the copy is charged; another stays in the file.
#[test]
fn texts_with_escapes_cost_their_bytes() {
    let least = |text: &str| {
        let fits = |heap_bytes: u64| {
            let mut limits = weighbridge::Limits::default();
            limits.heap_bytes = heap_bytes;
            let mut budget = Budget::new(limits, weighbridge::Strictness::Strict);
            Json::parse(text.as_bytes(), &mut budget).is_ok()
        };
        (0..20_000).find(|&heap_bytes| fits(heap_bytes)).unwrap()
    };
    let plain = "x".repeat(1_000);
    let borrowed = least(&format!(r#"["{plain}"]"#));
    assert!(borrowed > 0);
    assert_eq!(least(&format!(r#"["{plain}\n"]"#)), borrowed + 1_001);
    assert_eq!(least(&format!(r#"["{plain}", "a"]"#)), borrowed);
}

/// A value of another type is named in the words of `serde_json`.
#[test]
fn values_of_a_wrong_type_have_serde_jsons_words() {
    type Fields = std::collections::BTreeMap<String, std::collections::BTreeMap<String, u8>>;
    for value in [
        "false",
        "true",
        "null",
        "5",
        "-5",
        "18446744073709551615",
        "1.5",
        "-1e3",
        "\"text\"",
        "\"a\\u00e9\"",
        "[]",
        "[1]",
    ] {
        let text = format!(r#"{{"x":{value}}}"#);
        let theirs = serde_json::from_str::<Fields>(&text)
            .unwrap_err()
            .to_string();
        let words = theirs.split(", expected").next().unwrap();
        assert!(words.starts_with("invalid type: "), "{theirs}");
        let mut budget = Budget::default();
        let error = safetensors::read(&build(&text, &[0]), &mut budget).unwrap_err();
        assert!(
            error.to_string().contains(words),
            "{text}: {theirs}: {error}"
        );
    }
}

/// A list of dimensions is not read beyond the first that is too many.
#[test]
fn a_shape_is_read_up_to_the_limit_of_the_rank() {
    let mut limits = weighbridge::Limits::default();
    limits.rank = 2;
    for (shape, needed) in [
        ("1,1", None),
        ("1,1,1", Some(3)),
        ("1,1,1,1,1", Some(3)),
        ("1,1,1,1,1,1,1,1,1,1", Some(3)),
    ] {
        let text = format!(r#"{{"x":{{"dtype":"U8","shape":[{shape}],"data_offsets":[0,1]}}}}"#);
        let mut budget = Budget::new(limits, weighbridge::Strictness::Strict);
        let read = safetensors::read(&build(&text, &[0]), &mut budget);
        let limit = read.err().map(|error| error.as_limit().unwrap());
        assert_eq!(limit, needed.map(|needed| ("rank", needed, 2)), "{shape}");
    }
}

#[test]
fn lists_of_numbers_have_one_between_two_commas() {
    for list in [
        "[,]", "[,,]", "[1,]", "[,1]", "[1,,1]", "[", "[1", "[01]", "[1 1]", "[1;1]",
    ] {
        for text in [
            format!(r#"{{"x":{{"dtype":"U8","shape":{list},"data_offsets":[0,0]}}}}"#),
            format!(r#"{{"x":{{"dtype":"U8","data_offsets":{list},"shape":[0]}}}}"#),
        ] {
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_err());
            let read = safetensors::read(&build(&text, &[]), &mut Budget::default());
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Malformed, "{text}");
        }
    }
}
