//! What differs between two models, and between a model and what an engine expects.

#![allow(missing_docs, unreachable_pub)]

mod support;

use weighbridge::{Checkpoint, DType, Expected};

fn open(name: &str) -> Checkpoint {
    weighbridge::open(support::file(name)).unwrap()
}

#[test]
fn a_load_report_names_everything_once() {
    let model = open("safetensors/network.safetensors");
    let other = open("safetensors/network_bf16.safetensors");
    let shapes: Vec<(String, Vec<usize>)> = model
        .tensors()
        .map(|tensor| (tensor.name().to_owned(), tensor.shape().to_vec()))
        .collect();
    let all = |dtype: Option<DType>| {
        shapes
            .iter()
            .map(move |(name, shape)| Expected { name, shape, dtype })
    };
    assert!(model.diff(all(None)).is_exact());
    assert!(model.diff(all(Some(DType::F32))).is_exact());
    let report = other.diff(all(Some(DType::F32)));
    assert_eq!(report.mismatched.len(), shapes.len());
    assert!(
        report
            .mismatched
            .iter()
            .all(|one| one.is_of_dtype() && !one.is_of_shape())
    );
    assert_eq!(report.mismatched[0].dtypes, (DType::BF16, Some(DType::F32)));

    let wrong = [1, 2, 3];
    let expected = all(None).skip(2).map(|mut expected| {
        if expected.name == "norm.weight" {
            expected.shape = &wrong;
        }
        expected
    });
    let extra = ["b.missing", "a.missing"].map(|name| Expected {
        name,
        shape: &[],
        dtype: None,
    });
    let report = model.diff(expected.chain(extra));
    assert_eq!(report.missing, ["a.missing", "b.missing"]);
    let mut unexpected: Vec<&String> = shapes.iter().take(2).map(|(name, _)| name).collect();
    unexpected.sort();
    assert_eq!(report.unexpected.iter().collect::<Vec<_>>(), unexpected);
    let [mismatch] = report.mismatched.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(mismatch.name, "norm.weight");
    assert_eq!(mismatch.shapes.1, wrong);
    assert_eq!(report.matched, shapes.len() - 3);
    assert_eq!(
        report.to_string(),
        format!(
            "{} as expected, 2 missing, 2 unexpected, 1 of another shape or type",
            report.matched
        )
    );
}

#[test]
fn one_model_in_every_container_is_the_same() {
    let first = open("safetensors/network.safetensors");
    let others = [
        "safetensors/sharded",
        "torch/network.pt",
        "torch/sharded",
        "gguf/network.gguf",
        "gguf/split",
    ];
    for name in others {
        let other = open(name);
        assert!(other.len() >= first.len(), "{name}");
        for tensor in first.tensors() {
            let found = other.tensor(tensor.name()).unwrap();
            assert!(
                tensor.has_same_elements(&found).unwrap(),
                "{name}: {tensor:?}"
            );
            let difference = tensor.difference(&found).unwrap();
            assert_eq!((difference.values, difference.at), (0, None));
        }
    }
}

#[test]
fn a_difference_says_how_large_and_where() {
    let values = |numbers: &[f32]| {
        let header = format!(
            r#"{{"x":{{"dtype":"F32","shape":[2,{}],"data_offsets":[0,{}]}}}}"#,
            numbers.len() / 2,
            numbers.len() * 4
        );
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        Checkpoint::from_bytes(support::safetensors::build(&header, &bytes)).unwrap()
    };
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let base = [1.0, 2.0, nan, inf, -0.0, 6.0];
    let cases: [(&[f32], u64, f32, Option<u64>); 6] = [
        (&[1.0, 2.0, nan, inf, 0.0, 6.0], 0, 0.0, None),
        (&[1.5, 2.0, nan, inf, 0.0, 5.0], 2, 1.0, Some(5)),
        (&[1.0, 2.0, 3.0, inf, 0.0, 6.0], 1, inf, Some(2)),
        (&[1.0, nan, nan, inf, 0.0, 6.0], 1, inf, Some(1)),
        (&[1.0, 2.0, nan, -inf, 0.0, 6.0], 1, inf, Some(3)),
        (&[1.0, 2.0, nan, 4.0, 0.0, 6.0], 1, inf, Some(3)),
    ];
    let base = values(&base);
    let own = base.tensor("x").unwrap();
    for (others, count, largest, at) in cases {
        let other = values(others);
        let other = other.tensor("x").unwrap();
        let found = own.difference(&other).unwrap();
        assert_eq!(
            (found.values, found.largest, found.at),
            (count, largest, at),
            "{others:?}"
        );
        assert!(!own.has_same_elements(&other).unwrap());
    }
    assert!(own.has_same_elements(&own).unwrap());
    let narrow = own.narrow(1, 1..).unwrap();
    assert!(own.difference(&narrow).is_err());
    assert!(!own.has_same_elements(&narrow).unwrap());
    // Strided parts: columns 1 and 2.
    let other = values(&[9.0, 2.0, nan, 9.0, 0.5, 6.0]);
    let other = other.tensor("x").unwrap();
    let found = narrow.difference(&other.narrow(1, 1..).unwrap()).unwrap();
    assert_eq!((found.values, found.largest, found.at), (1, 0.5, Some(2)));
}

/// Found by the fuzz target `accessors` on 2026-11-25: 76 bytes that took years.
#[test]
fn tensors_without_elements_are_compared_at_once() {
    let header = r#"{"x":{"dtype":"F32","shape":[1152921504606846976,0],"data_offsets":[0,0]}}"#;
    let file = support::safetensors::build(header, &[]);
    let little = Checkpoint::from_bytes(file).unwrap();
    let little = little.tensor("x").unwrap();
    assert_eq!(little.difference(&little).unwrap().values, 0);
    assert!(little.has_same_elements(&little).unwrap());
    let file = support::gguf::Gguf {
        big_endian: true,
        ..support::gguf::Gguf::default()
    };
    let file = file.tensor("x", &[0, 1 << 60], 0, &[]).build();
    let big = Checkpoint::from_bytes(file).unwrap();
    let big = big.tensor("x").unwrap();
    assert!(big.has_same_elements(&little).unwrap());
}
