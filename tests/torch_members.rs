//! The members of torch's archives: which are read, which are noted, which are nobody's; and what a description says
//! of the tensors that it names.
//!
//! Rules: torch 2.15.0 `torch/serialization.py`, `torch/export/pt2_archive/_package.py`, `caffe2/serialize/inline_container.cc`,
//! `torch/csrc/jit/serialization/import.cpp`.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::outcome::{code, has, values};
use support::torch::{
    call, dict, encoded, global, good_pickle, members, numpy_array, numpy_dtype, pickle, pickle_of,
    storage, tensor, text, tuple,
};
use support::zip::{Entry, Zip, deflated, entry};
use weighbridge::{Checkpoint, DType, ErrorKind, Limits, OpenOptions, Verdict};

/// 1, 2: eight bytes of a storage.
const ONE_TWO: [u8; 8] = [0, 0, 128, 63, 0, 0, 0, 64];

/// The same in the other byte order.
const ONE_TWO_BIG: [u8; 8] = [63, 128, 0, 0, 64, 0, 0, 0];

fn floats(key: &str) -> Vec<u8> {
    tensor(storage("FloatStorage", key, 2), 0, &[2], &[1])
}

fn open(entries: Vec<Entry>) -> weighbridge::Result<Checkpoint> {
    Checkpoint::from_bytes(Zip::of(entries).build())
}

/// The names that findings of this code say.
fn told(model: &Checkpoint, code: &str) -> Vec<String> {
    let findings = model.findings().filter(|finding| finding.code == code);
    findings
        .map(|finding| finding.message.split('"').nth(1).unwrap().to_owned())
        .collect()
}

#[test]
fn only_members_that_torch_does_not_read_are_noted() {
    let known = [
        ("archive/byteorder", "little"),
        ("archive/.format_version", "1"),
        ("archive/.storage_alignment", "64"),
        ("archive/.data/serialization_id", "0123"),
        ("archive/code/x.py", "pass"),
        ("archive/extra/notes", "text"),
        ("archive/empty", ""),
        ("archive/folder/", ""),
    ];
    let mut entries = members(&good_pickle());
    entries.extend(known.map(|(name, text)| entry(name, text.as_bytes())));
    let model = open(entries.clone()).unwrap();
    assert_eq!(told(&model, "unknown-member"), Vec::<String>::new());
    // Before, between and behind those that are read.
    for place in [1, 2, entries.len()] {
        let mut entries = entries.clone();
        entries.insert(place, entry("archive/notes.txt", b"text"));
        let model = open(entries).unwrap();
        assert_eq!(told(&model, "unknown-member"), ["archive/notes.txt"]);
    }
}

#[test]
fn storages_that_no_tensor_uses_are_named_in_order() {
    let mut entries = members(&good_pickle());
    for key in ["b", "a", "10"] {
        entries.push(entry(&format!("archive/data/{key}"), &ONE_TWO));
    }
    let model = open(entries).unwrap();
    assert_eq!(told(&model, "unused-storage"), ["10", "a", "b"]);
    let model = open(members(&good_pickle())).unwrap();
    assert!(told(&model, "unused-storage").is_empty());
}

#[test]
fn texts_of_up_to_64_bytes_are_read() {
    for (length, read) in [(64, true), (65, false)] {
        let mut entries = members(&good_pickle());
        let version = format!("3{}", " ".repeat(length - 1));
        entries[2] = entry("archive/version", version.as_bytes());
        match open(entries) {
            Ok(_) => assert!(read),
            Err(error) => {
                assert!(!read);
                assert_eq!(code(&error), "unexpected", "{error}");
                assert_eq!(error.member(), Some("archive/version"));
            }
        }
    }
}

/// Bytes may lie in the file, in an inflated member, in the inflated pickle, or in an array that was decoded.
#[test]
fn bytes_are_found_wherever_they_were_inflated_to() {
    let array = |data: Vec<u8>| numpy_array(numpy_dtype("u1", "|"), &[3], false, data);
    let data_pkl = pickle(dict(&[
        (text("in the pickle"), array(b"C\x03\x01\x02\x03".to_vec())),
        (text("decoded"), array(encoded("\u{4}\u{85}\u{ff}"))),
        (text("deflated"), floats("0")),
        (text("decoded too"), array(encoded("\u{7}\u{80}\u{9}"))),
        (text("stored"), floats("1")),
    ]));
    for pickle in [
        entry("archive/data.pkl", &data_pkl),
        deflated("archive/data.pkl", &data_pkl),
    ] {
        let model = open(vec![
            pickle,
            deflated("archive/data/0", &ONE_TWO),
            entry("archive/data/1", &[0, 0, 128, 64, 0, 0, 160, 64]),
            entry("archive/version", b"3\n"),
        ]);
        let model = model.unwrap();
        let bytes = |name: &str| model.tensor(name).unwrap().bytes().unwrap().to_vec();
        assert_eq!(bytes("in the pickle"), [1, 2, 3]);
        assert_eq!(bytes("decoded"), [4, 0x85, 0xff]);
        assert_eq!(bytes("decoded too"), [7, 0x80, 9]);
        assert_eq!(values(&model, "deflated"), [1.0, 2.0]);
        assert_eq!(values(&model, "stored"), [4.0, 5.0]);
    }
}

