//! Archives of torch with more than one pickle, put together by hand: programs of `torch.export`, packages,
//! TorchScript for mobile devices.
//!
//! Rules: torch 2.15.0 `torch/export/pt2_archive/_package.py`, `torch/package/package_importer.py`, and what
//! `_save_to_buffer_for_lite_interpreter` writes.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::outcome::{code, error_at, has, values};
use support::torch::{
    call, checkpoint, dict, encoded, int, numpy_array, numpy_dtype, pickle, pickle_of, storage,
    tensor, text, tuple,
};
use support::zip::{Entry, Zip, deflated, entry};
use weighbridge::{Checkpoint, DType, ErrorKind, Verdict};

/// 1, 2: eight bytes of a storage.
const ONE_TWO: [u8; 8] = [0, 0, 128, 63, 0, 0, 0, 64];

fn weight(path: &str, strides: &str, layout: u32) -> String {
    format!(
        r#"{{"path_name":"{path}","is_param":true,"use_pickle":false,"tensor_meta":{{"dtype":7,
        "sizes":[{{"as_int":2}}],"requires_grad":false,"device":{{"type":"cpu","index":null}},
        "strides":[{strides}],"storage_offset":{{"as_int":0}},"layout":{layout}}}}}"#
    )
}

const ONE: &str = r#"{"as_int":1}"#;

fn program(more: Vec<Entry>) -> Vec<u8> {
    let mut entries = vec![
        entry("p/archive_format", b"pt2"),
        entry("p/version", b"3\n"),
        entry("p/byteorder", b"little"),
        entry("p/data/weights/weight_0", &ONE_TWO),
    ];
    entries.extend(more);
    Zip::of(entries).build()
}

fn config(name: &str, weights: &[(&str, String)]) -> (String, String) {
    let weights: Vec<String> = weights
        .iter()
        .map(|(name, weight)| format!(r#""{name}":{weight}"#))
        .collect();
    (
        format!("p/data/weights/{name}_weights_config.json"),
        format!(r#"{{"config":{{{}}}}}"#, weights.join(",")),
    )
}

#[test]
fn tensors_of_two_programs_are_told_apart_by_the_programs_names() {
    let weights = [("w", weight("weight_0", ONE, 7))];
    let (first, json) = config("first", &weights);
    let (second, _) = config("second", &weights);
    let file = program(vec![
        entry("p/models/first.json", b"{}"),
        entry("p/models/second.json", b"{}"),
        entry(&first, json.as_bytes()),
        deflated(&second, json.as_bytes()),
    ]);
    let model = Checkpoint::from_bytes(file).unwrap();
    assert_eq!(model.len(), 2);
    for name in ["first.w", "second.w"] {
        assert_eq!(values(&model, name), [1.0, 2.0]);
    }
    let storages: Vec<u32> = model.tensors().map(|tensor| tensor.storage()).collect();
    assert_eq!(storages[0], storages[1], "one storage, shared");
}

#[test]
fn sample_inputs_are_looked_at_even_deflated() {
    let weights = [("w", weight("weight_0", ONE, 7))];
    let (name, json) = config("m", &weights);
    let input = |body: &[u8]| {
        program(vec![
            entry(&name, json.as_bytes()),
            deflated("p/data/sample_inputs/m.pt", &checkpoint(body)),
        ])
    };
    let view = tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]);
    let model = Checkpoint::from_bytes(input(&pickle_of(view))).unwrap();
    assert_eq!(model.len(), 1);
    assert!(has(&model, "sample-inputs", "1 tensors"));
    let runs = call("os", "system", &[text("echo never")]);
    let error = Checkpoint::from_bytes(input(&pickle(runs))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
}

#[test]
fn weights_that_are_checkpoints_of_their_own_are_read_from_inside() {
    let pickled = |path: &str| {
        format!(r#"{{"path_name":"{path}","is_param":true,"use_pickle":true,"tensor_meta":null}}"#)
    };
    let (name, json) = config(
        "m",
        &[
            ("a", pickled("weight_1")),
            ("b", pickled("weight_2")),
            ("c", pickled("weight_3")),
        ],
    );
    // An array that protocol 2 writes as text has to be decoded into a buffer of its own.
    let array = numpy_array(
        numpy_dtype("u1", "|"),
        &[3],
        false,
        encoded("\u{1}\u{80}\u{ff}"),
    );
    let view = tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]);
    let inner = pickle(dict(&[(text("x"), view), (text("n"), array)]));
    let file = program(vec![
        entry(&name, json.as_bytes()),
        entry("p/data/weights/weight_1", &checkpoint(&inner)),
        // torch stores it; a program that zips the archive again deflates it.
        deflated("p/data/weights/weight_3", &checkpoint(&inner)),
        entry("p/data/weights/weight_2", &checkpoint(&inner)),
    ]);
    let model = Checkpoint::from_bytes(file.clone()).unwrap();
    assert_eq!(model.len(), 6);
    for weight in ["a", "b", "c"] {
        assert_eq!(values(&model, &format!("{weight}.x")), [1.0, 2.0]);
        let array = model.tensor(&format!("{weight}.n")).unwrap();
        assert_eq!(array.dtype(), DType::U8);
        assert_eq!(array.bytes().unwrap(), [1, 0x80, 0xff]);
    }
    let location = model.tensor("b.x").unwrap().location().unwrap();
    let start = location.offset as usize;
    assert_eq!(file[start..start + 8], ONE_TWO);
}

#[test]
fn descriptions_of_programs_that_break_a_rule_are_errors() {
    for (weight, expected, words) in [
        (
            weight("weight_0", &format!("{ONE},{ONE}"), 7),
            "unexpected",
            "strides",
        ),
        (weight("weight_9", ONE, 7), "missing", "weight_9"),
        (
            weight("weight_0", r#"{"as_int":-1}"#, 7),
            "unexpected",
            "strides",
        ),
        (
            String::from(r#"{"tensor_meta":{}}"#),
            "missing",
            "path_name",
        ),
    ] {
        let (name, json) = config("m", &[("w", weight)]);
        let file = program(vec![entry(&name, json.as_bytes())]);
        let error = error_at(&file, json.as_bytes());
        assert_eq!(code(&error), expected, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.tensor(), Some("w"), "{error}");
    }
    // Layout 2 is `SparseCsr` in the schema: such a tensor has no elements in rows.
    let (name, json) = config("m", &[("w", weight("weight_0", "", 2))]);
    let file = program(vec![entry(&name, json.as_bytes())]);
    let model = Checkpoint::from_bytes(file).unwrap();
    let error = model.tensor("w").unwrap().bytes().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Caller, "{error}");
}

#[test]
fn a_packages_code_makes_it_nothing_to_trust() {
    let package = |more: Vec<Entry>| {
        let view = tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]);
        let mut entries = vec![
            entry("p/.data/extern_modules", b"torch\n"),
            entry("p/.data/version", b"6\n"),
            entry("p/.data/0.storage", &ONE_TWO),
            entry("p/models/first.pkl", &pickle_of(view)),
        ];
        entries.extend(more);
        Checkpoint::from_bytes(Zip::of(entries).build()).unwrap()
    };
    let plain = package(Vec::new());
    assert_eq!(values(&plain, "models/first.pkl.x"), [1.0, 2.0]);
    assert_eq!(plain.verdict(), Verdict::Safe);
    let code = [("p/a/__init__.py", b""), ("p/a/model.py", b"")];
    let model = package(code.iter().map(|(name, text)| entry(name, *text)).collect());
    assert_eq!(values(&model, "models/first.pkl.x"), [1.0, 2.0]);
    assert_eq!(model.verdict(), Verdict::Unrecognised);
    assert!(has(&model, "package-code", "2 Python files"));
}

