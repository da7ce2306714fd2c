//! The states that pickles give to objects, the ids that they name storages by, and the words in which a call is told.
//!
//! Honest forms: `pickle.dumps` of CPython 3.11, NumPy 2.3 and torch 2.15.0.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::outcome::judged;
use support::torch::{
    NONE, call, dict, encoded, global, int, ints, numpy_array, numpy_dtype, numpy_dtype_with, text,
    tuple,
};
use weighbridge::limits::Budget;

fn findings(body: &[u8]) -> Vec<(&'static str, String)> {
    judged(Budget::default().policy(), body)
}

fn codes(body: &[u8]) -> Vec<&'static str> {
    findings(body).into_iter().map(|(code, _)| code).collect()
}

/// An object of another call.
fn made() -> Vec<u8> {
    call("collections", "OrderedDict", &[])
}

fn many(count: usize) -> Vec<Vec<u8>> {
    vec![int(1); count]
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(".to_vec(), items.concat(), b"l".to_vec()].concat()
}

/// What an unpickler would look up on the object and call.
#[test]
fn methods_are_not_planted_by_a_state() {
    let class = || global("torch", "FloatStorage");
    let planted = || dict(&[(text("append"), class())]);
    let built = |object: Vec<u8>, state: Vec<u8>| [object, state, b"b".to_vec()].concat();
    let known = || call("argparse", "Namespace", &[]);
    let parameter = |state: Vec<u8>| {
        let arguments = [NONE.to_vec(), vec![0x88], made(), state];
        call("torch._utils", "_rebuild_parameter_with_state", &arguments)
    };
    for body in [
        built(known(), planted()),
        built(known(), tuple(&[planted(), NONE.to_vec()])),
        built(known(), tuple(&[NONE.to_vec(), planted()])),
        built(known(), made()),
        built(known(), tuple(&[made(), NONE.to_vec()])),
        built(known(), tuple(&[NONE.to_vec(), made()])),
        // A name that a call gives may be any.
        built(known(), dict(&[(made(), class())])),
        parameter(planted()),
        parameter(made()),
    ] {
        let codes = codes(&body);
        assert!(
            codes.contains(&"planted-method"),
            "{}: {codes:?}",
            body.escape_ascii()
        );
    }
    for body in [
        built(known(), dict(&[(text("append"), int(5))])),
        built(known(), dict(&[(text("appended"), class())])),
        built(known(), dict(&[(int(5), class())])),
        built(
            known(),
            tuple(&[dict(&[(text("a"), class())]), NONE.to_vec()]),
        ),
        parameter(dict(&[(text("append"), text("a"))])),
    ] {
        let codes = codes(&body);
        assert!(
            !codes.contains(&"planted-method"),
            "{}: {codes:?}",
            body.escape_ascii()
        );
    }
    let typed = |state: Vec<u8>| {
        let rebuild = global("torch._utils", "_rebuild_tensor_v2");
        let arguments = [rebuild, global("torch", "Tensor"), tuple(&[]), state];
        codes(&call("torch._tensor", "_rebuild_from_type_v2", &arguments))
    };
    assert!(typed(NONE.to_vec()).is_empty());
    assert_eq!(typed(planted()), ["planted-method"]);
    // The fourth argument of other calls is no state.
    let arguments = [int(1), int(2), int(3), planted()];
    assert!(codes(&call("collections", "deque", &arguments)).is_empty());
    let arguments = [NONE.to_vec(), int(0), ints(&[1]), planted()];
    assert!(codes(&call("torch._utils", "_rebuild_tensor_v2", &arguments)).is_empty());
    // Only classes that nobody knows have other keys than text, and they are reported as such.
    let unknown = built(call("my.module", "Net", &[]), dict(&[(made(), class())]));
    assert_eq!(codes(&unknown), ["unrecognised-global"]);
}

#[test]
fn states_of_arrays_and_types_have_the_parts_that_numpy_writes() {
    let array =
        |rank: usize| numpy_array(numpy_dtype("u1", "|"), &vec![1; rank], false, encoded("a"));
    assert!(codes(&array(64)).is_empty());
    assert_eq!(codes(&array(65)), ["array-state"]);

    let fields = dict(&[(text("a"), tuple(&[numpy_dtype("u1", "|"), int(0)]))]);
    let simple = |parts: [&[u8]; 3]| {
        let [subarray, names, fields] = parts;
        let flags = int(0);
        numpy_dtype_with(
            "f4",
            &int(3),
            "<",
            &[subarray, names, fields, &int(-1), &int(-1), &flags],
        )
    };
    let subarray = tuple(&[numpy_dtype("u1", "|"), ints(&[2])]);
    let names = tuple(&[text("a")]);
    assert!(codes(&simple([NONE, NONE, NONE])).is_empty());
    for parts in [
        [subarray.as_slice(), NONE, NONE],
        [NONE, &names, NONE],
        [NONE, NONE, &fields],
    ] {
        assert_eq!(codes(&simple(parts)), ["array-state"]);
    }
}

/// A record of more than 128 fields counts as one with objects, which its flags must say.
#[test]
fn fields_of_a_record_are_looked_at_up_to_a_number() {
    let record = |count: usize, flags: i32| {
        let field = tuple(&[numpy_dtype("u1", "|"), int(0)]);
        let named: Vec<_> = (0..count)
            .map(|no| (text(&no.to_string()), field.clone()))
            .collect();
        let names: Vec<_> = named.iter().map(|(name, _)| name.clone()).collect();
        let parts: [&[u8]; 6] = [
            NONE,
            &tuple(&names),
            &dict(&named),
            &int(1),
            &int(1),
            &int(flags),
        ];
        codes(&numpy_dtype_with("V1", &int(3), "|", &parts))
    };
    assert!(record(1, 0).is_empty());
    assert!(record(128, 0).is_empty());
    assert_eq!(record(129, 0), ["array-state"]);
    assert!(record(129, 63).is_empty());
}

/// The words of a call are one line, however much it is given.
#[test]
fn a_call_is_told_as_far_as_a_line_goes() {
    let told = |argument: Vec<u8>| {
        let found = findings(&call("os", "system", &[argument]));
        let mut calls = found
            .into_iter()
            .filter(|(_, words)| words.contains("call os.system"));
        let (_, words) = calls.next().unwrap();
        words
            .strip_prefix("loading it would call os.system")
            .unwrap()
            .to_owned()
    };
    let nested = |levels: usize| {
        let mut value = int(1);
        for _ in 0..levels {
            value = list(&[value]);
        }
        value
    };
    assert_eq!(told(nested(2)), "([[1]])");
    assert_eq!(told(nested(3)), "([[[…]]])");
    assert_eq!(told(list(&many(6))), "([1, 1, 1, 1, 1, 1])");
    assert_eq!(told(list(&many(7))), "([1, 1, 1, 1, 1, 1, …])");
    let letters = |count: usize| "x".repeat(count);
    assert_eq!(told(text(&letters(80))), format!("({:?})", letters(80)));
    assert_eq!(told(text(&letters(81))), format!("({:?}…)", letters(80)));
    // What calls give is called: two levels are told.
    let once = call("a", "b", &[]);
    let twice = [once.clone(), b")R".to_vec()].concat();
    let thrice = [twice.clone(), b")R".to_vec()].concat();
    assert_eq!(told(once), "(a.b(…))");
    assert_eq!(told(twice), "(a.b(…)(…))");
    assert_eq!(told(thrice), "(<an object>(…)(…))");
}

/// `("storage", class, key, location, elements)` and nothing that resembles it.
#[test]
fn ids_of_storages_are_named_so() {
    let id = |kind: &str| {
        let class = global("torch", "FloatStorage");
        let id = tuple(&[text(kind), class, text("0"), text("cpu"), int(2)]);
        codes(&[id, b"Q".to_vec()].concat())
    };
    assert!(id("storage").is_empty());
    assert_eq!(id("storagf"), ["persistent-id"]);
    let id = |key: Vec<u8>, location: Vec<u8>| {
        let class = global("torch", "FloatStorage");
        let id = tuple(&[text("storage"), class, key, location, int(2)]);
        codes(&[id, b"Q".to_vec()].concat())
    };
    assert!(id(int(0), text("cpu")).is_empty());
    assert!(id(text("0"), b"U\x03cpu".to_vec()).is_empty());
    for (key, location) in [
        (NONE.to_vec(), text("cpu")),
        (text("0"), NONE.to_vec()),
        (text("0"), int(0)),
        (text(&"0".repeat(4_097)), text("cpu")),
    ] {
        assert_eq!(id(key, location), ["persistent-id"]);
    }
}