fn script(more: Vec<Entry>, data_pkl: Vec<u8>) -> weighbridge::Result<Checkpoint> {
    let mut entries = vec![
        entry("m/data.pkl", &data_pkl),
        entry("m/constants.pkl", &pickle(b")".to_vec())),
        entry("m/version", b"3\n"),
    ];
    entries.extend(more);
    open(entries)
}

/// The pickles of code beside the module may name storages of an archive that was made smaller.
#[test]
fn only_a_modules_own_storages_must_be_there() {
    let missing = || pickle_of(floats("7"));
    let error = script(Vec::new(), missing()).unwrap_err();
    assert_eq!(code(&error), "missing", "{error}");
    let beside = |name: &str| vec![entry(name, &missing())];
    let model = script(beside("m/attributes.pkl"), pickle(b"}".to_vec())).unwrap();
    assert_eq!(model.len(), 1);
    let tensor = model.tensors().next().unwrap();
    assert_eq!(tensor.shape(), [2]);
    assert_eq!(tensor.bytes().unwrap_err().kind(), ErrorKind::Caller);
}

#[test]
fn what_torch_reads_for_an_error_in_the_code_counts() {
    let runs = pickle(call("os", "system", &[text("echo never")]));
    for (name, kind) in [
        ("m/code/a.py.debug_pkl", Some(ErrorKind::Refused)),
        ("m/code/a.py", None),
    ] {
        let opened = script(vec![entry(name, &runs)], pickle(b"}".to_vec()));
        assert_eq!(opened.err().map(|error| error.kind()), kind, "{name}");
    }
    let broken = vec![entry("m/code/a.py.debug_pkl", b"\x80\x02")];
    let error = script(broken, pickle(b"}".to_vec())).unwrap_err();
    assert_eq!(error.member(), Some("m/code/a.py.debug_pkl"), "{error}");
}

fn package(more: Vec<Entry>, limits: Limits) -> weighbridge::Result<Checkpoint> {
    let mut entries = vec![
        entry("p/.data/extern_modules", b"torch\n"),
        entry("p/.data/version", b"6\n"),
        entry("p/models/first.pkl", &pickle_of(floats("0"))),
    ];
    entries.extend(more);
    let options = OpenOptions::new().limits(limits);
    options.from_bytes(Zip::of(entries).build())
}

/// A storage, a module of Python and the byte order are none, whatever their first bytes.
#[test]
fn only_resources_of_a_package_can_be_pickles() {
    let more = vec![
        entry("p/.data/0.storage", &[0x80, 2, 128, 63, 0, 0, 0, 64]),
        entry("p/a/model.py", b"\x80\x02"),
        entry("p/byteorder", b"little"),
        entry("p/notes.txt", b"text"),
    ];
    let model = package(more, Limits::default()).unwrap();
    assert_eq!(model.verdict(), Verdict::Unrecognised);
    assert!(!has(&model, "broken-pickle", ""));
    assert_eq!(values(&model, "models/first.pkl.x")[1], 2.0);
}

#[test]
fn a_resource_that_is_no_whole_pickle_leaves_the_rest() {
    let with =
        |name: &str, body: &[u8]| vec![entry("p/.data/0.storage", &ONE_TWO), entry(name, body)];
    let model = package(with("p/models/second.pkl", b"\x80\x02N"), Limits::default()).unwrap();
    assert_eq!(values(&model, "models/first.pkl.x"), [1.0, 2.0]);
    assert!(has(&model, "broken-pickle", "models/second.pkl"));
    assert_eq!(model.verdict(), Verdict::Malformed);
    // A tensor that is wrong is no such thing, nor is a limit.
    let wrong = pickle_of(tensor(storage("FloatStorage", "0", 2), 0, &[9], &[1]));
    let error = package(with("p/models/second.pkl", &wrong), Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    assert_eq!(error.tensor(), Some("models/second.pkl.x"), "{error}");
    let long = pickle([b"N0".repeat(100), b"N".to_vec()].concat());
    let mut limits = Limits::default();
    limits.pickle_opcodes = 150;
    let error = package(with("p/models/second.pkl", &long), limits).unwrap_err();
    assert_eq!(error.as_limit().unwrap().0, "pickle_opcodes", "{error}");
}

/// One weight of a program: sizes 2, strides 1.
fn weight(more: &str) -> String {
    format!(
        r#"{{"path_name":"weight_0","is_param":true,"tensor_meta":{{
        "sizes":[{{"as_int":2}}],"strides":[{{"as_int":1}}],"storage_offset":{{"as_int":0}},
        "layout":7,"device":{{"type":"cuda","index":0}},{more}}}}}"#
    )
}

