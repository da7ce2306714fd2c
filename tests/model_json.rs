//! TorchScript before torch 1.3, whose module is a message in JSON: archives put together by hand.
//!
//! Rules: torch 1.2.0 and 1.13.1 `import_legacy.cpp`, `caffe2.proto` (`TensorProto.DataType`).

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::outcome::{code, error_at, has, values};
use support::torch::{call, dict, int, pickle, text, tuple};
use support::zip::{Entry, Zip, deflated, entry};
use weighbridge::{Checkpoint, DType, ErrorKind};

/// 1, 2: eight bytes of a storage.
const ONE_TWO: [u8; 8] = [0, 0, 128, 63, 0, 0, 0, 64];

fn script_with(model: Entry, more: Vec<Entry>) -> Vec<u8> {
    let mut entries = vec![
        entry("m/version", b"1\n"),
        entry("m/tensors/0", &ONE_TWO),
        model,
    ];
    entries.extend(more);
    Zip::of(entries).build()
}

fn script(json: &str) -> Vec<u8> {
    script_with(entry("m/model.json", json.as_bytes()), Vec::new())
}

fn described(fields: &str) -> String {
    format!(r#"{{"data":{{"key":"tensors/0"}},{fields}}}"#)
}

#[test]
fn a_message_may_be_deflated_and_spell_its_fields_either_way() {
    let floats = described(r#""dims":["2"],"strides":["1"],"dataType":"FLOAT""#);
    let whole = described(
        r#""dims":[2],"strides":[1],"data_type":2,"requires_grad":true,"offset":"0","device":"cpu""#,
    );
    let json = format!(
        r#"{{"proto_version":5,"tensors":[{floats},{whole}],"main_module":
            {{"submodules":[{{"name":"a","parameters":[{{"name":"b","tensor_id":"1"}}]}}]}}}}"#
    );
    let library = entry("m/libs/empty", b"");
    let file = script_with(deflated("m/model.json", json.as_bytes()), vec![library]);
    let model = Checkpoint::from_bytes(file).unwrap();
    assert_eq!(model.len(), 2);
    // Number 0 belongs to no module: the code calls it by its number.
    assert_eq!(values(&model, "CONSTANTS.c0"), [1.0, 2.0]);
    let whole = model.tensor("a.b").unwrap();
    assert_eq!(
        (whole.dtype(), whole.bytes().unwrap()),
        (DType::I32, &ONE_TWO[..])
    );
    assert!(whole.attributes().requires_grad);
    assert!(
        !has(&model, "unread-member", "libs"),
        "torch knows the folder"
    );
}

