//! What is put into lists, dicts, sets and objects, what is refused a place in them, and keys that have no hash.
//!
//! Rules: CPython 3.11 `Modules/_pickle.c` (`do_append`, `do_setitems`, `load_additems`, the stack's fence).

#![allow(missing_docs, unreachable_pub)]

use weighbridge::ErrorKind;
use weighbridge::formats::pickle::{Event, EventKind, NodeId, Tree, Value, load, walk};
use weighbridge::limits::Budget;

/// The anomalies of a stream, and how often something else than a container was to be changed.
fn events(stream: &[u8]) -> (Vec<&'static str>, usize) {
    let (mut anomalies, mut mutations) = (Vec::new(), 0);
    let mut sink = |event: &Event, _: &Tree<'_>| match event.kind {
        EventKind::Anomaly(anomaly) => anomalies.push(anomaly.code()),
        EventKind::Mutation(_) => mutations += 1,
        _ => {}
    };
    walk(stream, 0, &mut sink, &mut Budget::default()).unwrap();
    (anomalies, mutations)
}

fn root<T>(stream: &[u8], look: impl FnOnce(&Tree<'_>, NodeId) -> T) -> T {
    let loaded = load(stream, 0, &mut (), &mut Budget::default()).unwrap();
    look(&loaded.tree, loaded.root)
}

#[test]
fn each_container_is_filled_by_its_own_opcodes() {
    for (stream, count) in [
        (&b"]Na."[..], 1),
        (b"](NNe.", 2),
        (b"]Na(NNe.", 3),
        (b"}NNs.", 2),
        (b"}(NNK\x01Nu.", 4),
        (b"\x8f(NK\x01\x90.", 2),
        (b"(NNl.", 2),
        (b"(NNd.", 2),
        (b"(NK\x01\x91.", 2),
    ] {
        assert_eq!(events(stream), (vec![], 0), "{stream:?}");
        let found = root(stream, |tree, root| match tree.value(root) {
            Value::List(items) | Value::Dict(items) | Value::Set(items) => items.len(),
            _ => panic!("{stream:?}"),
        });
        assert_eq!(found, count, "{stream:?}");
    }
}

/// Python would look up a method of the value by name, and call it.
#[test]
fn what_is_put_elsewhere_is_told_and_dropped() {
    for stream in [
        &b"]NNs."[..],
        b"](NNu.",
        b"}Na.",
        b"}(Ne.",
        b"}(N\x90.",
        b"\x8fNNs.",
        b"K\x01Na.",
        b")(Ne.",
    ] {
        assert_eq!(events(stream), (vec!["plain-target"], 1), "{stream:?}");
        let empty = root(stream, |tree, root| match tree.value(root) {
            Value::List(items) | Value::Dict(items) | Value::Set(items) | Value::Tuple(items) => {
                items.is_empty()
            }
            value => matches!(value, Value::Int(1)),
        });
        assert!(empty, "{stream:?}");
    }
    // The opcodes of lists call `append` and `extend`, which sets lack; `add` is that of sets.
    for stream in [&b"\x8f(Ne."[..], b"](N\x90."] {
        assert_eq!(events(stream), (vec!["plain-target"], 1), "{stream:?}");
    }
    // Of nothing nothing is put anywhere.
    for stream in [&b"K\x01(e."[..], b"K\x01(u.", b"ca\nx\n)R(u.", b"](\x90."] {
        assert_eq!(events(stream), (vec![], 0), "{stream:?}");
    }
    for stream in [
        &b"ca\nx\n)RNa."[..],
        b"ca\nx\n)R(NNu.",
        b"\x80\x02U\x01aQNa.",
    ] {
        assert_eq!(events(stream), (vec![], 1), "{stream:?}");
    }
}

/// An object takes items or pairs, as the first opcode says.
#[test]
fn an_object_keeps_one_kind_of_content() {
    for (rest, items, pairs) in [
        (&b"NaNa."[..], 2, 0),
        (b"NNsNNs.", 0, 4),
        (b"NaNNs.", 1, 0),
        (b"NNsNa.", 0, 2),
        (b"NNsNaNNs.", 0, 4),
    ] {
        root(&[b"ca\nx\n)R", rest].concat(), |tree, root| {
            let object = tree.object(root).unwrap();
            let found = (
                tree.object_items(object).len(),
                tree.object_pairs(object).len(),
            );
            assert_eq!(found, (items, pairs), "{rest:?}");
        });
    }
}

#[test]
fn nothing_is_put_below_a_mark() {
    for (stream, offset) in [
        (&b"](Nal."[..], 3),
        (b"}(NNsl.", 4),
        (b"](a.", 2),
        (b"((Nel.", 3),
        (b"Na.", 1),
        (b"(Ne.", 2),
    ] {
        let error = walk(stream, 0, &mut (), &mut Budget::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{stream:?}");
        assert_eq!(error.offset(), Some(offset), "{stream:?}: {error}");
    }
}

/// A tuple has a hash if each of its items has.
#[test]
fn keys_that_have_no_hash_are_told() {
    for key in [
        &b"]"[..],
        b"}",
        b"\x8f",
        b"]\x85",
        b"]N\x86",
        b"N]\x86",
        b"N]N\x87",
        b"]\x85N\x86",
    ] {
        for stream in [
            [b"}", key, b"Ns."].concat(),
            [b"\x8f(", key, b"\x90."].concat(),
            [b"(", key, b"\x91."].concat(),
        ] {
            assert_eq!(events(&stream).0, ["unhashable"], "{key:?}");
        }
        // As a value it needs none.
        assert!(events(&[b"}N", key, b"s."].concat()).0.is_empty());
    }
    for key in [&b"N"[..], b")", b"N\x85", b"NN\x86\x85", b"(NN\x91"] {
        assert!(
            events(&[b"}", key, b"Ns."].concat()).0.is_empty(),
            "{key:?}"
        );
    }
}

/// 64 steps for each opcode, and 4,000,000: a tuple of k items, as a key of n pairs, takes n (k + 1) of them, and the
/// stream has k + 2 n + 7 opcodes.
#[test]
fn hashes_take_steps_that_the_opcodes_pay_for() {
    let stream = |items: usize, keys: usize| {
        let tuple = [b"(".to_vec(), b"N".repeat(items), b"tq\x000".to_vec()].concat();
        let pairs = b"h\x00N".repeat(keys);
        [tuple, b"}(".to_vec(), pairs, b"u.".to_vec()].concat()
    };
    let (items, keys) = (62_761, 128);
    assert_eq!(keys * (items + 1), 64 * (items + 2 * keys + 7) + 4_000_000);
    assert!(events(&stream(items, keys)).0.is_empty());
    assert_eq!(events(&stream(items, keys + 1)).0, ["hash-bomb"]);
    assert_eq!(events(&stream(items, keys + 100)).0, ["hash-bomb"]);
}

/// A state is given to objects: to classes, ids and extensions it is told by what asks for it, to others as odd.
#[test]
fn states_are_for_objects() {
    for stream in [
        &b"ca\nx\n)R}b."[..],
        b"ca\nx\n}b.",
        b"\x80\x02U\x01aQ}b.",
        b"\x80\x02\x82\x01}b.",
    ] {
        assert_eq!(events(stream).0, Vec::<&str>::new(), "{stream:?}");
    }
    for stream in [&b"]}b."[..], b"}}b.", b"N}b.", b")}b."] {
        assert_eq!(events(stream).0, ["plain-target"], "{stream:?}");
    }
}
