//! What the pickle machine says of streams that were made to deceive, in the words of its events.
//!
//! No pickle here is ever loaded by Python, and none would do more than name a function.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::torch::{checkpoint, pickle};
use weighbridge::formats::pickle::{Event, EventKind, NodeId, Tree, Value, is_pickle, load, walk};
use weighbridge::limits::Budget;
use weighbridge::{Checkpoint, Error, ErrorKind, OpenOptions, Verdict};

/// The globals that loading the stream would ask for, and the anomalies on the way.
fn globals(stream: &[u8]) -> (Vec<String>, Vec<&'static str>) {
    let (mut globals, mut anomalies) = (Vec::new(), Vec::new());
    let mut sink = |event: &Event, tree: &Tree<'_>| match event.kind {
        EventKind::Global(id) => {
            let global = tree.global(id).unwrap();
            globals.push(format!("{}.{}", global.module, global.name));
        }
        EventKind::Anomaly(anomaly) => anomalies.push(anomaly.code()),
        _ => {}
    };
    let _ = walk(stream, 0, &mut sink, &mut Budget::default());
    (globals, anomalies)
}

#[test]
fn a_name_is_seen_however_it_is_made() {
    let streams: &[&[u8]] = &[
        b"cos\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x04S'os'\nS'system'\n\x93.",
        b"\x80\x04U\x02osU\x06system\x93.",
        b"\x80\x04V\\u006fs\nV\\u0073ystem\n\x93.",
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93.",
        b"\x80\x04\x8c\x02osN0\x8c\x06systemN0\x93.",
        b"\x80\x04\x8c\x02os\x8c\x06system(\x8c\x04safe1\x93.",
        b"\x80\x04\x8c\x04safeq\x00\x8c\x02osq\x0000h\x00\x8c\x06system\x93.",
        b"(S'id'\nios\nsystem\n.",
        b"(cos\nsystem\nS'id'\no.",
    ];
    for stream in streams {
        assert_eq!(
            globals(stream).0,
            ["os.system"],
            "{}",
            stream.escape_ascii()
        );
    }
    // Python 2 names become those that Python 3 imports.
    assert_eq!(globals(b"c__builtin__\neval\n.").0, ["builtins.eval"]);
    assert_eq!(
        globals(b"ccommands\ngetoutput\n.").0,
        ["subprocess.getoutput"]
    );
    // From protocol 3 on nothing is translated.
    assert_eq!(
        globals(b"\x80\x03c__builtin__\neval\n.").0,
        ["__builtin__.eval"]
    );
}

#[test]
fn what_came_before_an_error_stays_seen() {
    for tail in [&b""[..], b"\xff", b"X\xff\xff\xff\xff", b"h\x07", b"0000"] {
        let stream = [b"cos\nsystem\n", tail].concat();
        assert_eq!(globals(&stream).0, ["os.system"]);
    }
}

#[test]
fn frames_are_checked() {
    // A frame of 3 bytes that cuts a string; one inside another; one right.
    let cut = b"\x80\x04\x95\x03\0\0\0\0\0\0\0\x8c\x04name.";
    assert_eq!(globals(cut).1, ["frame"]);
    let inner = b"\x80\x04\x95\x0d\0\0\0\0\0\0\0\x95\x02\0\0\0\0\0\0\0N0N.";
    assert!(globals(inner).1.contains(&"frame"));
    let right = b"\x80\x04\x95\x02\0\0\0\0\0\0\0N.";
    assert!(globals(right).1.is_empty());
}

