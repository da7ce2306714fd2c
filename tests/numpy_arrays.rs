//! Arrays and scalars of NumPy in checkpoints: every type of scalar, the forms that their bytes are written in,
//! and states that the official writer gives records and dates.
//!
//! The layouts are those that NumPy 2.3 pickles with protocol 2 (`pickletools.dis` of `pickle.dumps`).

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::torch::{
    NONE, call, checkpoint, dict, empty_array, encoded, int, ints, numpy_array, numpy_dtype,
    numpy_dtype_with, pickle, pickle_of, text, tuple,
};
use weighbridge::{Checkpoint, DType, Error, ErrorKind, OpenOptions, ValueType, Verdict};

fn open(value: Vec<u8>) -> Checkpoint {
    Checkpoint::from_bytes(checkpoint(&pickle_of(value))).unwrap()
}

/// The error of a checkpoint whose verdict is not asked.
fn error(value: Vec<u8>) -> Error {
    let options = OpenOptions::new().allow_dangerous(true);
    let opened = options.from_bytes(checkpoint(&pickle_of(value)));
    opened.unwrap_err()
}

fn scalar(code: &str, order: &str, data: Vec<u8>) -> Vec<u8> {
    let arguments = [numpy_dtype(code, order), data];
    call("numpy._core.multiarray", "scalar", &arguments)
}

/// Bytes as text of Latin-1.
fn latin(bytes: &[u8]) -> Vec<u8> {
    let letters: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    encoded(&letters)
}

