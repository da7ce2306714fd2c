//! Files that one loader reads as data and another one runs: what we take them for is not what decides.

use super::support::gguf::Gguf;
use super::support::tar::{TarEntry, file, tar};
use super::support::torch::{call, dict, global, int, ints, pickle, text, tuple};
use super::support::zip::{Zip, entry};
use super::{Case, case};
use weighbridge::Verdict::{Dangerous, Malformed, Unrecognised};

pub fn cases() -> Vec<Case> {
    [
        polyglots(),
        texts(),
        arrays(),
        joblib(),
        states(),
        sizes(),
        archives(),
    ]
    .concat()
}

/// What runs wherever an unpickler reaches it, in letters and newlines alone.
const RUNS: &[u8] = b"cos\nsystem\n(S'echo never'\ntR.";

/// A model in another format whose first bytes are an opcode that takes everything up to a newline.
fn polyglots() -> Vec<Case> {
    // V: text up to the end of the line. The header's length has it as its lowest byte.
    let header = format!(
        "{:<86}",
        r#"{"x":{"dtype":"U8","shape":[30],"data_offsets":[0,30]}}"#
    );
    let safetensors = [
        &86_u64.to_le_bytes()[..],
        header.as_bytes(),
        b"\n",
        &RUNS[..RUNS.len() - 2],
        b"R.",
    ]
    .concat();
    // G: a float of eight bytes; the second byte of the number of tensors is the next opcode.
    let mut gguf = Gguf::default();
    for number in 0..0x5600 {
        gguf = gguf.info(format!("t{number}").as_bytes(), &[0], 0, 0);
    }
    let gguf = gguf.pair_string("a", &[b"\n", RUNS].concat()).build();
    let archive = tar(&[file("V", &[b"\n", RUNS].concat())]);
    let hides = |name: &str, bytes: Vec<u8>| case(name, bytes, Dangerous, "hidden-pickle");
    vec![
        hides("safetensors that are a pickle too", safetensors),
        hides("GGUF that is a pickle too", gguf),
        hides("a tar archive that is a pickle too", archive),
        case(
            "an empty zip archive before a full one",
            [
                &b"PK\x05\x06"[..],
                &[0; 18],
                &Zip::of(vec![entry("a.npy", &npy("|O", RUNS))]).build(),
            ]
            .concat(),
            Dangerous,
            "dangerous-call",
        ),
    ]
}

/// Pickles of letters alone, which are texts as well.
fn texts() -> Vec<Case> {
    let odd = |name: &str, number: &str| {
        let bytes = [number.as_bytes(), b"0", RUNS].concat();
        case(name, bytes, Dangerous, "dangerous-call")
    };
    vec![
        odd("an integer with a space", "I 1\n"),
        odd("an integer of another base", "I0x10\n"),
        odd("an integer with an underscore", "L1_0L\n"),
        odd("a float with a space", "F 1\n"),
        odd("a float with an underscore", "F1_0\n"),
        odd("a memo index with a space", "Np 1\n"),
        case(
            "an unknown call, then nonsense",
            b"csome.module\nfunction\n(S'x'\ntR and more".to_vec(),
            Malformed,
            "unrecognised-global",
        ),
    ]
}

/// A `.npy` file whose header says `descr`.
fn npy(descr: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1,), }}");
    let header = format!("{header:<117}\n");
    [
        &b"\x93NUMPY\x01\x00"[..],
        &(header.len() as u16).to_le_bytes(),
        header.as_bytes(),
        data,
    ]
    .concat()
}

/// NumPy reads the type from a Python literal, and knows objects by several names.
fn arrays() -> Vec<Case> {
    let hides = |name: &str, descr: &str| case(name, npy(descr, RUNS), Dangerous, "dangerous-call");
    vec![
        hides("an array of objects with a size", "|O8"),
        hides("an array of objects by name", "object"),
        hides("an array of objects by an escape", "|\\x4f"),
        case(
            "an array among the storages of an archive",
            Zip::of(vec![
                entry("a/byteorder", b"little"),
                entry("a/data/x.npy", &npy("|O", RUNS)),
            ])
            .build(),
            Dangerous,
            "dangerous-call",
        ),
    ]
}

