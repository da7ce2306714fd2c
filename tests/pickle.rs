//! What the pickle machine says of streams that were made to deceive, in the words of its events.
//!
//! No pickle here is ever loaded by Python, and none would do more than name a function.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::torch::{checkpoint, pickle};
use weighbridge::formats::pickle::{Event, EventKind, Tree, walk};
use weighbridge::limits::Budget;
use weighbridge::{Checkpoint, ErrorKind, OpenOptions, Verdict};

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