#[test]
fn scalars_of_every_type_become_metadata() {
    use ValueType::{Bool, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    for (code, order, bytes, value_type, number) in [
        ("b1", "|", vec![1], Bool, 1.0),
        ("i1", "|", vec![0xfe], I8, -2.0),
        ("i2", "<", (-300_i16).to_le_bytes().to_vec(), I16, -300.0),
        ("i2", ">", (-300_i16).to_be_bytes().to_vec(), I16, -300.0),
        (
            "i4",
            "<",
            (-70_000_i32).to_le_bytes().to_vec(),
            I32,
            -70_000.0,
        ),
        (
            "i8",
            ">",
            (1_i64 << 40).to_be_bytes().to_vec(),
            I64,
            1_099_511_627_776.0,
        ),
        ("u1", "|", vec![200], U8, 200.0),
        ("u2", "<", 60_000_u16.to_le_bytes().to_vec(), U16, 60_000.0),
        (
            "u4",
            ">",
            4_000_000_000_u32.to_be_bytes().to_vec(),
            U32,
            4e9,
        ),
        (
            "u8",
            "<",
            (1_u64 << 63).to_le_bytes().to_vec(),
            U64,
            9_223_372_036_854_775_808.0,
        ),
        // `np.float16(1.5)` is written as 0x3e00.
        ("f2", "<", vec![0x00, 0x3e], F32, 1.5),
        ("f2", ">", vec![0x3e, 0x00], F32, 1.5),
        ("f4", "<", 0.25_f32.to_le_bytes().to_vec(), F32, 0.25),
        ("f8", "<", (-0.1_f64).to_le_bytes().to_vec(), F64, -0.1),
    ] {
        let model = open(scalar(code, order, latin(&bytes)));
        let value = model.metadata().get("x").unwrap();
        assert_eq!(value.value_type(), value_type, "{code}");
        let found = match value_type {
            Bool => value.as_bool().map(|truth| f64::from(u8::from(truth))),
            F32 | F64 => value.as_f64(),
            _ => value.as_integer().map(|number| number as f64),
        };
        assert_eq!(found, Some(number), "{order}{code}");
        assert_eq!(model.verdict(), Verdict::Safe, "{code}");
    }
    // A complex number is no value of metadata: said, not lost in silence.
    let model = open(scalar("c8", "<", latin(&[0; 8])));
    assert!(model.metadata().get("x").is_none());
    let mut findings = model.findings();
    assert!(findings.any(|finding| finding.code == "scalar" && finding.message.contains("\"x\"")));
}

#[test]
fn scalars_that_have_not_the_bytes_of_their_type_are_errors() {
    for (value, words) in [
        (scalar("f4", "<", latin(&[0; 3])), "3 bytes long"),
        (scalar("f4", "<", latin(&[0; 5])), "5 bytes long"),
        (scalar("u1", "|", latin(b"abc")), "longer than its dtype"),
        (
            scalar("u1", "|", call("builtins", "bytes", &[])),
            "0 bytes long",
        ),
        (scalar("f4", "<", NONE.to_vec()), "none"),
    ] {
        let error = error(value);
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert!(error.to_string().to_lowercase().contains(words), "{error}");
        assert_eq!(error.tensor(), Some("x"), "{error}");
    }
}

#[test]
fn bytes_of_arrays_have_the_forms_that_picklers_write() {
    let of = |data: Vec<u8>| numpy_array(numpy_dtype("u1", "|"), &[2], false, data);
    let written: [(&str, Vec<u8>); 4] = [
        ("text of Latin-1", encoded("\u{1}\u{ff}")),
        ("bytes of protocol 3", b"C\x02\x01\xff".to_vec()),
        ("a string of Python 2", b"U\x02\x01\xff".to_vec()),
        (
            "a byte array of protocol 5",
            b"\x96\x02\0\0\0\0\0\0\0\x01\xff".to_vec(),
        ),
    ];
    for (form, data) in written {
        // No pickler gives an array a byte array: read, though not called safe.
        let options = OpenOptions::new().allow_dangerous(true);
        let file = checkpoint(&pickle_of(of(data)));
        let model = options.from_bytes(file).unwrap();
        let tensor = model.tensor("x").unwrap();
        assert_eq!(tensor.bytes().unwrap(), [1, 0xff], "{form}");
        let attributes = tensor.attributes();
        let class = (attributes.class_module, attributes.class_name);
        assert_eq!(class, ("numpy", "ndarray"), "{form}");
    }
    for (data, words) in [
        (encoded("\u{1}\u{100}"), "outside latin-1"),
        (
            call("_codecs", "encode", &[text("ab"), text("utf-8")]),
            "another encoding",
        ),
        (
            call("_codecs", "encode", &[b"U\x02ab".to_vec(), text("latin1")]),
            "no text",
        ),
        (call("collections", "OrderedDict", &[]), "result of a call"),
        (int(7), "an int"),
    ] {
        let error = error(of(data));
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        let told = error.to_string().to_lowercase();
        assert!(
            told.contains(words) && told.contains("data of an array"),
            "{error}"
        );
        assert!(
            error.offset().is_some() && error.tensor() == Some("x"),
            "{error}"
        );
    }
}

#[test]
fn arrays_whose_state_makes_no_tensor_are_errors_or_plain_values() {
    let frombuffer = |arguments: &[Vec<u8>]| call("numpy._core.numeric", "_frombuffer", arguments);
    for (value, code, words) in [
        (
            frombuffer(&[b"C\x01a".to_vec(), numpy_dtype("u1", "|")]),
            "unexpected",
            "arguments",
        ),
        (
            numpy_array(numpy_dtype("u1", "|"), &[i32::MAX; 3], false, encoded("a")),
            "overflow",
            "elements",
        ),
        (
            numpy_array(numpy_dtype("u1", "|"), &[i32::MAX; 3], true, encoded("a")),
            "overflow",
            "elements",
        ),
        (
            numpy_array(text("u1"), &[1], false, encoded("a")),
            "unexpected",
            "numpy.dtype",
        ),
        (
            numpy_array(numpy_dtype("u1", "|"), &[-1], false, encoded("a")),
            "unexpected",
            "shape",
        ),
        (
            numpy_array(numpy_dtype("u2", "<"), &[2], false, encoded("abc")),
            "",
            "",
        ),
    ] {
        let error = error(value);
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        if !code.is_empty() {
            let found = error.as_malformed().map(|rule| rule.code());
            assert_eq!(found, Some(code), "{error}");
        }
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.tensor(), Some("x"), "{error}");
    }
    // Without a state there is no array yet.
    let options = OpenOptions::new().allow_dangerous(true);
    let file = checkpoint(&pickle_of(empty_array()));
    assert_eq!(options.from_bytes(file).unwrap().len(), 0);
}