/// `NumpyArrayWrapper()` with a state, and what follows.
fn wrapped(wrapper: Vec<u8>, state: &[(Vec<u8>, Vec<u8>)], rest: &[u8]) -> Vec<u8> {
    pickle([wrapper, dict(state), b"b".to_vec(), rest.to_vec()].concat())
}

fn wrapper() -> Vec<u8> {
    [
        global("joblib.numpy_pickle", "NumpyArrayWrapper"),
        b")\x81".to_vec(),
    ]
    .concat()
}

fn dtype(text_: &str) -> Vec<u8> {
    call("numpy", "dtype", &[text(text_), vec![0x89], vec![0x88]])
}

/// joblib takes an array from between the opcodes: a plain unpickler does not, nor another release.
fn joblib() -> Vec<Case> {
    let shape = |count: usize| (text("shape"), ints(&[count as i32]));
    let bytes = || (text("dtype"), dtype("u1"));
    let aligned = || (text("numpy_array_alignment_bytes"), int(16));
    // Ends a plain walk, and is an array's byte to joblib.
    let ends = [&b"N."[..], b"0", &RUNS[..RUNS.len() - 1]].concat();
    let stated = |size: i32| {
        let state = tuple(&[
            int(3),
            text("|"),
            vec![b'N'],
            vec![b'N'],
            vec![b'N'],
            int(size),
            int(1),
            int(0),
        ]);
        (text("dtype"), [dtype("u1"), state, b"b".to_vec()].concat())
    };
    let never_safe = |name: &str, bytes: Vec<u8>| case(name, bytes, Malformed, "malformed");
    vec![
        case(
            "an array that a plain unpickler runs",
            wrapped(wrapper(), &[shape(RUNS.len()), bytes()], RUNS),
            Dangerous,
            "dangerous-call",
        ),
        case(
            "the end of an array that older releases run",
            wrapped(
                wrapper(),
                &[shape(40), bytes(), aligned()],
                &[
                    &b"\x0fxxxxxxxxxxxxxxx"[..],
                    &[b'N'; 24],
                    b"cos\nsystem\nN\x85R.",
                ]
                .concat(),
            ),
            Dangerous,
            "dangerous-call",
        ),
        never_safe(
            "an array whose shape is stated twice",
            wrapped(wrapper(), &[shape(ends.len()), bytes(), shape(1)], &ends),
        ),
        never_safe(
            "an array whose item size is none of its type's",
            wrapped(wrapper(), &[shape(1), stated(ends.len() as i32)], &ends),
        ),
        never_safe(
            "a wrapper made by a call",
            wrapped(
                call("joblib.numpy_pickle", "NumpyArrayWrapper", &[]),
                &[shape(1), bytes()],
                &ends,
            ),
        ),
        never_safe(
            "a wrapper made by a reconstructor of something else",
            wrapped(
                call(
                    "copyreg",
                    "_reconstructor",
                    &[
                        global("joblib.numpy_pickle", "NumpyArrayWrapper"),
                        global("builtins", "dict"),
                        vec![b'N'],
                    ],
                ),
                &[shape(1), bytes()],
                &ends,
            ),
        ),
    ]
}

