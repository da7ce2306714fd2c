//! Checkpoints inside archives: their tensors, and everything else that they say.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::safetensors::build;
use support::tar::{file, tar};
use support::torch::{call, checkpoint, dict, encoded, numpy_dtype, pickle, text};
use weighbridge::{Checkpoint, Value};

/// One scalar of each type, and a text.
fn values() -> Vec<u8> {
    let mut pairs = vec![(text("text"), text("words"))];
    for (code, bytes) in [
        ("b1", 1),
        ("i1", 1),
        ("i2", 2),
        ("i4", 4),
        ("i8", 8),
        ("u1", 1),
        ("u2", 2),
        ("u4", 4),
        ("u8", 8),
        ("f4", 4),
        ("f8", 8),
    ] {
        let letters: String = [
            "\u{1}", "\u{2}", "\u{83}", "\u{4}", "\u{5}", "\u{6}", "\u{7}", "\u{48}",
        ]
        .concat()
        .chars()
        .take(bytes)
        .collect();
        let arguments = [
            numpy_dtype(code, if bytes == 1 { "|" } else { "<" }),
            encoded(&letters),
        ];
        let scalar = call("numpy._core.multiarray", "scalar", &arguments);
        pairs.push((text(code), scalar));
    }
    checkpoint(&pickle(dict(&pairs)))
}

fn metadata(model: &Checkpoint) -> Vec<(String, Value<'_>)> {
    let metadata = model.metadata();
    let pairs = metadata.iter();
    pairs
        .map(|(key, value)| (key.as_str().unwrap().to_owned(), value))
        .collect()
}

#[test]
fn the_values_of_an_inner_checkpoint_are_those_of_it_alone() {
    let alone = Checkpoint::from_bytes(values()).unwrap();
    assert_eq!(alone.metadata().len(), 12);
    let one = Checkpoint::from_bytes(tar(&[file("a.pt", &values())])).unwrap();
    assert_eq!(metadata(&one), metadata(&alone));

    let two = tar(&[file("a.pt", &values()), file("b.pt", &values())]);
    let two = Checkpoint::from_bytes(two).unwrap();
    let expected: Vec<(String, Value<'_>)> = ["a.pt/", "b.pt/"]
        .iter()
        .flat_map(|prefix| {
            let pairs = metadata(&alone).into_iter();
            pairs.map(move |(key, value)| (format!("{prefix}{key}"), value))
        })
        .collect();
    assert_eq!(metadata(&two), expected);
}

#[test]
fn texts_of_a_safetensors_header_come_along() {
    let header = r#"{"__metadata__":{"format":"pt","a\nb":"\u00e9"},"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#;
    let model = Checkpoint::from_bytes(tar(&[file("a", &build(header, &[1, 2]))])).unwrap();
    let get = |key: &str| {
        model
            .metadata()
            .get(key)
            .unwrap()
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(get("format").as_deref(), Some("pt"));
    assert_eq!(get("a\nb").as_deref(), Some("é"));
    assert_eq!(model.tensor("x").unwrap().bytes().unwrap(), [1, 2]);
}