/// A zero among the sizes, as `torch.export` writes an empty buffer.
#[test]
fn a_weight_of_no_elements_has_its_shape() {
    let weight = weight("weight_0", ONE, 7).replace(r#"[{"as_int":2}]"#, r#"[{"as_int":0}]"#);
    // What is no truth value does not ask for a pickle.
    let weight = weight.replace(r#""use_pickle":false"#, r#""use_pickle":"true""#);
    let (name, json) = config("m", &[("e", weight)]);
    let file = program(vec![entry(&name, json.as_bytes())]);
    let model = Checkpoint::from_bytes(file).unwrap();
    let tensor = model.tensor("e").unwrap();
    assert_eq!((tensor.dtype(), tensor.shape()), (DType::F32, &[0][..]));
    assert!(tensor.bytes().unwrap().is_empty());
}

/// The byte code of a mobile module holds its constants once more, in the same storages.
#[test]
fn byte_code_shares_the_storages_of_the_constants() {
    let constant = || tensor(storage("FloatStorage", "0.storage", 2), 0, &[2], &[1]);
    let instructions = tuple(&[text("instructions"), tuple(&[])]);
    let constants = tuple(&[text("constants"), tuple(&[int(1), constant()])]);
    let function = tuple(&[
        text("__torch__.M.forward"),
        tuple(&[instructions, constants]),
    ]);
    let file = Zip::of(vec![
        entry(
            "m/data.pkl",
            &pickle_of(tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1])),
        ),
        entry("m/data/0", &[0; 8]),
        entry("m/constants/0.storage", &ONE_TWO),
        entry("m/constants.pkl", &pickle(tuple(&[constant()]))),
        entry("m/bytecode.pkl", &pickle(tuple(&[int(8), function]))),
        entry("m/version", b"3\n"),
    ]);
    let model = Checkpoint::from_bytes(file.build()).unwrap();
    assert_eq!(model.len(), 3);
    let names = ["CONSTANTS.c0", "bytecode.1.1.1.1.1"];
    let storages = names.map(|name| {
        assert_eq!(values(&model, name), [1.0, 2.0], "{name}");
        model.tensor(name).unwrap().storage()
    });
    assert_eq!(storages[0], storages[1]);
    assert!(!has(&model, "unused-storage", ""));
}