/// A state that is no dict of names, for something that takes one.
fn states() -> Vec<Case> {
    let namespace = || call("argparse", "Namespace", &[]);
    let planted = |key: Vec<u8>| dict(&[(key, global("builtins", "bytearray"))]);
    let ordered = [
        call("collections", "OrderedDict", &[]),
        text("__setstate__"),
        global("builtins", "bytearray"),
        b"s".to_vec(),
    ]
    .concat();
    let builds = |name: &str, state: Vec<u8>| {
        let body = [
            namespace(),
            state,
            b"b".to_vec(),
            int(1 << 30),
            b"b".to_vec(),
        ]
        .concat();
        case(name, pickle(body), Malformed, "planted-method")
    };
    let class = tuple(&[
        text("module"),
        global("builtins", "bytearray"),
        text("f"),
        text("s"),
    ]);
    vec![
        builds("a state that is an ordered dict", ordered),
        builds(
            "a state with a name that a call gives",
            planted(call("builtins", "str", &[text("__setstate__")])),
        ),
        case(
            "a class by its persistent id, with what no pickler gives it",
            pickle([class, b"Q".to_vec(), tuple(&[int(i32::MAX)]), b"R".to_vec()].concat()),
            Malformed,
            "arguments",
        ),
        case(
            "a tensor with a state that plants a method",
            pickle(call(
                "torch._utils",
                "_rebuild_parameter_with_state",
                &[
                    vec![b'N'],
                    vec![0x89],
                    vec![b'N'],
                    planted(text("__setstate__")),
                ],
            )),
            Malformed,
            "planted-method",
        ),
    ]
}

/// More memory or time than a file of this size should ask for.
fn sizes() -> Vec<Case> {
    let odd = |name: &str, body: Vec<u8>| case(name, pickle(body), Malformed, "arguments");
    let range = || call("builtins", "range", &[int(i32::MAX)]);
    let scalar = |arguments: &[Vec<u8>]| call("numpy.core.multiarray", "scalar", arguments);
    let array = call(
        "numpy.core.multiarray",
        "_reconstruct",
        &[global("numpy", "ndarray"), ints(&[0]), b"C\x01b".to_vec()],
    );
    let state = tuple(&[
        int(1),
        ints(&[i32::MAX, i32::MAX]),
        dtype("O8"),
        vec![0x89],
        vec![b']'],
    ]);
    // t = (t, t), sixty times over: its hash takes 2^60 steps.
    let tower = [&b"}N"[..], &b"2\x86".repeat(60), b"Ns"].concat();
    vec![
        odd(
            "a dict of a range",
            call(
                "builtins",
                "dict",
                &[[b"]".to_vec(), range(), b"a".to_vec()].concat()],
            ),
        ),
        odd("a scalar without bytes", scalar(&[dtype("V999999999")])),
        odd(
            "a scalar of a type in words",
            scalar(&[text("f8"), b"C\x08aaaaaaaa".to_vec()]),
        ),
        odd(
            "a buffer of a type in words",
            call(
                "numpy._core.numeric",
                "_frombuffer",
                &[b"C\x01a".to_vec(), text("u1"), ints(&[1]), text("C")],
            ),
        ),
        odd(
            "bytes by a codec that is slow",
            call("builtins", "bytearray", &[text("x"), text("punycode")]),
        ),
        odd(
            "a tuple of a tuple",
            call("builtins", "tuple", &[tuple(&[int(1)])]),
        ),
        case(
            "an array of more objects than there are",
            pickle([array, state, b"b".to_vec()].concat()),
            Malformed,
            "array-state",
        ),
        case(
            "a key whose hash takes forever",
            pickle(tower),
            Malformed,
            "hash-bomb",
        ),
    ]
}

/// Members that a loader finds and we would not.
fn archives() -> Vec<Case> {
    let link = |kind: u8| {
        let link = TarEntry {
            kind,
            ..file("storages", b"")
        };
        // What follows a storage is not seen, unless the member has the name that it is known by.
        let storages = [
            &pickle(int(2))[..],
            &pickle(tuple(&[
                int(1),
                text("cpu"),
                global("torch", "ByteStorage"),
            ])),
            &0_u64.to_le_bytes(),
            b"cos\nsystem\n.",
        ]
        .concat();
        tar(&[link, file("s.p", &storages)])
    };
    vec![
        case(
            "a hard link in a tar archive",
            link(b'1'),
            Unrecognised,
            "special-member",
        ),
        case(
            "a member of an unknown type in a tar archive",
            link(b'Q'),
            Unrecognised,
            "special-member",
        ),
    ]
}
