//! What picklers write and what they do not: calls of allowed functions with the arguments that honest files give them
//! beside arguments a step further, and the states of objects.
//!
//! Honest forms: `pickle.dumps` of CPython 3.11 with every protocol, NumPy 2.3 and torch 2.15.0.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;

use support::outcome::judged;
use support::torch::{NONE, call, dict, encoded, global, int, ints, numpy_dtype, text, tuple};
use weighbridge::Policy;
use weighbridge::limits::Budget;
use weighbridge::policy::Tier;

fn codes(body: &[u8]) -> Vec<&'static str> {
    let found = judged(Budget::default().policy(), body);
    found.into_iter().map(|(code, _)| code).collect()
}

/// An object of another call: a container that is given it may be endless.
fn made() -> Vec<u8> {
    call("collections", "OrderedDict", &[])
}

fn floating(number: f64) -> Vec<u8> {
    [b"G".to_vec(), number.to_be_bytes().to_vec()].concat()
}

fn number(number: i64) -> Vec<u8> {
    [b"\x8a\x08".to_vec(), number.to_le_bytes().to_vec()].concat()
}

fn many(count: usize) -> Vec<Vec<u8>> {
    vec![int(1); count]
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(".to_vec(), items.concat(), b"l".to_vec()].concat()
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [&[b'C', bytes.len() as u8], bytes].concat()
}

#[test]
fn honest_arguments_are_no_finding() {
    let digits = "1".repeat(4_300);
    let latin = [text("a"), text("latin-1")];
    let sizes = tuple(&many(64));
    for (module, name, arguments) in [
        ("_codecs", "encode", vec![text("a"), text("latin1")]),
        ("builtins", "bytes", vec![]),
        ("builtins", "bytes", latin.to_vec()),
        ("builtins", "bytearray", latin.to_vec()),
        ("builtins", "bytearray", vec![bytes(b"a")]),
        ("builtins", "bytearray", vec![encoded("a")]),
        ("builtins", "bytes", vec![list(&many(3))]),
        ("builtins", "list", vec![list(&many(3))]),
        ("builtins", "set", vec![list(&many(3))]),
        ("builtins", "frozenset", vec![tuple(&many(3))]),
        ("builtins", "dict", vec![]),
        ("builtins", "tuple", vec![]),
        ("builtins", "object", vec![]),
        (
            "builtins",
            "slice",
            vec![NONE.to_vec(), int(5), NONE.to_vec()],
        ),
        ("builtins", "range", vec![int(5)]),
        ("builtins", "range", vec![int(2), int(5)]),
        ("builtins", "range", vec![int(5), int(0), int(-1)]),
        ("builtins", "range", vec![int(1 << 24)]),
        ("builtins", "range", vec![int(1), int((1 << 24) + 1)]),
        ("builtins", "complex", vec![floating(1.0), floating(2.0)]),
        ("builtins", "int", vec![text("5")]),
        ("builtins", "int", vec![text(&digits)]),
        ("builtins", "float", vec![text("1.5")]),
        ("builtins", "bool", vec![vec![0x88]]),
        ("builtins", "str", vec![NONE.to_vec()]),
        ("collections", "deque", vec![list(&many(3)), int(10)]),
        ("collections", "deque", many(16)),
        ("collections", "Counter", vec![dict(&[])]),
        (
            "collections",
            "defaultdict",
            vec![global("builtins", "list")],
        ),
        (
            "collections",
            "OrderedDict",
            vec![list(&[list(&[text("a"), int(1)])])],
        ),
        (
            "copyreg",
            "_reconstructor",
            vec![
                global("builtins", "object"),
                global("builtins", "object"),
                NONE.to_vec(),
            ],
        ),
        ("pathlib", "PosixPath", vec![text("a"); 17]),
        ("torch", "Size", vec![ints(&[1, 2])]),
        ("torch", "Size", vec![sizes]),
        ("torch", "device", vec![text("cuda"), int(0)]),
        ("torch", "device", vec![text("cpu")]),
        ("torch", "FloatTensor", vec![]),
        ("torch", "FloatStorage", vec![]),
        (
            "torch.serialization",
            "_get_layout",
            vec![text("torch.sparse_coo")],
        ),
        ("numpy", "dtype", vec![text("f4"), vec![0x89], vec![0x88]]),
        ("numpy", "dtype", vec![text("<U123456789")]),
        (
            "numpy.core.multiarray",
            "scalar",
            vec![numpy_dtype("f4", "<"), bytes(b"abcd")],
        ),
        (
            "numpy._core.multiarray",
            "scalar",
            vec![numpy_dtype("f4", "<"), encoded("abcd")],
        ),
        (
            "numpy._core.multiarray",
            "scalar",
            vec![numpy_dtype("f4", "<"), b"U\x04abcd".to_vec()],
        ),
        (
            "numpy._core.multiarray",
            "scalar",
            vec![numpy_dtype("f4", "<"), text("abcd")],
        ),
        (
            "numpy._core.numeric",
            "_frombuffer",
            vec![
                bytes(b"abcd"),
                numpy_dtype("f4", "<"),
                ints(&[1]),
                text("C"),
            ],
        ),
    ] {
        let body = call(module, name, &arguments);
        assert!(
            codes(&body).is_empty(),
            "{module}.{name} {}",
            body.escape_ascii()
        );
    }
}

#[test]
fn arguments_a_step_further_are() {
    let digits = "1".repeat(4_301);
    let object = global("builtins", "object");
    let dtype = || numpy_dtype("f4", "<");
    let scalar = || {
        call(
            "numpy._core.multiarray",
            "scalar",
            &[dtype(), bytes(b"abcd")],
        )
    };
    for (module, name, arguments) in [
        ("_codecs", "encode", vec![text("a"), text("zip")]),
        ("_codecs", "encode", vec![text("a")]),
        ("builtins", "bytes", vec![int(5)]),
        ("builtins", "bytes", vec![text("a"), text("idna")]),
        (
            "builtins",
            "bytes",
            vec![text("a"), text("latin-1"), text("strict")],
        ),
        ("builtins", "bytearray", vec![made()]),
        ("builtins", "list", vec![made()]),
        ("builtins", "set", vec![made()]),
        ("builtins", "frozenset", vec![made()]),
        ("builtins", "dict", vec![made()]),
        ("builtins", "tuple", vec![list(&many(1))]),
        ("builtins", "object", vec![int(1)]),
        ("builtins", "slice", vec![tuple(&many(1))]),
        (
            "builtins",
            "slice",
            vec![call("builtins", "slice", &[int(1)])],
        ),
        ("builtins", "range", vec![]),
        ("builtins", "range", vec![text("5")]),
        ("builtins", "range", vec![int(1), int(2), int(0)]),
        ("builtins", "range", vec![number((1 << 24) + 1)]),
        ("builtins", "range", vec![int(0), number((1 << 24) + 1)]),
        (
            "builtins",
            "range",
            vec![int(0), number((2 << 24) + 2), int(2)],
        ),
        ("builtins", "int", vec![text(&digits)]),
        ("builtins", "float", vec![made()]),
        ("builtins", "str", vec![list(&many(1))]),
        ("collections", "deque", many(17)),
        ("collections", "deque", vec![made()]),
        ("collections", "Counter", vec![made()]),
        (
            "collections",
            "defaultdict",
            vec![global("builtins", "list"), made()],
        ),
        ("collections", "OrderedDict", vec![made()]),
        (
            "copyreg",
            "_reconstructor",
            vec![object.clone(), object.clone()],
        ),
        (
            "copyreg",
            "_reconstructor",
            vec![global("builtins", "dict"), object.clone(), NONE.to_vec()],
        ),
        (
            "copyreg",
            "_reconstructor",
            vec![
                object.clone(),
                global("builtins", "bytearray"),
                NONE.to_vec(),
            ],
        ),
        (
            "copyreg",
            "_reconstructor",
            vec![
                object.clone(),
                global("collections", "OrderedDict"),
                NONE.to_vec(),
            ],
        ),
        (
            "copyreg",
            "_reconstructor",
            vec![object.clone(), global("builtins", "int"), text(&digits)],
        ),
        (
            "copyreg",
            "_reconstructor",
            vec![object.clone(), object.clone(), int(5)],
        ),
        (
            "copyreg",
            "_reconstructor",
            vec![object.clone(), object.clone(), made()],
        ),
        (
            "copyreg",
            "_reconstructor",
            vec![text("a"), object.clone(), NONE.to_vec()],
        ),
        ("torch", "Size", vec![]),
        ("torch", "Size", vec![ints(&[1]), ints(&[1])]),
        ("torch", "Size", vec![tuple(&[text("a")])]),
        ("torch", "Size", vec![tuple(&many(65))]),
        ("torch", "device", vec![int(0)]),
        ("torch", "device", vec![text("cuda"), NONE.to_vec()]),
        ("torch", "FloatTensor", vec![int(5)]),
        ("torch", "FloatStorage", vec![int(5)]),
        ("torch", "float32", vec![]),
        ("torch.serialization", "_get_layout", vec![text("strided")]),
        ("torch.serialization", "_get_layout", vec![]),
        ("torch.storage", "UntypedStorage", vec![]),
        ("numpy", "ndarray", vec![ints(&[1])]),
        ("numpy", "dtype", vec![text("f4x")]),
        ("numpy", "dtype", vec![text("U1234567890")]),
        ("numpy", "dtype", vec![text("x4")]),
        ("numpy._core.multiarray", "scalar", vec![dtype()]),
        ("numpy._core.multiarray", "scalar", vec![dtype(), scalar()]),
        (
            "numpy._core.multiarray",
            "scalar",
            vec![numpy_dtype("O", "|"), bytes(b"abcd")],
        ),
        (
            "numpy._core.multiarray",
            "_reconstruct",
            vec![global("numpy", "ndarray"), ints(&[1]), text("b")],
        ),
        (
            "numpy._core.numeric",
            "_frombuffer",
            vec![bytes(b"abcd"), dtype(), tuple(&many(65)), text("C")],
        ),
    ] {
        let body = call(module, name, &arguments);
        assert!(
            codes(&body).contains(&"arguments"),
            "{module}.{name} {}",
            body.escape_ascii()
        );
    }
}

/// Protocols 0 and 1 write an object of a class by a call: that class is what is reported.
#[test]
fn objects_of_unknown_classes_are_made_from_plain_bases() {
    let digits = "1".repeat(4_301);
    let of = |base: &str, state: Vec<u8>| {
        let arguments = [global("my.module", "Net"), global("builtins", base), state];
        codes(&call("copyreg", "_reconstructor", &arguments))
    };
    for (base, state) in [
        ("object", NONE.to_vec()),
        ("dict", dict(&[])),
        ("list", list(&many(2))),
        ("int", int(5)),
        ("float", floating(1.5)),
        ("str", text("abc")),
        ("str", text(&digits)),
        ("int", text("5")),
    ] {
        assert_eq!(of(base, state), ["unrecognised-global"], "{base}");
    }
    let codes = of("int", text(&digits));
    assert!(codes.contains(&"arguments"), "{codes:?}");
}

/// The checks are of NumPy's functions, not of others of their names that a caller allows.
#[test]
fn functions_that_a_caller_allows_get_any_arguments() {
    let mut policy = Policy::default();
    for name in ["_reconstruct", "scalar", "_frombuffer"] {
        policy.allow("my.module", name, Tier::Data).unwrap();
    }
    let policy = Arc::new(policy);
    for name in ["_reconstruct", "scalar", "_frombuffer"] {
        let found = judged(Arc::clone(&policy), &call("my.module", name, &[int(1)]));
        assert_eq!(found, [], "{name}");
    }
}

/// One answer of the policy is remembered for the next call of the same function, not of one that resembles it.
#[test]
fn names_that_resemble_an_allowed_one_are_not_allowed() {
    let object = |module: &str, name: &str| [call(module, name, &[]), b"Na".to_vec()].concat();
    let known = || object("collections", "deque");
    for other in [
        object("collections", "feque"),
        object("dollections", "deque"),
    ] {
        for body in [
            list(&[known(), other.clone(), known()]),
            list(&[other.clone(), known()]),
        ] {
            assert_eq!(codes(&body), ["unrecognised-global"]);
        }
    }
}