#[test]
fn quantized_tensors_of_a_message_keep_their_type_and_say_their_scale() {
    for (stated, scale, dtype, words) in [
        (
            r#""dataType":"BYTE""#,
            r#","scale":0.5,"zeroPoint":"3""#,
            DType::QUINT8,
            "scale 0.5 and zero point 3",
        ),
        (
            r#""dataType":7"#,
            r#","scale":2,"zero_point":-4"#,
            DType::QINT8,
            "scale 2 and zero point -4",
        ),
        (
            r#""dataType":"UINT8""#,
            "",
            DType::QUINT8,
            "scale 0 and zero point 0",
        ),
    ] {
        let fields = format!(r#""isQuantized":true,"dims":[8],"strides":[1],{stated}{scale}"#);
        let json = format!(
            r#"{{"tensors":[{}],"mainModule":{{"parameters":[{{"name":"q"}}]}}}}"#,
            described(&fields)
        );
        let model = Checkpoint::from_bytes(script(&json)).unwrap();
        assert_eq!(model.tensor("q").unwrap().dtype(), dtype);
        assert_eq!(model.tensor("q").unwrap().bytes().unwrap(), ONE_TWO);
        assert!(has(&model, "quantized", words), "{words}");
    }
}

/// STRING and UINT16 are types of the message that torch has no tensors of.
#[test]
fn a_type_of_the_message_that_torch_lacks_is_opaque() {
    let json = format!(
        r#"{{"tensors":[{}],"mainModule":{{"parameters":[{{"name":"s"}}]}}}}"#,
        described(r#""dims":[2],"strides":[1],"dataType":"STRING""#)
    );
    let model = Checkpoint::from_bytes(script(&json)).unwrap();
    let tensor = model.tensor("s").unwrap();
    assert_eq!(
        (tensor.dtype(), tensor.dtype_name()),
        (DType::Opaque, "STRING")
    );
    assert_eq!(tensor.shape(), [2]);
}

#[test]
fn messages_that_break_a_rule_are_errors() {
    let floats = |more: &str| described(&format!(r#""dataType":"FLOAT",{more}"#));
    let module = r#""mainModule":{"parameters":[{"name":"w","tensorId":"0"}]}"#;
    let good = floats(r#""dims":[2],"strides":[1]"#);
    // Short keys below long paths: each level repeats what stands above it.
    let long = "n".repeat(200);
    let deep = (0..40).fold(String::from("{}"), |inner, _| {
        format!(r#"{{"name":"{long}","submodules":[{inner}]}}"#)
    });
    let deep = deep.replacen("[{}]", "[]", 1);
    for (json, expected, words) in [
        (
            String::from(r#"{"protoVersion":"6","mainModule":{}}"#),
            "unexpected",
            "6",
        ),
        (
            String::from(r#"{"protoVersion":"2"}"#),
            "missing",
            "mainModule",
        ),
        (
            format!(
                r#"{{"tensors":[{good}],"mainModule":{{"parameters":[{{"name":"w","tensorId":"1"}}]}}}}"#
            ),
            "unexpected",
            "tensorId",
        ),
        (
            format!(
                r#"{{"tensors":[{good}],"mainModule":{{"parameters":[{{"name":"w","tensorId":"-1"}}]}}}}"#
            ),
            "unexpected",
            "tensorId",
        ),
        (
            format!(
                r#"{{"tensors":[{good}],"mainModule":{{"attributes":[{{"name":"w","id":"0"}}]}}}}"#
            ),
            "unexpected",
            "attribute",
        ),
        (
            format!(r#"{{"tensors":[{}],{module}}}"#, floats(r#""dims":[2]"#)),
            "unexpected",
            "strides",
        ),
        (
            format!(
                r#"{{"tensors":[{}],{module}}}"#,
                floats(r#""dims":[2],"strides":[-1]"#)
            ),
            "unexpected",
            "strides",
        ),
        (
            format!(
                r#"{{"tensors":[{}],{module}}}"#,
                floats(r#""dims":[2],"strides":[1],"offset":"-1""#)
            ),
            "unexpected",
            "offset",
        ),
        (
            format!(
                r#"{{"tensors":[{}],{module}}}"#,
                floats(r#""dims":[3],"strides":[1]"#)
            ),
            "out-of-range",
            "storage",
        ),
        (
            format!(r#"{{"tensors":[{{"dims":[2]}}],{module}}}"#),
            "missing",
            "data.key",
        ),
        (
            format!(r#"{{"tensors":[{{"data":{{"key":"tensors/1"}}}}],{module}}}"#),
            "missing",
            "tensors/1",
        ),
        (
            format!(r#"{{"tensors":[{{"data":"tensors/0"}}],{module}}}"#),
            "missing",
            "data.key",
        ),
        (
            format!(r#"{{"mainModule":{deep}}}"#),
            "out-of-range",
            "names",
        ),
        (
            String::from(r#"{"mainModule":{"parameters":[{}]}}"#),
            "missing",
            "name",
        ),
    ] {
        let error = error_at(&script(&json), json.as_bytes());
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert_eq!(code(&error), expected, "{json:.200}: {error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains("model.json"), "{error}");
    }
}

/// `build_tensor_from_id(number)` of `torch.jit._pickle`.
fn by_number(number: i32) -> Vec<u8> {
    call("torch.jit._pickle", "build_tensor_from_id", &[int(number)])
}

fn with_attributes(names: &[&str], pickled: &[u8]) -> Vec<u8> {
    let one = described(r#""dims":[2],"strides":[1],"dataType":"FLOAT""#);
    let tensors = vec![one; 40].join(",");
    let named = names.iter().enumerate();
    let named: Vec<String> = named
        .map(|(id, name)| format!(r#"{{"name":"{name}","id":"{id}"}}"#))
        .collect();
    let json = format!(
        r#"{{"tensors":[{tensors}],"mainModule":{{"attributes":[{}]}}}}"#,
        named.join(",")
    );
    let pickled = entry("m/attributes.pkl", pickled);
    script_with(entry("m/model.json", json.as_bytes()), vec![pickled])
}

#[test]
fn attributes_name_the_tensors_of_the_table() {
    // One list in two attributes, an object that makes no tensor, a text.
    let list = [
        b"](".to_vec(),
        by_number(3),
        by_number(4),
        b"eq\x07".to_vec(),
    ]
    .concat();
    let other = call("collections", "OrderedDict", &[]);
    let attributes = tuple(&[by_number(0), list, b"h\x07".to_vec(), other, text("t")]);
    let file = with_attributes(
        &["one", "list", "again", "dict", "text"],
        &pickle(attributes),
    );
    let model = Checkpoint::from_bytes(file).unwrap();
    assert_eq!(model.len(), 40);
    for name in ["one", "list.0", "list.1"] {
        assert_eq!(values(&model, name), [1.0, 2.0]);
    }
    assert!(!model.contains("again.0"), "entered once");
    assert!(model.contains("CONSTANTS.c1") && !model.contains("CONSTANTS.c3"));

    // Only torch's own calls make a list of its tensors.
    for (module, name) in [
        ("torch.jit._pickle", "one.0"),
        ("my.module", "CONSTANTS.c5"),
    ] {
        let items = [b"](".to_vec(), by_number(5), b"e".to_vec()].concat();
        let list = call(module, "build_tensorlist", &[items]);
        let file = with_attributes(&["one"], &pickle(tuple(&[list])));
        let model = Checkpoint::from_bytes(file).unwrap();
        assert!(model.contains(name), "{module}");
    }

    let pickled = pickle(dict(&[]));
    let file = with_attributes(&[], &pickled);
    let error = error_at(&file, &file[position(&file, &pickled)..][..8]);
    assert_eq!(code(&error), "unexpected", "{error}");
    assert!(error.to_string().contains("a tuple"), "{error}");
}

fn position(file: &[u8], part: &[u8]) -> usize {
    let mut parts = file.windows(part.len());
    parts.position(|found| found == part).unwrap()
}

/// A key of 900 bytes that a memo repeats forty times: the tensors that would take too long a name keep the number
/// that the code calls them by.
#[test]
fn names_that_a_memo_multiplies_end_at_a_limit() {
    let long = "k".repeat(900);
    let key = |place: i32| match place {
        0 => [text(&long), b"q\x01".to_vec()].concat(),
        _ => b"h\x01".to_vec(),
    };
    let dicts: Vec<Vec<u8>> = (0..40)
        .map(|place| dict(&[(key(place), by_number(place))]))
        .collect();
    let list = [b"](".to_vec(), dicts.concat(), b"e".to_vec()].concat();
    let file = with_attributes(&["a"], &pickle(tuple(&[list])));
    let model = Checkpoint::from_bytes(file.clone()).unwrap();
    assert_eq!(model.len(), 40, "every tensor of the table is there");
    assert!(model.contains(&format!("a.0.{long}")));
    let unnamed = model
        .tensors()
        .filter(|tensor| tensor.name().starts_with("CONSTANTS.c"))
        .count();
    assert!(unnamed > 0 && unnamed < 40, "{unnamed}");
    let names: usize = model.tensors().map(|tensor| tensor.name().len()).sum();
    assert!(names < 8 * file.len(), "{names}");
}

/// No elements: strides do not matter, nor do bytes.
#[test]
fn a_tensor_of_no_elements_needs_no_strides() {
    let json = format!(
        r#"{{"tensors":[{}],"mainModule":{{"parameters":[{{"name":"e"}}]}}}}"#,
        described(r#""dims":[0,3],"dataType":"FLOAT""#)
    );
    let model = Checkpoint::from_bytes(script(&json)).unwrap();
    let tensor = model.tensor("e").unwrap();
    assert_eq!((tensor.dtype(), tensor.shape()), (DType::F32, &[0, 3][..]));
    assert!(tensor.bytes().unwrap().is_empty());
}