/// A buffer that travels beside the pickle is not in the file: the array has its shape alone.
#[test]
fn an_array_whose_buffer_travels_beside_the_pickle_has_no_data() {
    let arguments = [
        b"\x97".to_vec(),
        numpy_dtype("f4", "<"),
        ints(&[2, 3]),
        text("C"),
    ];
    let value = call("numpy._core.numeric", "_frombuffer", &arguments);
    let body = [
        b"\x80\x05".to_vec(),
        dict(&[(text("x"), value)]),
        b".".to_vec(),
    ]
    .concat();
    let options = OpenOptions::new().allow_dangerous(true);
    let model = options.from_bytes(checkpoint(&body)).unwrap();
    let tensor = model.tensor("x").unwrap();
    assert_eq!((tensor.dtype(), tensor.shape()), (DType::F32, &[2, 3][..]));
    assert_eq!(tensor.bytes().unwrap_err().kind(), ErrorKind::Caller);
}

/// `dtype([("a", "<f4"), ("b", "<i2")])`, `dtype(("f4", (2,)))`, `dtype("M8[ns]")`, records with objects: as NumPy
/// writes them.
#[test]
fn records_subarrays_and_dates_are_safe_and_opaque() {
    let record = |code: &str, second: Vec<u8>, bytes: i32, flags: i32| {
        let names = tuple(&[text("a"), text("b")]);
        let fields = dict(&[
            (text("a"), tuple(&[numpy_dtype("f4", "<"), int(0)])),
            (text("b"), tuple(&[second, int(4)])),
        ]);
        let parts = [NONE, &names, &fields, &int(bytes), &int(1), &int(flags)];
        numpy_dtype_with(code, &int(3), "|", &parts)
    };
    let subarray = tuple(&[numpy_dtype("f4", "<"), ints(&[2])]);
    let parts = [&subarray[..], NONE, NONE, &int(8), &int(4), &int(0)];
    let subarray = numpy_dtype_with("V8", &int(3), "|", &parts);
    let unit = tuple(&[encoded("ns"), int(1), int(1), int(1)]);
    let metadata = tuple(&[b"}".to_vec(), unit]);
    let minus = int(-1);
    let parts = [NONE, NONE, NONE, &minus, &minus, &int(0), &metadata];
    let date = numpy_dtype_with("M8", &int(4), "<", &parts);
    for (code, dtype, bytes) in [
        ("V6", record("V6", numpy_dtype("i2", "<"), 6, 16), 12),
        ("V12", record("V12", subarray.clone(), 12, 16), 24),
        ("M8", date, 16),
    ] {
        let model = open(numpy_array(dtype, &[2], false, latin(&vec![0; bytes])));
        assert_eq!(model.verdict(), Verdict::Safe, "{code}");
        let tensor = model.tensor("x").unwrap();
        assert_eq!((tensor.dtype(), tensor.dtype_name()), (DType::Opaque, code));
        assert_eq!(tensor.shape(), [2]);
        assert_eq!(tensor.byte_length(), bytes as u64);
    }
    // Objects in a record: NumPy writes a list, and a scalar of it as an array of itself.
    let objects = || record("V12", numpy_dtype("O8", "|"), 12, 27);
    let item = tuple(&[b"G\0\0\0\0\0\0\0\0".to_vec(), b"K\x05".to_vec()]);
    let list = [b"]".to_vec(), item, b"a".to_vec()].concat();
    let array = numpy_array(objects(), &[1], false, list.clone());
    let inner = numpy_array(objects(), &[], false, list);
    let scalar = call("numpy._core.multiarray", "scalar", &[objects(), inner]);
    let body = pickle(dict(&[(text("x"), array), (text("y"), scalar)]));
    let model = Checkpoint::from_bytes(checkpoint(&body)).unwrap();
    assert_eq!(model.verdict(), Verdict::Safe);
    assert_eq!(model.len(), 0);
    let five = model.metadata().get("x.0.1").unwrap();
    assert_eq!(five.as_integer(), Some(5));
}
