//! What stands beside and around the tensors of a pickle: values that become metadata, paths, cycles, and how many
//! names a few bytes may ask for.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::torch::{
    call, checkpoint, dict, global, int, ints, pickle, pickle_of, storage, tensor, text, tuple,
};
use weighbridge::{Checkpoint, DType, Error, Limits, OpenOptions};

fn open_with(body: Vec<u8>, limits: Limits) -> Result<Checkpoint, Error> {
    let options = OpenOptions::new().limits(limits).allow_dangerous(true);
    options.from_bytes(checkpoint(&pickle(body)))
}

fn open(body: Vec<u8>) -> Checkpoint {
    open_with(body, Limits::default()).unwrap()
}

fn floats() -> Vec<u8> {
    tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1])
}

fn names(model: &Checkpoint) -> Vec<String> {
    model
        .tensors()
        .map(|tensor| tensor.name().to_owned())
        .collect()
}

fn keys(model: &Checkpoint) -> Vec<String> {
    let metadata = model.metadata();
    metadata
        .iter()
        .map(|(key, _)| key.as_str().unwrap().to_owned())
        .collect()
}

fn count(model: &Checkpoint, code: &str) -> usize {
    model
        .findings()
        .filter(|finding| finding.code == code)
        .count()
}

/// BINFLOAT of 1.5.
const FLOAT: &[u8] = b"G\x3f\xf8\0\0\0\0\0\0";

#[test]
fn plain_values_become_metadata_under_their_paths() {
    let inner = dict(&[(text("float"), FLOAT.to_vec()), (int(3), int(-7))]);
    let model = open(dict(&[
        (text("text"), text("abc")),
        (text("python 2"), b"U\x02hi".to_vec()),
        (text("yes"), vec![0x88]),
        (text("no"), vec![0x89]),
        (text("nothing"), b"N".to_vec()),
        (text("no text"), b"U\x02\xff\xfe".to_vec()),
        (
            text("bytes"),
            call("_codecs", "encode", &[text("a"), text("latin1")]),
        ),
        (text("inner"), inner),
    ]));
    let get = |key: &str| model.metadata().get(key);
    let string = |key: &str| get(key).and_then(|value| value.as_str().map(str::to_owned));
    assert_eq!(string("text").as_deref(), Some("abc"));
    assert_eq!(string("python 2").as_deref(), Some("hi"));
    assert_eq!(get("yes").unwrap().as_bool(), Some(true));
    assert_eq!(get("no").unwrap().as_bool(), Some(false));
    assert_eq!(get("inner.float").unwrap().as_f64(), Some(1.5));
    assert_eq!(get("inner.3").unwrap().as_integer(), Some(-7));
    let expected = ["text", "python 2", "yes", "no", "inner.float", "inner.3"];
    assert_eq!(keys(&model), expected);
    assert_eq!(model.metadata().len(), expected.len());
}

#[test]
fn a_value_that_is_all_of_a_pickle_is_no_metadata() {
    for body in [text("abc"), int(7), FLOAT.to_vec(), vec![0x88]] {
        let model = open(body);
        assert!(model.metadata().is_empty());
        assert_eq!(count(&model, "metadata-limit"), 0);
    }
}

#[test]
fn values_beyond_the_limit_are_left_out_and_noted_once() {
    let mut limits = Limits::default();
    limits.metadata_entries = 2;
    let values = ["a", "b", "c", "d"].map(|key| (text(key), int(1)));
    for (listed, noted) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        let model = open_with(dict(&values[..listed]), limits).unwrap();
        assert_eq!(keys(&model), &["a", "b", "c", "d"][..listed.min(2)]);
        assert_eq!(count(&model, "metadata-limit"), noted, "{listed}");
    }
}

#[test]
fn a_text_that_a_memo_repeats_is_listed_up_to_a_multiple_of_the_file() {
    let long = "x".repeat(50_000);
    let mut body = b"}(".to_vec();
    for no in 0..100 {
        body.extend(text(&no.to_string()));
        body.extend(match no {
            0 => [text(&long), b"q\x00".to_vec()].concat(),
            _ => b"h\x00".to_vec(),
        });
    }
    body.push(b'u');
    let bytes = body.len();
    let model = open(body);
    assert_eq!(count(&model, "metadata-limit"), 1);
    let listed = model.metadata().len();
    assert!(listed * long.len() <= 8 * bytes + 64 * 1024);
    assert!(listed >= 8, "{listed}");
}

/// `{"a": {"b": 1}, "a.b": 2}`: which is meant nobody can know.
#[test]
fn a_path_that_two_values_have_is_noted() {
    let inner = dict(&[(text("b"), int(1))]);
    let model = open(dict(&[(text("a"), inner), (text("a.b"), int(2))]));
    assert_eq!(count(&model, "repeated-path"), 1);
    assert_eq!(keys(&model), ["a.b"]);
    let value = model.metadata().get("a.b").unwrap();
    assert_eq!(value.as_integer(), Some(1));
}

