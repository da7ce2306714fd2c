//! The calls that rebuild tensors, one by one: what torch writes for kinds of tensors that few checkpoints hold,
//! what older releases wrote, and calls whose arguments do not agree.
//!
//! Rules: torch 2.15.0 `torch/_utils.py`, `torch/_tensor.py` (`__setstate__` for the states of old Variables and
//! typed tensors), `torch/nested` (`_rebuild_nested_tensor` as `torch.save` writes it).

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::outcome::{code, has};
use support::torch::{
    NONE, call, checkpoint, dict, empty_array, encoded, global, int, ints, members, numpy_array,
    numpy_dtype, pickle, pickle_of, storage, tensor, text, tuple,
};
use support::zip::{Zip, entry};
use weighbridge::{Checkpoint, DType, ErrorKind, OpenOptions, Verdict};

const TRUE: &[u8] = &[0x88];
const FALSE: &[u8] = &[0x89];
/// The members' one storage: 1, 2 in single precision.
const ONE_TWO: [u8; 8] = [0, 0, 128, 63, 0, 0, 0, 64];

fn floats() -> Vec<u8> {
    tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1])
}

fn hooks() -> Vec<u8> {
    call("collections", "OrderedDict", &[])
}

fn utils(name: &str, arguments: &[Vec<u8>]) -> Vec<u8> {
    call("torch._utils", name, arguments)
}

fn open(value: Vec<u8>) -> Checkpoint {
    Checkpoint::from_bytes(checkpoint(&pickle_of(value))).unwrap()
}

/// Opens a file whose verdict is not asked.
fn look(value: Vec<u8>) -> weighbridge::Result<Checkpoint> {
    let options = OpenOptions::new().allow_dangerous(true);
    options.from_bytes(checkpoint(&pickle_of(value)))
}

