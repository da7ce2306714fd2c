//! Calls and states of NumPy and the standard library that no pickler writes, though its module is known.
//!
//! NumPy 2.3 takes each dtype here (`__setstate__` checks no flag), and then reads pointers from bytes.

use super::support::torch::{
    NONE, call, dict, empty_array, encoded, global, int, ints, numpy_array, numpy_dtype,
    numpy_dtype_with, pickle, text, tuple,
};
use super::{Case, case};
use weighbridge::Verdict::Malformed;

pub fn cases() -> Vec<Case> {
    [records(), states(), scalars(), calls()].concat()
}

fn state(name: &str, body: Vec<u8>) -> Case {
    case(name, pickle(body), Malformed, "array-state")
}

fn arguments(name: &str, body: Vec<u8>) -> Case {
    case(name, pickle(body), Malformed, "arguments")
}

/// A record of 8 bytes that says it has no objects in it.
fn record(subarray: &[u8], names: &[u8], fields: &[u8], flags: i32) -> Vec<u8> {
    let parts = [subarray, names, fields, &int(8), &int(1), &int(flags)];
    numpy_dtype_with("V8", &int(3), "|", &parts)
}

fn fields(dtype: Vec<u8>) -> Vec<u8> {
    dict(&[
        (text("a"), tuple(&[numpy_dtype("f4", "<"), int(0)])),
        (text("b"), tuple(&[dtype, int(4)])),
    ])
}

fn records() -> Vec<Case> {
    let names = tuple(&[text("a"), text("b")]);
    let of = |fields: Vec<u8>| record(NONE, &names, &fields, 0);
    // The types in it have no objects by their letters, but the flag of one says it has.
    let inner = record(NONE, &names, &fields(numpy_dtype("O8", "|")), 27);
    let many: Vec<_> = (0..200)
        .map(|at| {
            let place = tuple(&[numpy_dtype("u1", "|"), int(at)]);
            (text(&format!("f{at}")), place)
        })
        .collect();
    let subarray = tuple(&[numpy_dtype("O8", "|"), ints(&[1])]);
    vec![
        state(
            "a record that hides an object",
            of(fields(numpy_dtype("O8", "|"))),
        ),
        state("a record that hides one in a record", of(fields(inner))),
        state("a record of a type that is none", of(fields(text("O8")))),
        state(
            "a record whose field has no type",
            of(dict(&[(text("a"), int(0))])),
        ),
        state("a record whose fields are a list", of(b"]".to_vec())),
        state("a record of too many fields to look at", of(dict(&many))),
        state(
            "a subarray that hides objects",
            record(&subarray, NONE, NONE, 0),
        ),
        state("a subarray of no type", record(&int(1), NONE, NONE, 0)),
    ]
}

fn states() -> Vec<Case> {
    let plain = |code: &str, flags: i32| {
        let parts = [NONE, NONE, NONE, &int(-1), &int(-1), &int(flags)];
        numpy_dtype_with(code, &int(3), "<", &parts)
    };
    let rest = |parts: &[&[u8]]| numpy_dtype_with("f4", &int(3), "<", parts);
    let minus = int(-1);
    let array = |shape: &[i32]| numpy_array(numpy_dtype("u1", "|"), shape, false, encoded(""));
    let only = |state: Vec<u8>| [empty_array(), state, b"b".to_vec()].concat();
    vec![
        state("numbers that say they are objects", plain("f4", 1)),
        state("objects that say they are none", plain("O8", 0)),
        state(
            "a dtype's state of a version to come",
            numpy_dtype_with(
                "f4",
                &int(5),
                "<",
                &[NONE, NONE, NONE, &minus, &minus, &int(0)],
            ),
        ),
        state(
            "a dtype's state of the older version with a part more",
            rest(&[NONE, NONE, NONE, &minus, &minus, &int(0), NONE]),
        ),
        state(
            "a dtype's state without a part",
            rest(&[NONE, NONE, NONE, &minus, &minus]),
        ),
        state(
            "a dtype's state without sizes",
            rest(&[NONE, NONE, NONE, &minus, NONE, &int(0)]),
        ),
        state(
            "numbers of 16 bytes each",
            rest(&[NONE, NONE, NONE, &int(16), &minus, &int(0)]),
        ),
        state("an array of 65 dimensions", array(&[1; 65])),
        state("an array with a state of one part", only(tuple(&[int(1)]))),
        state(
            "an array of no shape",
            only(tuple(&[
                int(1),
                int(1),
                numpy_dtype("u1", "|"),
                vec![0x89],
                encoded("a"),
            ])),
        ),
        state(
            "an array whose data is a number",
            numpy_array(numpy_dtype("u1", "|"), &[1], false, int(1)),
        ),
    ]
}

fn scalars() -> Vec<Case> {
    let scalar =
        |dtype: Vec<u8>, data: Vec<u8>| call("numpy._core.multiarray", "scalar", &[dtype, data]);
    vec![
        arguments(
            "a scalar of nothing",
            scalar(numpy_dtype("f4", "<"), NONE.to_vec()),
        ),
        arguments(
            "a scalar of what a call gives",
            scalar(
                numpy_dtype("f4", "<"),
                call("collections", "OrderedDict", &[]),
            ),
        ),
        arguments(
            "a scalar that is an object",
            scalar(numpy_dtype("O8", "|"), encoded("12345678")),
        ),
        arguments("a dtype by a number", call("numpy", "dtype", &[int(4)])),
        arguments("a dtype of no arguments", call("numpy", "dtype", &[])),
        arguments(
            "a dtype in words",
            call("numpy", "dtype", &[text("float32, (9999,9999)f8")]),
        ),
    ]
}

fn calls() -> Vec<Case> {
    let builtin = |name: &str, arguments: &[Vec<u8>]| call("builtins", name, arguments);
    let again = |arguments: &[Vec<u8>]| call("copyreg", "_reconstructor", arguments);
    let some = || global("collections", "OrderedDict");
    let dict_ = || global("builtins", "dict");
    vec![
        arguments(
            "bytes by a text, a codec and its errors",
            builtin("bytes", &[text("a"), text("latin-1"), text("strict")]),
        ),
        arguments(
            "a slice of a tuple",
            builtin("slice", &[tuple(&[int(1)]), int(2)]),
        ),
        arguments(
            "a slice of a slice",
            builtin("slice", &[builtin("slice", &[int(1)])]),
        ),
        arguments("a range of nothing", builtin("range", &[])),
        arguments(
            "a range of texts",
            builtin("range", &[text("1"), text("2")]),
        ),
        arguments(
            "a range without steps",
            builtin("range", &[int(0), int(9), int(0)]),
        ),
        arguments(
            "a range from far below",
            builtin("range", &[int(i32::MIN), int(i32::MAX)]),
        ),
        arguments("a number of a list", builtin("int", &[b"]".to_vec()])),
        arguments("an object rebuilt of nothing", again(&[])),
        arguments(
            "an object rebuilt without a state",
            again(&[some(), dict_()]),
        ),
        arguments(
            "an object rebuilt of what a call gives",
            again(&[some(), dict_(), call("collections", "OrderedDict", &[])]),
        ),
        arguments(
            "an object rebuilt of a number that it is not",
            again(&[some(), dict_(), int(7)]),
        ),
        arguments(
            "an object rebuilt of a text without end",
            again(&[some(), global("builtins", "int"), text(&"9".repeat(5000))]),
        ),
        arguments(
            "an object rebuilt as no class",
            again(&[int(1), dict_(), NONE.to_vec()]),
        ),
    ]
}