/// One key, so many levels deep, each level a dict of its own.
fn nested(key: &str, levels: usize, leaf: &[u8]) -> Vec<u8> {
    let mut body = [text(key), b"q\x000".to_vec()].concat();
    body.extend(b"}h\x00".repeat(levels));
    body.extend(leaf);
    body.extend(b"s".repeat(levels));
    body
}

#[test]
fn names_are_bounded_by_the_pickle_and_64_kib_are_always_allowed() {
    let key = "k".repeat(4_000);
    // Eight levels: 32,000 bytes of path, and as many for the value: within 64 KiB and 8 times the pickle.
    let model = open(nested(&key, 8, b"K\x01"));
    let path = [key.as_str(); 8].join(".");
    assert_eq!(keys(&model), [path]);
    let error = open_with(nested(&key, 100, b"K\x01"), Limits::default()).unwrap_err();
    let (limit, _, _) = error.as_limit().unwrap();
    assert_eq!(limit, "the names and texts of all paths, in bytes");
}

#[test]
fn an_empty_container_is_no_level_of_nesting() {
    let mut limits = Limits::default();
    limits.nesting = 1;
    for empty in [&b"}"[..], b"]", b")", b"\x8f"] {
        let body = dict(&[(text("a"), empty.to_vec()), (text("b"), int(1))]);
        let model = open_with(body, limits).unwrap();
        assert_eq!(keys(&model), ["b"]);
    }
    let full = dict(&[(text("a"), dict(&[(text("b"), int(1))]))]);
    let error = open_with(full.clone(), limits).unwrap_err();
    assert_eq!(error.as_limit(), Some(("nesting", 2, 1)));
    limits.nesting = 2;
    assert_eq!(keys(&open_with(full, limits).unwrap()), ["a.b"]);
}

/// A container that is open already is no deeper level: it is noted, at the limit too.
#[test]
fn a_cycle_at_the_deepest_level_is_noted() {
    let mut limits = Limits::default();
    limits.nesting = 2;
    // `d["a"] = {"b": d}`.
    let body = [&b"}q\x00"[..], &text("a"), b"}", &text("b"), b"h\x00ss"].concat();
    let model = open_with(body, limits).unwrap();
    assert_eq!(count(&model, "cycle"), 1);
}

#[test]
fn a_call_that_holds_itself_is_told_once() {
    // A list that the call is given, and that is given the result.
    let unknown = global("torch._utils", "_rebuild_what_comes_next");
    let value = [
        b"]q\x000",
        unknown.as_slice(),
        b"h\x00\x85Rq\x01h\x00h\x01a0",
    ]
    .concat();
    let model = open(dict(&[(text("x"), value)]));
    assert_eq!(count(&model, "unknown-rebuild"), 1);
    assert_eq!(count(&model, "cycle"), 1);
}

/// What one object holds is listed while it is walked: a thousand of them cost as much as one.
#[test]
fn lists_of_children_are_given_back() {
    let object = [
        global("a", "x"),
        tuple(&vec![b"N".to_vec(); 200]),
        b"R".to_vec(),
    ]
    .concat();
    let mut limits = Limits::default();
    limits.heap_bytes = 4 << 20;
    let body = [b"(".to_vec(), object.repeat(1_000), b"l".to_vec()].concat();
    open_with(body, limits).unwrap();
}

#[test]
fn containers_give_what_they_hold_and_nothing_of_their_own() {
    let deque = [
        call("collections", "deque", &[]),
        b"(".to_vec(),
        floats(),
        b"e".to_vec(),
    ]
    .concat();
    let tagged = call(
        "torch.jit._pickle",
        "restore_type_tag",
        &[dict(&[(text("k"), floats())]), text("Dict[str, Tensor]")],
    );
    let listed = call(
        "torch.jit._pickle",
        "build_list",
        &[tuple(&[floats()]), text("List[Tensor]")],
    );
    // An object of NumPy's that is no array: its arguments and its state.
    let generator = [
        call("numpy.random._pickle", "__generator_ctor", &[text("PCG64")]),
        dict(&[(text("t"), floats())]),
        b"b".to_vec(),
    ]
    .concat();
    for (value, expected) in [
        (deque, "x.0"),
        (tagged, "x.k"),
        (listed, "x.0"),
        (generator, "x.t"),
    ] {
        let model = open(dict(&[(text("x"), value)]));
        assert_eq!(names(&model), [expected]);
    }
}

/// `_parameters`, `_buffers` and `_modules` were `OrderedDict`s before torch 2.
#[test]
fn a_modules_parts_are_dicts_of_either_kind() {
    for ordered in [false, true] {
        let parts = |pairs: &[(Vec<u8>, Vec<u8>)]| match ordered {
            false => dict(pairs),
            true => {
                let pairs = dict(pairs)[1..].to_vec();
                [call("collections", "OrderedDict", &[]), pairs].concat()
            }
        };
        let state = dict(&[
            (text("_parameters"), parts(&[(text("weight"), floats())])),
            (text("_buffers"), parts(&[(text("mean"), floats())])),
            (text("_modules"), parts(&[])),
        ]);
        let class = [
            global("torch.nn.modules.linear", "Linear"),
            b")\x81".to_vec(),
        ];
        let value = [class.concat(), state, b"b".to_vec()].concat();
        let model = open(dict(&[(text("x"), value)]));
        assert_eq!(names(&model), ["x.weight", "x.mean"]);
    }
}

