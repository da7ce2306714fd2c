//! Each getter of metadata beside each type of GGUF values and arrays: only the matching ones give a value.
//! Reading an array as another type than it has was an over-read elsewhere (llama.cpp #26690).

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::gguf::{ARRAY, Gguf};
use weighbridge::formats::gguf::Model;
use weighbridge::{Checkpoint, ErrorKind, Value, ValueType};

/// One value of a type as it stands in a file: the number 1, `true`, `"one"`, an empty array of bytes.
fn one(value_type: ValueType) -> Vec<u8> {
    match value_type {
        ValueType::U8 | ValueType::I8 | ValueType::Bool => vec![1],
        ValueType::U16 | ValueType::I16 => 1_u16.to_le_bytes().to_vec(),
        ValueType::U32 | ValueType::I32 => 1_u32.to_le_bytes().to_vec(),
        ValueType::U64 | ValueType::I64 => 1_u64.to_le_bytes().to_vec(),
        ValueType::F32 => 1_f32.to_le_bytes().to_vec(),
        ValueType::F64 => 1_f64.to_le_bytes().to_vec(),
        ValueType::String => [&3_u64.to_le_bytes()[..], b"one"].concat(),
        ValueType::Array => [&0_u32.to_le_bytes()[..], &0_u64.to_le_bytes()].concat(),
    }
}

const UNSIGNED: &[ValueType] = &[
    ValueType::U8,
    ValueType::U16,
    ValueType::U32,
    ValueType::U64,
];
const SIGNED: &[ValueType] = &[
    ValueType::I8,
    ValueType::I16,
    ValueType::I32,
    ValueType::I64,
];
const FLOATS: &[ValueType] = &[ValueType::F32, ValueType::F64];

/// A getter, and the types that it answers to.
type Getter = (&'static str, fn(Value<'_>) -> bool, Vec<ValueType>);

fn getters() -> Vec<Getter> {
    let integers = [UNSIGNED, SIGNED].concat();
    vec![
        (
            "as_integer",
            |value| value.as_integer() == Some(1),
            integers.clone(),
        ),
        ("as_u64", |value| value.as_u64() == Some(1), integers),
        (
            "as_f64",
            |value| value.as_f64() == Some(1.0),
            FLOATS.to_vec(),
        ),
        (
            "as_bool",
            |value| value.as_bool() == Some(true),
            vec![ValueType::Bool],
        ),
        (
            "as_str",
            |value| value.as_str() == Some("one"),
            vec![ValueType::String],
        ),
        (
            "as_array",
            |value| value.as_array().is_some(),
            vec![ValueType::Array],
        ),
    ]
}

/// The same of a model, where a wrong type is an error that names the key.
type Typed = (
    &'static str,
    fn(&Model<'_>, &str) -> weighbridge::Result<bool>,
    Vec<ValueType>,
);

fn typed() -> Vec<Typed> {
    let integers = [UNSIGNED, SIGNED].concat();
    let numbers = [FLOATS, &integers].concat();
    vec![
        (
            "number",
            |model, key| Ok(model.number(key, 9)? == Some(1)),
            integers,
        ),
        (
            "float",
            |model, key| Ok(model.float(key)? == Some(1.0)),
            numbers,
        ),
        (
            "flag",
            |model, key| Ok(model.flag(key)? == Some(true)),
            vec![ValueType::Bool],
        ),
        (
            "text",
            |model, key| Ok(model.text(key)? == Some("one")),
            vec![ValueType::String],
        ),
        (
            "list",
            |model, key| Ok(model.list(key, ValueType::U8)?.is_some()),
            vec![ValueType::Array],
        ),
    ]
}

/// A file with one key for each type, named as the type is.
fn scalars(version: u32, big_endian: bool) -> Checkpoint {
    let mut file = Gguf {
        version,
        big_endian,
        ..Gguf::default()
    };
    for &value_type in ValueType::ALL {
        let mut value = one(value_type);
        if big_endian {
            // A string and an array have a length first.
            match value_type {
                ValueType::String => value[..8].reverse(),
                ValueType::Array => {}
                _ => value.reverse(),
            }
        }
        file = file.pair(value_type.name().as_bytes(), value_type.code(), &value);
    }
    Checkpoint::from_bytes(file.build()).unwrap()
}

#[test]
fn each_getter_gives_only_its_types() {
    let mut pairs = 0;
    for checkpoint in [scalars(3, false), scalars(3, true), scalars(2, false)] {
        let metadata = checkpoint.metadata();
        assert!(!metadata.is_empty());
        let model = Model::new(metadata);
        for &value_type in ValueType::ALL {
            let key = value_type.name();
            let value = metadata.get(key).unwrap();
            assert_eq!(value.value_type(), value_type);
            for (name, gives, types) in getters() {
                let expected = types.contains(&value_type);
                assert_eq!(gives(value), expected, "{name} of {key}");
                pairs += 1;
            }
            for (name, gives, types) in typed() {
                let found = gives(&model, key);
                match types.contains(&value_type) {
                    true => assert!(found.unwrap(), "{name} of {key}"),
                    false => {
                        let error = found.unwrap_err();
                        assert_eq!(error.kind(), ErrorKind::Malformed, "{name} of {key}");
                        assert!(error.offset().is_some());
                        assert!(error.to_string().contains(key), "{error}");
                    }
                }
                pairs += 1;
            }
        }
    }
    assert_eq!(pairs, 3 * 13 * 11);
}

#[test]
fn each_array_gives_only_elements_of_its_type() {
    let count = 3_u64;
    let mut pairs = 0;
    for &held in ValueType::ALL {
        // Arrays of arrays are refused by strict reading; the rest of the table is tried.
        if held == ValueType::Array {
            continue;
        }
        let elements = one(held).repeat(count as usize);
        let value = [
            &held.code().to_le_bytes()[..],
            &count.to_le_bytes(),
            &elements,
        ]
        .concat();
        let file = Gguf::default().pair(b"list", ARRAY, &value).build();
        let checkpoint = Checkpoint::from_bytes(file).unwrap();
        let array = checkpoint
            .metadata()
            .get("list")
            .unwrap()
            .as_array()
            .unwrap();
        assert_eq!((array.value_type(), array.len()), (held, count));
        assert_eq!(array.iter().count() as u64, count);
        assert!(array.iter().all(|value| value.value_type() == held));
        for &wanted in ValueType::ALL {
            let bytes = array.number_bytes(wanted);
            let listed = Model::new(checkpoint.metadata()).list("list", wanted);
            pairs += 1;
            if wanted == held {
                assert_eq!(bytes.unwrap(), elements, "{wanted:?}");
                assert!(listed.unwrap().is_some());
                continue;
            }
            let error = bytes.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Caller, "{held:?} as {wanted:?}");
            assert_eq!(listed.unwrap_err().kind(), ErrorKind::Malformed);
        }
        let strings = array.strings().map(|texts| texts.count() as u64).ok();
        assert_eq!(strings, (held == ValueType::String).then_some(count));
    }
    assert_eq!(pairs, 12 * 13);
}

#[test]
fn numbers_above_their_cap_are_errors() {
    let file = Gguf::default().pair_u32("n", 10).build();
    let checkpoint = Checkpoint::from_bytes(file).unwrap();
    let model = Model::new(checkpoint.metadata());
    assert_eq!(model.number("n", 10).unwrap(), Some(10));
    assert_eq!(
        model.number("n", 9).unwrap_err().kind(),
        ErrorKind::Malformed
    );
    assert_eq!(model.number("absent", 9).unwrap(), None);
}