fn program(weight: &str, storage: Entry, byteorder: &str, more: Vec<Entry>) -> Vec<u8> {
    let json = format!(r#"{{"config":{{"w":{weight}}}}}"#);
    let mut entries = vec![
        entry("p/archive_format", b"pt2"),
        entry("p/version", b"3\n"),
        entry("p/byteorder", byteorder.as_bytes()),
        storage,
        entry("p/data/weights/m_weights_config.json", json.as_bytes()),
    ];
    entries.extend(more);
    Zip::of(entries).build()
}

const WEIGHT: &str = "p/data/weights/weight_0";

#[test]
fn what_a_program_says_of_a_weight_is_kept() {
    let plain = weight(r#""dtype":7,"requires_grad":true"#);
    let stored = entry(WEIGHT, &ONE_TWO);
    let file = program(&plain, stored.clone(), "little", Vec::new());
    let model = Checkpoint::from_bytes(file).unwrap();
    assert_eq!(values(&model, "w"), [1.0, 2.0]);
    let attributes = model.tensor("w").unwrap().attributes();
    assert!(attributes.requires_grad);
    assert_eq!(attributes.device, "cuda");
    assert_eq!(attributes.class_name, "Tensor");
    let other = weight(r#""dtype":7,"requires_grad":false"#);
    let model = Checkpoint::from_bytes(program(&other, stored.clone(), "little", Vec::new()));
    let model = model.unwrap();
    assert!(!model.tensor("w").unwrap().attributes().requires_grad);

    let deflated = deflated(WEIGHT, &ONE_TWO);
    let model = Checkpoint::from_bytes(program(&plain, deflated, "little", Vec::new())).unwrap();
    assert_eq!(values(&model, "w"), [1.0, 2.0]);
    let big = entry(WEIGHT, &ONE_TWO_BIG);
    let model = Checkpoint::from_bytes(program(&plain, big, "big", Vec::new())).unwrap();
    assert_eq!(values(&model, "w"), [1.0, 2.0]);

    // A type of a later torch: its number is all that is known.
    let later = weight(r#""dtype":99"#);
    let model = Checkpoint::from_bytes(program(&later, stored.clone(), "little", Vec::new()));
    let model = model.unwrap();
    let tensor = model.tensor("w").unwrap();
    assert_eq!(tensor.dtype(), DType::Opaque);
    assert_eq!(tensor.dtype_name(), "ScalarType(99)");

    // More elements than a limit takes: the error stands where the description does.
    let file = program(&plain, stored, "little", Vec::new());
    let mut limits = Limits::default();
    limits.rank = 0;
    let error = OpenOptions::new().limits(limits).from_bytes(file.clone());
    let error = error.unwrap_err();
    let json = b"{\"config\"";
    let place = file.windows(json.len()).position(|part| part == json);
    assert_eq!(error.offset(), place.map(|at| at as u64), "{error}");
}

#[test]
fn a_weight_that_says_it_is_pickled_is_read_as_such() {
    let pickled =
        weight(r#""dtype":7"#).replace(r#""is_param""#, r#""use_pickle":true,"is_param""#);
    let inner = Zip::of(members(&good_pickle())).build();
    let file = program(&pickled, entry(WEIGHT, &inner), "little", Vec::new());
    let model = Checkpoint::from_bytes(file).unwrap();
    assert_eq!(values(&model, "w.x"), [1.0, 2.0]);
}

#[test]
fn sample_inputs_without_tensors_are_not_counted() {
    let plain = weight(r#""dtype":7"#);
    for (value, told) in [(text("none"), false), (floats("0"), true)] {
        let inner = Zip::of(members(&pickle_of(value))).build();
        let inputs = vec![entry("p/data/sample_inputs/m.pt", &inner)];
        let file = program(&plain, entry(WEIGHT, &ONE_TWO), "little", inputs);
        let model = Checkpoint::from_bytes(file).unwrap();
        assert_eq!(has(&model, "sample-inputs", ""), told);
    }
}

/// TorchScript before torch 1.3.
#[test]
fn a_message_of_json_says_where_its_tensors_lie() {
    let message = |dims: &str| {
        let tensor = format!(
            r#"{{"data":{{"key":"tensors/0"}},"dims":[{dims}],"strides":[1],"dataType":"FLOAT"}}"#
        );
        format!(r#"{{"tensors":[{tensor}],"mainModule":{{"parameters":[{{"name":"w"}}]}}}}"#)
    };
    let file = |storage: Entry, byteorder: &str, dims: &str| {
        let entries = vec![
            entry("m/version", b"1\n"),
            entry("m/byteorder", byteorder.as_bytes()),
            storage,
            entry("m/model.json", message(dims).as_bytes()),
        ];
        Zip::of(entries).build()
    };
    for (storage, byteorder) in [
        (entry("m/tensors/0", &ONE_TWO), "little"),
        (deflated("m/tensors/0", &ONE_TWO), "little"),
        (entry("m/tensors/0", &ONE_TWO_BIG), "big"),
    ] {
        let model = Checkpoint::from_bytes(file(storage, byteorder, "2")).unwrap();
        assert_eq!(values(&model, "w"), [1.0, 2.0], "{byteorder}");
    }
    let file = file(entry("m/tensors/0", &ONE_TWO), "little", "2");
    let mut limits = Limits::default();
    limits.rank = 0;
    let error = OpenOptions::new().limits(limits).from_bytes(file.clone());
    let error = error.unwrap_err();
    let json = b"{\"tensors\"";
    let place = file.windows(json.len()).position(|part| part == json);
    assert_eq!(error.offset(), place.map(|at| at as u64), "{error}");
}

#[test]
fn calls_that_only_look_like_tensors_are_objects() {
    let state = tuple(&[text("a"), text("b"), text("c"), text("d")]);
    let object = |name: &str| {
        [
            global("torch", name),
            b")R".to_vec(),
            state.clone(),
            b"b".to_vec(),
        ]
        .concat()
    };
    let options = OpenOptions::new().allow_dangerous(true);
    let open = |value: Vec<u8>| {
        let file = Zip::of(members(&pickle_of(value))).build();
        options.clone().from_bytes(file)
    };
    for name in ["FloatThing", "Tensor"] {
        let model = open(object(name)).unwrap();
        assert!(model.is_empty(), "{name}");
    }
    assert_eq!(
        open(object("FloatTensor")).unwrap_err().kind(),
        ErrorKind::Malformed
    );
    // Too few arguments are an error, wrong ones make no tensor.
    for (count, kind) in [(2, Some(ErrorKind::Malformed)), (3, None)] {
        let arguments = vec![text("a"); count];
        let opened = open(call("torch._tensor", "_rebuild_from_type_v2", &arguments));
        assert_eq!(opened.err().map(|error| error.kind()), kind, "{count}");
    }
    // Only torch's own calls of that name make tensors that are not known.
    let model = open(call("my.module", "_rebuild_thing", &[floats("0")])).unwrap();
    assert!(!has(&model, "unknown-rebuild", ""));
    assert_eq!(values(&model, "x.0"), [1.0, 2.0]);
}

/// Without a header, pickles may follow each other: their names start with their place.
#[test]
fn pickles_behind_each_other_are_told_apart() {
    let number = |number: u8| pickle(dict(&[(text("a"), vec![b'K', number])]));
    let file = [number(1), number(2), number(3)].concat();
    let model = Checkpoint::from_bytes(file).unwrap();
    for (key, expected) in [("a", 1), ("#1.a", 2), ("#2.a", 3)] {
        let value = model.metadata().get(key).unwrap();
        assert_eq!(value.as_integer(), Some(expected), "{key}");
    }
}

/// A resource that is one tensor is called as its member is.
#[test]
fn a_resource_that_is_one_tensor_has_its_name() {
    let more = vec![
        entry("p/.data/0.storage", &ONE_TWO),
        entry("p/weights/w.pkl", &pickle(floats("0"))),
    ];
    let model = package(more, Limits::default()).unwrap();
    assert_eq!(values(&model, "weights/w.pkl"), [1.0, 2.0]);
    // Whatever was read is no member that nobody reads.
    assert_eq!(told(&model, "unknown-member"), Vec::<String>::new());
    let model = open(members(&pickle(floats("0")))).unwrap();
    assert_eq!(values(&model, "tensor"), [1.0, 2.0]);
}

#[test]
fn what_is_read_of_a_program_is_not_noted_as_unread() {
    let plain = weight(r#""dtype":7"#);
    let inner = Zip::of(members(&good_pickle())).build();
    let more = vec![
        entry("p/models/m.json", b"{}"),
        entry("p/data/sample_inputs/m.pt", &inner),
        entry("p/notes.txt", b"text"),
    ];
    let model = Checkpoint::from_bytes(program(&plain, entry(WEIGHT, &ONE_TWO), "little", more));
    let noted = told(&model.unwrap(), "unknown-member");
    assert!(
        !noted
            .iter()
            .any(|name| name.contains("models/") || name.contains("sample_inputs/")),
        "{noted:?}"
    );
    assert!(noted.contains(&String::from("p/notes.txt")), "{noted:?}");
}