#[test]
fn a_dangerous_checkpoint_is_refused_and_can_be_looked_at() {
    let bodies: &[&[u8]] = &[
        b"cos\nsystem\nX\x02\0\0\0id\x85R",
        b"c__builtin__\neval\nX\x01\0\0\x001\x85R",
        b"ctorch.serialization\nload\n)R",
        b"cpathlib\nPath.home\n",
        b"\x82\x01",
        b"X\x01\0\0\0a)R",
    ];
    for body in bodies {
        let file = checkpoint(&pickle(body.to_vec()));
        let error = Checkpoint::from_bytes(file.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{}", body.escape_ascii());
        assert!(error.offset().is_some());
        let model = OpenOptions::new()
            .allow_dangerous(true)
            .from_bytes(file)
            .unwrap();
        assert_eq!(model.verdict(), Verdict::Dangerous);
        assert!(model.findings().count() > 0);
    }
    let unknown = checkpoint(&pickle(b"cmy.module\nMyClass\n)\x81".to_vec()));
    assert_eq!(
        Checkpoint::from_bytes(unknown).unwrap().verdict(),
        Verdict::Unrecognised
    );
    let codec = checkpoint(&pickle(
        b"c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0zip\x86R".to_vec(),
    ));
    assert_eq!(
        Checkpoint::from_bytes(codec).unwrap().verdict(),
        Verdict::Malformed
    );
}

fn error(stream: &[u8]) -> Error {
    walk(stream, 0, &mut (), &mut Budget::default()).unwrap_err()
}

fn root<T>(stream: &[u8], look: impl FnOnce(&Tree<'_>, NodeId) -> T) -> T {
    let loaded = load(stream, 0, &mut (), &mut Budget::default()).unwrap();
    look(&loaded.tree, loaded.root)
}

/// `pickle.loads` of CPython 3.11 gives these texts.
#[test]
fn escapes_of_strings_are_those_of_python_2() {
    for (stream, expected) in [
        (
            &b"S'\\a\\b\\f\\n\\r\\t\\v'\n."[..],
            &b"\x07\x08\x0c\n\r\t\x0b"[..],
        ),
        (b"S\"\\\\\\'\\\"\"\n.", b"\\'\""),
        (b"S'\\x41\\101\\60'\n.", b"AA0"),
    ] {
        root(stream, |tree, root| {
            let Value::ByteString(text) = tree.value(root) else {
                panic!("{}", stream.escape_ascii());
            };
            assert_eq!(text, expected, "{}", stream.escape_ascii());
        });
    }
    for stream in [&b"S'\\x4'\n."[..], b"S'\\'\n.", b"S'\\xgg'\n."] {
        let error = error(stream);
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert_eq!(error.offset(), Some(0), "{error}");
    }
}

#[test]
fn numbers_and_the_memo_of_text_and_binary_opcodes_agree() {
    for (stream, expected) in [
        (&b"M\xff\xff."[..], 65_535),
        (b"M\x07\x00.", 7),
        (b"K\xff.", 255),
        (b"I-300\n.", -300),
        (b"L70000L\n.", 70_000),
        (b"\x8a\x02\x00\x80.", -32_768),
        (b"I5\np7\n0g7\n.", 5),
        (b"K\x05q\x070h\x07.", 5),
        (b"K\x05r\x00\x01\x00\x000j\x00\x01\x00\x00.", 5),
    ] {
        let found = root(stream, |tree, root| tree.int(root));
        assert_eq!(found, Some(expected), "{}", stream.escape_ascii());
    }
}

/// A lone surrogate is a text to Python, and no name of anything.
#[test]
fn names_that_nothing_can_have_are_errors() {
    root(b"\x80\x04\x8c\x03\xed\xa0\x80.", |tree, root| {
        assert!(matches!(tree.value(root), Value::Str(b"\xed\xa0\x80")));
    });
    let long = [&5000_u32.to_le_bytes()[..], &[b'a'; 5000]].concat();
    for (module, name, code, words) in [
        (
            &b"\x8c\x03\xed\xa0\x80"[..],
            &b"\x8c\x06system"[..],
            "unexpected",
            "a global",
        ),
        (
            b"\x8c\x02os",
            b"\x8c\x03\xed\xa0\x80",
            "unexpected",
            "a global",
        ),
        (b"\x8c\x02os", b"\x8c\x00", "unexpected", "a global"),
        (
            b"\x8c\x02os",
            &[b"X", &long[..]].concat(),
            "out-of-range",
            "5000",
        ),
        (
            &[b"X", &long[..]].concat(),
            b"\x8c\x06system",
            "out-of-range",
            "5000",
        ),
        (b"\x8c\x02os", b"K\x01", "unexpected", "STACK_GLOBAL"),
    ] {
        let stream = [b"\x80\x04", module, name, b"\x93."].concat();
        let error = error(&stream);
        let found = error.as_malformed().map(|rule| rule.code());
        assert_eq!(found, Some(code), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.offset(), Some(stream.len() as u64 - 2), "{error}");
    }
}

/// A tree is printed by its size, and an id of another tree is nothing in this one.
#[test]
fn trees_and_ids_say_little_and_never_follow_a_file() {
    let large = load(b"(K\x01N]}t.", 0, &mut (), &mut Budget::default()).unwrap();
    let small = load(b"N.", 0, &mut (), &mut Budget::default()).unwrap();
    assert!(!large.tree.is_empty());
    assert_eq!(
        large.tree.len(),
        5,
        "a number, None, a list, a dict, a tuple"
    );
    assert_eq!(format!("{:?}", large.tree), "Tree(5 values)");
    assert_eq!(
        format!("{:?}", large.root),
        format!("#{}", large.root.position())
    );
    assert!(large.root.position() >= small.tree.len());
    assert!(matches!(small.tree.value(large.root), Value::None));
}

#[test]
fn a_magic_number_of_ours_is_of_no_other_format() {
    use weighbridge::formats::name_of_other;
    assert_eq!(
        name_of_other(b"7z\xbc\xaf\x27\x1c\0\x04"),
        Some("7z archive")
    );
    assert_eq!(name_of_other(b"GGUF\x03\0\0\0"), None);
    assert_eq!(name_of_other(b"PK\x03\x04\x14\0\0\0"), None);
    assert_eq!(name_of_other(b""), None);
}

/// CPython's stack ends at the last mark ("unexpected MARK found", a stack underflow of its C twin).
#[test]
fn nothing_below_a_mark_is_on_top() {
    for stream in [
        &b"N(2ll."[..],
        b"N(q\x00ll.",
        b"N(r\0\0\0\0ll.",
        b"N(p0\nll.",
        b"N(\x94ll.",
    ] {
        let error = error(stream);
        assert_eq!(error.kind(), ErrorKind::Malformed, "{stream:?}");
        assert_eq!(error.offset(), Some(2), "{stream:?}: {error}");
    }
    for stream in [&b"(N2l."[..], b"(Nq\x00l.", b"(N\x94l."] {
        walk(stream, 0, &mut (), &mut Budget::default()).unwrap();
    }
}

/// A text that a memo repeats would be looked at again and again: only short ones are names.
#[test]
fn a_text_is_a_name_up_to_4096_bytes() {
    for (length, is_name) in [(4_096, true), (4_097, false)] {
        let text = "x".repeat(length);
        let stream = [
            b"X",
            &(length as u32).to_le_bytes()[..],
            text.as_bytes(),
            b".",
        ]
        .concat();
        root(&stream, |tree, root| {
            assert_eq!(tree.str(root).is_some(), is_name);
            assert!(matches!(tree.value(root), Value::Str(found) if found.len() == length));
        });
    }
}

#[test]
fn an_object_keeps_what_it_takes() {
    let object = b"\x80\x02ca\nx\n)\x81";
    for (rest, items, pairs) in [
        (&b"."[..], 0, 0),
        (b"Na.", 1, 0),
        (b"(NN\x88e.", 3, 0),
        (b"N\x88s.", 0, 2),
        (b"(N\x88\x89Nu.", 0, 4),
    ] {
        root(&[&object[..], rest].concat(), |tree, root| {
            let object = tree.object(root).unwrap();
            assert_eq!(tree.object_items(object).len(), items, "{rest:?}");
            assert_eq!(tree.object_pairs(object).len(), pairs, "{rest:?}");
        });
    }
}

/// Protocol 0 writes texts as lines, in which any letter may be an escape.
#[test]
fn a_storage_is_one_however_its_id_is_written() {
    use support::torch::{global, int, pickle_of, tensor, text, tuple};
    for kind in [
        text("storage"),
        b"Vstorage\n".to_vec(),
        b"V\\u0073torage\n".to_vec(),
        b"S'storage'\n".to_vec(),
        b"S'\\x73torage'\n".to_vec(),
        b"U\x07storage".to_vec(),
    ] {
        let class = global("torch", "FloatStorage");
        let id = tuple(&[kind.clone(), class, text("0"), text("cpu"), int(2)]);
        let storage = [id, b"Q".to_vec()].concat();
        let file = checkpoint(&pickle_of(tensor(storage, 0, &[2], &[1])));
        let model = Checkpoint::from_bytes(file).unwrap();
        let mut values = [0.0_f32; 2];
        let tensor = model.tensor("x").unwrap();
        tensor.dequantize_into(&mut values).unwrap();
        assert_eq!(values, [1.0, 2.0], "{}", kind.escape_ascii());
        assert_eq!(model.verdict(), Verdict::Safe, "{}", kind.escape_ascii());
    }
}

/// Without a magic number, what breaks off is a pickle if it would have imported something that can have such a name.
#[test]
fn text_that_only_starts_as_a_pickle_is_none() {
    for (bytes, expected) in [
        (&b"cos.path\njoin_1\n\xff"[..], true),
        (b"c\xc3\xa9\nb\n\xff", true),
        (b"cut the\nrope\n\xff", false),
        (b"cut\nthe rope\n\xff", false),
        (b"cut, the\nrope!\n\xff", false),
        (b"\xff", false),
        (b"cut the\nrope\n.", true),
    ] {
        assert_eq!(is_pickle(bytes), expected, "{}", bytes.escape_ascii());
    }
}

/// STACK_GLOBAL takes texts of at most 4,096 bytes; GLOBAL a line and its end within as many.
#[test]
fn names_of_globals_have_a_longest() {
    let stacked = |length: usize| {
        let name = "x".repeat(length);
        let text = [b"X", &(length as u32).to_le_bytes()[..], name.as_bytes()].concat();
        let stream = [b"\x80\x04\x8c\x01m", text.as_slice(), b"\x93."].concat();
        walk(&stream, 0, &mut (), &mut Budget::default()).is_ok()
    };
    assert!(stacked(4_096) && !stacked(4_097));
    let line = |length: usize| {
        let stream = format!("cm\n{}\n.", "x".repeat(length));
        walk(stream.as_bytes(), 0, &mut (), &mut Budget::default()).is_ok()
    };
    assert!(line(4_095) && !line(4_096));
}

/// A number that is none is an error where it stands; one that only some unpicklers take is told, and refused at the
/// end.
#[test]
fn numbers_that_nothing_takes_end_the_walk() {
    let digits = format!("L{}\nN.", "1".repeat(4_301));
    for (stream, told) in [
        (&b"Iabc\ncos\nsystem\n."[..], false),
        (b"Labc\ncos\nsystem\n.", false),
        (b"Np0\ngabc\ncos\nsystem\n.", false),
        (b"Npabc\ncos\nsystem\n.", false),
        (digits.as_bytes(), false),
        (b"I1_0\ncos\nsystem\n.", true),
        (b"L+5\ncos\nsystem\n.", true),
        (b"Np0\ng+0\ncos\nsystem\n.", true),
    ] {
        let (names, anomalies) = globals(stream);
        assert_eq!(
            anomalies.contains(&"number"),
            told,
            "{}",
            stream.escape_ascii()
        );
        assert_eq!(!names.is_empty(), told, "{}", stream.escape_ascii());
        error(stream);
    }
}

/// NEXT_BUFFER takes what travels beside the pickle, READONLY_BUFFER belongs behind it.
#[test]
fn buffers_are_told() {
    assert_eq!(globals(b"\x80\x05\x97.").1, ["buffer"]);
    assert_eq!(globals(b"\x80\x05\x97\x98.").1, ["buffer"]);
    assert_eq!(globals(b"\x80\x05N\x98.").1, ["buffer"]);
    root(b"\x80\x05\x97\x98.", |tree, root| {
        assert!(matches!(tree.value(root), Value::Buffer));
    });
    error(b"\x80\x05(\x98.");
}

#[test]
fn persistent_ids_are_lines_of_ascii_in_protocol_0() {
    root(b"Pab c\n.", |tree, root| {
        let Value::PersistentId(id) = tree.value(root) else {
            panic!("no id");
        };
        assert_eq!(tree.str(id), Some("ab c"));
    });
    let error = error(b"P\xc3\xa9\n.");
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert_eq!(error.offset(), Some(0));
}

#[test]
fn frames_follow_each_other() {
    let frame = |body: &[u8]| [&b"\x95"[..], &(body.len() as u64).to_le_bytes(), body].concat();
    let stream = [
        b"\x80\x04".to_vec(),
        frame(b"N0"),
        frame(b"N0N"),
        frame(b"."),
    ]
    .concat();
    assert!(globals(&stream).1.is_empty());
}

/// Picklers of Python 2 count from 1, others skip numbers: 64 beyond the opcodes are near.
#[test]
fn memo_numbers_may_be_a_little_ahead() {
    for (index, told) in [(0, false), (1, false), (66, false), (67, true), (255, true)] {
        let anomalies = globals(&[b'N', b'q', index, b'.']).1;
        assert_eq!(anomalies.contains(&"sparse-memo"), told, "{index}");
    }
}