fn names(model: &Checkpoint) -> Vec<String> {
    let mut names: Vec<String> = model
        .tensors()
        .map(|tensor| tensor.name().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_tensor_keeps_whether_it_takes_a_gradient() {
    for (flag, gradient) in [(TRUE, true), (FALSE, false)] {
        let [storage, size, stride] = [storage("FloatStorage", "0", 2), ints(&[2]), ints(&[1])];
        let arguments = [storage, int(0), size, stride, flag.to_vec(), hooks()];
        let model = open(utils("_rebuild_tensor_v2", &arguments));
        let tensor = model.tensor("x").unwrap();
        assert_eq!(tensor.attributes().requires_grad, gradient);
    }
}

#[test]
fn a_nested_tensor_is_its_four_parts() {
    let longs =
        |size: &[i32], stride: &[i32]| tensor(storage("LongStorage", "0", 1), 0, size, stride);
    let arguments = [
        floats(),
        longs(&[1, 1], &[1, 1]),
        longs(&[1, 1], &[1, 1]),
        longs(&[1], &[1]),
    ];
    let model = open(utils("_rebuild_nested_tensor", &arguments));
    let parts = ["x.buffer", "x.offsets", "x.sizes", "x.strides"];
    assert_eq!(names(&model), parts);
    assert_eq!(model.tensor("x.buffer").unwrap().bytes().unwrap(), ONE_TWO);
    assert_eq!(model.tensor("x.sizes").unwrap().dtype(), DType::I64);
    assert!(has(&model, "nested-tensor", ""));
    let error = look(utils("_rebuild_nested_tensor", &arguments[..3])).unwrap_err();
    assert_eq!(code(&error), "unexpected", "{error}");
    assert_eq!(error.tensor(), Some("x"));
}

/// `x = (scheme, scales, zero points, axis)` of eight integers in two rows.
fn quantized(scales: Vec<u8>, zero_points: Vec<u8>, axis: i32, gradient: &[u8]) -> Vec<u8> {
    let scheme = global("torch", "per_channel_affine");
    utils(
        "_rebuild_qtensor",
        &[
            storage("QInt8Storage", "0", 8),
            int(0),
            ints(&[2, 4]),
            ints(&[4, 1]),
            tuple(&[scheme, scales, zero_points, int(axis)]),
            gradient.to_vec(),
            hooks(),
        ],
    )
}

#[test]
fn each_channel_of_a_quantized_tensor_has_a_scale() {
    let doubles = |shape: &[i32]| {
        let strides = vec![0; shape.len()];
        tensor(storage("DoubleStorage", "0", 1), 0, shape, &strides)
    };
    let list = |count: usize| [b"](".to_vec(), int(1).repeat(count), b"e".to_vec()].concat();
    let model = open(quantized(doubles(&[2]), list(2), 0, TRUE));
    let tensor = model.tensor("x").unwrap();
    assert_eq!(
        (tensor.dtype(), tensor.shape()),
        (DType::QINT8, &[2, 4][..])
    );
    assert!(tensor.attributes().requires_grad);
    assert_eq!(model.tensor("x.scale").unwrap().shape(), [2]);
    let axis = model.metadata().get("x.axis").unwrap();
    assert_eq!(axis.as_integer(), Some(0));
    for (value, expected, words) in [
        (quantized(list(2), list(2), 2, FALSE), "unexpected", "axis"),
        (quantized(list(2), list(2), -1, FALSE), "unexpected", "axis"),
        (quantized(list(3), list(2), 0, FALSE), "mismatch", "scales"),
        (
            quantized(doubles(&[1, 2]), list(2), 0, FALSE),
            "mismatch",
            "scales",
        ),
        (
            quantized(list(2), doubles(&[4]), 0, FALSE),
            "mismatch",
            "zero points",
        ),
        (
            quantized(list(2), NONE.to_vec(), 0, FALSE),
            "mismatch",
            "zero points",
        ),
        (
            utils("_rebuild_sparse_tensor", &[]),
            "unexpected",
            "arguments",
        ),
        (
            utils(
                "_rebuild_wrapper_subclass",
                &[text("a"), global("torch", "float32")],
            ),
            "unexpected",
            "arguments",
        ),
    ] {
        let error = look(value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert_eq!(code(&error), expected, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.offset().is_some() && error.tensor() == Some("x"));
    }
}

#[test]
fn tensors_of_devices_are_those_of_the_array_or_tensor_inside() {
    let array = numpy_array(
        numpy_dtype("f4", "<"),
        &[2],
        false,
        b"U\x08\0\0\x80?\0\0\0@".to_vec(),
    );
    let device = |inner: Vec<u8>| {
        let dtype = global("torch", "float32");
        [inner, dtype, text("xla:0"), TRUE.to_vec()]
    };
    for value in [
        utils("_rebuild_device_tensor_from_numpy", &device(array.clone())),
        utils("_rebuild_xla_tensor", &device(array)),
        utils("_rebuild_device_tensor_from_cpu_tensor", &device(floats())),
    ] {
        let model = open(value);
        let tensor = model.tensor("x").unwrap();
        assert_eq!(tensor.bytes().unwrap(), ONE_TWO);
        let attributes = tensor.attributes();
        assert!(attributes.requires_grad);
        assert_eq!(
            (attributes.class_module, attributes.class_name),
            ("torch", "Tensor")
        );
    }
}

#[test]
fn states_of_old_releases_make_tensors() {
    let with_state =
        |object: Vec<u8>, state: &[Vec<u8>]| [object, tuple(state), b"b".to_vec()].concat();
    let variable = |arguments: &[Vec<u8>]| call("torch.autograd.variable", "Variable", arguments);
    // `set_(*state)`: a storage, an offset, a size and strides.
    let four = [
        storage("FloatStorage", "0", 2),
        int(0),
        ints(&[2]),
        ints(&[1]),
    ];
    let five = [
        floats(),
        NONE.to_vec(),
        hooks(),
        TRUE.to_vec(),
        FALSE.to_vec(),
    ];
    let three = [TRUE.to_vec(), FALSE.to_vec(), hooks()];
    for (value, gradient, class) in [
        (
            with_state(call("torch", "FloatTensor", &[]), &four),
            false,
            "Tensor",
        ),
        (with_state(variable(&[]), &five), true, "Variable"),
        (with_state(variable(&[floats()]), &three), true, "Variable"),
        (variable(&[floats(), TRUE.to_vec()]), true, "Variable"),
        (
            call(
                "torch.nn.parameter",
                "Parameter",
                &[floats(), FALSE.to_vec()],
            ),
            false,
            "Parameter",
        ),
    ] {
        let model = look(value).unwrap();
        let tensor = model.tensor("x").unwrap();
        assert_eq!(tensor.bytes().unwrap(), ONE_TWO, "{class}");
        assert_eq!(tensor.attributes().requires_grad, gradient, "{class}");
        assert_eq!(tensor.attributes().class_name, class);
    }
    // An empty typed tensor and a function in words make nothing.
    for value in [
        call("torch", "FloatTensor", &[]),
        call(
            "torch._tensor",
            "_rebuild_from_type_v2",
            &[
                text("f"),
                global("torch", "Tensor"),
                tuple(&[]),
                b"}".to_vec(),
            ],
        ),
    ] {
        assert_eq!(look(value).unwrap().len(), 0);
    }
}

/// `{me: itself}` as the attributes of a parameter, and a nested tensor whose buffer is a list with itself.
#[test]
fn tensors_that_contain_themselves_end() {
    let parameter = utils(
        "_rebuild_parameter_with_state",
        &[floats(), TRUE.to_vec(), hooks(), b"}q\x01".to_vec()],
    );
    let closed = [
        parameter,
        b"q\x02h\x01".to_vec(),
        text("me"),
        b"h\x02s0".to_vec(),
    ];
    let model = look(closed.concat()).unwrap();
    assert_eq!(names(&model), ["x", "x.me"]);
    assert!(has(&model, "cycle", ""));

    let nested = utils(
        "_rebuild_nested_tensor",
        &[b"]q\x01".to_vec(), floats(), floats(), floats()],
    );
    let closed = [nested, b"q\x02h\x01h\x02a0".to_vec()].concat();
    let model = look(closed).unwrap();
    assert_eq!(names(&model), ["x.offsets", "x.sizes", "x.strides"]);
    assert!(has(&model, "cycle", ""));
}

#[test]
fn keys_are_named_as_python_prints_them() {
    let file = pickle(dict(&[
        (tuple(&[TRUE.to_vec(), int(1)]), floats()),
        (tuple(&[FALSE.to_vec(), NONE.to_vec()]), floats()),
        (tuple(&[text("a")]), floats()),
        (tuple(&[floats()]), floats()),
    ]));
    let model = Checkpoint::from_bytes(checkpoint(&file)).unwrap();
    assert_eq!(
        names(&model),
        ["#3", "('a',)", "(False, None)", "(True, 1)"]
    );
}

/// Python 2 pickles an `OrderedDict` as a call with a list of lists of two.
#[test]
fn pairs_in_lists_are_those_of_an_ordered_dict() {
    let pair = |key: Vec<u8>, value: Vec<u8>| [b"](".to_vec(), key, value, b"e".to_vec()].concat();
    let pairs = [pair(text("a"), floats()), pair(int(5), floats()), floats()];
    let list = [b"](".to_vec(), pairs.concat(), b"e".to_vec()].concat();
    let model = open(call("collections", "OrderedDict", &[list]));
    assert_eq!(names(&model), ["x.2", "x.5", "x.a"]);
}

#[test]
fn modules_with_parts_that_are_nothing_give_the_rest() {
    let net = |state: &[(Vec<u8>, Vec<u8>)]| {
        [
            global("my.models", "Net"),
            b")\x81".to_vec(),
            dict(state),
            b"b".to_vec(),
        ]
        .concat()
    };
    let model = look(net(&[
        (text("_parameters"), NONE.to_vec()),
        (text("_buffers"), dict(&[(text("mean"), floats())])),
        (text("_non_persistent_buffers_set"), NONE.to_vec()),
        (
            text("_modules"),
            dict(&[(text("in"), net(&[(text("w"), floats())]))]),
        ),
    ]))
    .unwrap();
    assert_eq!(names(&model), ["x.in.w", "x.mean"]);
    let hidden = call(
        "builtins",
        "set",
        &[[b"](".to_vec(), text("mean"), b"e".to_vec()].concat()],
    );
    let model = look(net(&[
        (text("_parameters"), dict(&[(text("w"), floats())])),
        (
            text("_buffers"),
            dict(&[(text("mean"), floats()), (text("var"), floats())]),
        ),
        (text("_non_persistent_buffers_set"), hidden),
        (text("_modules"), b"}".to_vec()),
    ]))
    .unwrap();
    assert_eq!(names(&model), ["x.var", "x.w"]);
    // Slots beside attributes.
    let slots = tuple(&[
        dict(&[(text("a"), floats())]),
        dict(&[(text("b"), floats())]),
    ]);
    let object = [
        global("my.models", "Slots"),
        b")\x81".to_vec(),
        slots,
        b"b".to_vec(),
    ]
    .concat();
    assert_eq!(names(&look(object).unwrap()), ["x.a", "x.b"]);
}

#[test]
fn calls_that_hold_nothing_are_passed_over() {
    for value in [
        call("torch.jit._pickle", "restore_type_tag", &[]),
        call("torch._utils", "_rebuild_of_tomorrow", &[]),
        empty_array(),
        dict(&[]),
    ] {
        let file = pickle(dict(&[(text("x"), value), (text("y"), floats())]));
        let options = OpenOptions::new().allow_dangerous(true);
        let model = options.from_bytes(checkpoint(&file)).unwrap();
        assert_eq!(names(&model), ["y"]);
    }
    let unknown = look(utils("_rebuild_of_tomorrow", &[floats(), floats()])).unwrap();
    assert_eq!(names(&unknown), ["x.0", "x.1"]);
    assert!(has(&unknown, "unknown-rebuild", ""));
}

#[test]
fn a_storage_on_the_meta_device_has_no_bytes() {
    let id = tuple(&[
        text("storage"),
        global("torch", "FloatStorage"),
        text("7"),
        text("meta"),
        int(6),
    ]);
    let model = open(tensor([id, b"Q".to_vec()].concat(), 0, &[2, 3], &[3, 1]));
    let tensor = model.tensor("x").unwrap();
    assert_eq!((tensor.dtype(), tensor.shape()), (DType::F32, &[2, 3][..]));
    assert_eq!(tensor.attributes().device, "meta");
    assert_eq!(tensor.bytes().unwrap_err().kind(), ErrorKind::Caller);
    assert_eq!(model.verdict(), Verdict::Safe);
}

/// Two arrays of one text, which a memo shares: it is decoded once.
#[test]
fn arrays_of_the_same_bytes_share_them() {
    let array = |data: Vec<u8>| numpy_array(numpy_dtype("u1", "|"), &[2], false, data);
    let first = array([encoded("\u{e9}a"), b"q\x09".to_vec()].concat());
    let second = array(b"h\x09".to_vec());
    let file = pickle(dict(&[(text("x"), first), (text("y"), second)]));
    let model = Checkpoint::from_bytes(checkpoint(&file)).unwrap();
    let [x, y] = ["x", "y"].map(|name| model.tensor(name).unwrap());
    assert_eq!(
        (x.bytes().unwrap(), y.bytes().unwrap()),
        (&[0xe9, b'a'][..], &[0xe9, b'a'][..])
    );
    assert_eq!(x.storage(), y.storage());
}

/// Archivers write folders as members of their own.
#[test]
fn folders_among_the_members_are_no_storages() {
    let mut entries = members(&pickle_of(floats()));
    entries.insert(1, entry("archive/data/", b""));
    let model = Checkpoint::from_bytes(Zip::of(entries).build()).unwrap();
    assert_eq!(names(&model), ["x"]);
    assert_eq!(model.tensor("x").unwrap().bytes().unwrap(), ONE_TWO);
    assert!(!has(&model, "unused-storage", ""));
}

#[test]
fn tensors_of_one_file_keep_attributes_of_their_own() {
    let (dtype, ones) = (global("torch", "float32"), || ints(&[1]));
    let meta = [dtype, ones(), ones(), FALSE.to_vec()];
    let absent = utils("_rebuild_meta_tensor_no_storage", &meta);
    let parameter = |gradient: &[u8]| {
        let arguments = [floats(), gradient.to_vec(), hooks()];
        utils("_rebuild_parameter", &arguments)
    };
    let pairs = [
        (text("a"), parameter(TRUE)),
        (text("b"), parameter(FALSE)),
        (text("c"), absent),
        (text("d"), parameter(TRUE)),
    ];
    let model = Checkpoint::from_bytes(checkpoint(&pickle(dict(&pairs)))).unwrap();
    let told: Vec<_> = ["a", "b", "c", "d"]
        .map(|name| model.tensor(name).unwrap().attributes())
        .map(|told| (told.requires_grad, told.device))
        .to_vec();
    let storages = model.tensor("a").unwrap().attributes().device;
    let expected = [
        (true, storages),
        (false, storages),
        (false, "meta"),
        (true, storages),
    ];
    assert_eq!(told, expected);
}