#[test]
fn values_that_stand_for_themselves_have_no_parts() {
    for (module, name, argument) in [
        ("torch", "Size", ints(&[1, 2])),
        ("torch", "device", text("cuda")),
        ("torch.torch_version", "TorchVersion", text("2.0")),
        ("datetime", "timedelta", int(1)),
        ("decimal", "Decimal", text("1.5")),
        ("pathlib", "PosixPath", text("x")),
        ("builtins", "complex", FLOAT.to_vec()),
        ("builtins", "range", int(3)),
    ] {
        let model = open(dict(&[(text("x"), call(module, name, &[argument]))]));
        assert_eq!(keys(&model), Vec::<String>::new(), "{module}.{name}");
    }
    let size = call("torch", "Sizes", &[ints(&[1, 2])]);
    assert_eq!(keys(&open(dict(&[(text("x"), size)]))).len(), 2);
}

#[test]
fn a_shape_alone_keeps_a_type_that_is_not_known() {
    let meta = |dtype: &str| {
        let arguments = [
            global("torch", dtype),
            ints(&[2, 3]),
            ints(&[3, 1]),
            vec![0x89],
        ];
        call(
            "torch._utils",
            "_rebuild_meta_tensor_no_storage",
            &arguments,
        )
    };
    let model = open(dict(&[(text("x"), meta("float6_e3m2fn"))]));
    let tensor = model.tensor("x").unwrap();
    assert_eq!(tensor.dtype(), DType::Opaque);
    assert!(
        tensor.dtype_name().contains("float6_e3m2fn"),
        "{}",
        tensor.dtype_name()
    );
    let model = open(dict(&[(text("x"), meta("bfloat16"))]));
    assert_eq!(model.tensor("x").unwrap().dtype(), DType::BF16);
}

/// A record has 16 bits for the rank, whatever the caller's limits.
#[test]
fn a_tensor_has_up_to_65535_dimensions() {
    let of = |rank: usize| {
        let ones = tuple(&vec![b"K\x01".to_vec(); rank]);
        let arguments = [
            storage("FloatStorage", "0", 2),
            int(0),
            ones.clone(),
            ones,
            vec![0x89],
            call("collections", "OrderedDict", &[]),
        ];
        let value = call("torch._utils", "_rebuild_tensor_v2", &arguments);
        let options = OpenOptions::new().limits(Limits::trusted());
        options.from_bytes(checkpoint(&pickle_of(value)))
    };
    let model = of(65_535).unwrap();
    assert_eq!(model.tensor("x").unwrap().shape().len(), 65_535);
    let error = of(65_536).unwrap_err();
    assert_eq!(error.as_limit(), Some(("rank", 65_536, 65_535)));
}

/// A key may end in the sign that stands between keys.
#[test]
fn a_point_at_the_end_of_a_key_stays() {
    let inner = dict(&[(text("b."), floats())]);
    let model = open(dict(&[(text("a."), floats()), (text("c"), inner)]));
    assert_eq!(names(&model), ["a.", "c.b."]);
}

/// Eight bytes of names and texts for each byte of the pickle, and 64 KiB: to the byte.
#[test]
fn the_last_text_that_fits_is_listed() {
    // A text of `long` bytes under eleven keys, then one of `last` bytes.
    let repeated = 11;
    let body = |long: usize, last: usize| {
        let mut body = b"}(".to_vec();
        for no in 0..repeated {
            body.extend(text(&char::from(b'a' + no).to_string()));
            body.extend(match no {
                0 => [text(&"x".repeat(long)), b"q\x00".to_vec()].concat(),
                _ => b"h\x00".to_vec(),
            });
        }
        body.extend(text("z"));
        body.extend(text(&"y".repeat(last)));
        body.push(b'u');
        body
    };
    // Each key counts where it is written and where its value is listed, each value where it is listed.
    let left = |long: usize, last: usize| {
        let pickle = pickle(body(long, last)).len();
        let spent = usize::from(repeated) * (long + 2) + 1;
        (8 * pickle + 65_536).checked_sub(spent)
    };
    // A byte more of the last text is eight more that are allowed.
    let fitting = (25_000..25_007).find_map(|long| {
        let last = (0..20_000).find(|&last| left(long, last).is_some_and(|left| left > last))?;
        (last > 0 && left(long, last) == Some(last + 1)).then_some((long, last))
    });
    let (long, last) = fitting.unwrap();
    let model = open(body(long, last));
    assert_eq!(model.metadata().len(), 12);
    assert_eq!(count(&model, "metadata-limit"), 0);
    let model = open(body(long, last - 1));
    assert_eq!(model.metadata().len(), 11);
    assert_eq!(count(&model, "metadata-limit"), 1);
}
