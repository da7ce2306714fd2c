//! Safetensors files; measured with the crate `safetensors` 0.8.0.

use crate::Class::{Accept, Reject, Warn};
use crate::Ours::{Limit, Malformed, Noted};
use crate::support::safetensors::{build, build_bytes, with_info};
use crate::support::torch::{good_pickle, members};
use crate::support::zip::Zip;
use crate::{Row, both, row};

const X: &str = r#""x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}"#;

pub fn rows() -> Vec<Row> {
    let tables = [
        repeated(),
        framing(),
        layout(),
        numbers(),
        names(),
        polyglots(),
    ];
    tables.into_iter().flatten().collect()
}

/// A file of `header` and two bytes of data.
fn two(header: &str) -> Vec<u8> {
    build(header, &[1, 2])
}

fn repeated() -> Vec<Row> {
    let meta = |pairs: &str| two(&format!(r#"{{"__metadata__":{pairs},{X}}}"#));
    let again = r#"{"dtype":"U8","shape":[2],"data_offsets":[0,2]}"#;
    vec![
        both(
            "key_twice",
            "accepts, the last wins",
            Reject,
            two(&format!("{{{X},{X}}}")),
        )
        .is(Malformed("duplicate")),
        both(
            "key_twice_by_escape",
            "accepts, the last wins",
            Reject,
            two(&format!(r#"{{{X},"\u0078":{again}}}"#)),
        )
        .is(Malformed("duplicate")),
        both(
            "metadata_key_twice",
            "accepts",
            Reject,
            meta(r#"{"a":"1","a":"2"}"#),
        )
        .is(Malformed("duplicate")),
        both(
            "metadata_key_twice_by_escape",
            "accepts",
            Reject,
            meta(r#"{"a":"1","\u0061":"2"}"#),
        )
        .is(Malformed("duplicate")),
        both(
            "dtype_twice",
            "error",
            Reject,
            with_info(r#"{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}"#),
        )
        .is(Malformed("duplicate")),
        both(
            "metadata_twice",
            "error",
            Reject,
            two(&format!(
                r#"{{"__metadata__":{{}},"__metadata__":{{}},{X}}}"#
            )),
        )
        .is(Malformed("duplicate")),
        row(
            "field_unknown",
            "accepts",
            [Reject, Warn],
            with_info(r#"{"dtype":"U8","shape":[2],"data_offsets":[0,2],"extra":0}"#),
        )
        .is(Malformed("unexpected"))
        .lenient(Noted(&["unknown-field"])),
    ]
}

fn framing() -> Vec<Row> {
    let padded = |padding: &str| two(&format!("{{{X}}}{padding}"));
    vec![
        both("padded_with_spaces", "accepts", Accept, padded("    ")),
        both(
            "starts_with_a_space",
            "accepts",
            Reject,
            two(&format!(" {{{X}}}")),
        )
        .is(Malformed("unexpected")),
        row(
            "padded_with_a_newline",
            "accepts",
            [Reject, Warn],
            padded("\n"),
        )
        .is(Malformed("unexpected"))
        .lenient(Noted(&["header-padding"])),
        row(
            "padded_with_a_tab",
            "accepts",
            [Reject, Warn],
            padded(" \t"),
        )
        .is(Malformed("unexpected"))
        .lenient(Noted(&["header-padding"])),
        both("padded_with_nul", "error", Reject, padded("\0")).is(Malformed("invalid")),
        both(
            "empty_header",
            "accepts, no tensors",
            Accept,
            build("{}", &[]),
        ),
        both(
            "header_of_100_000_001_bytes",
            "error",
            Reject,
            // The default is the crate's own; it is lowered so that the row is small.
            two(&format!("{{{X}}}")),
        )
        .limits(|limits| {
            assert_eq!(limits.header_bytes, 100_000_000);
            limits.header_bytes = X.len() as u64 + 1;
        })
        .is(Limit("header_bytes")),
        both(
            "header_not_utf8",
            "error",
            Reject,
            build_bytes(b"{\"\xff\":1}", &[]),
        )
        .is(Malformed("not-utf8")),
        both(
            "name_lone_surrogate",
            "error",
            Reject,
            build(
                r#"{"\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#,
                &[],
            ),
        )
        .is(Malformed("invalid")),
    ]
}

fn layout() -> Vec<Row> {
    let pair = |first: &str, second: &str, bytes: usize| {
        let info = |name: &str, info: &str| format!(r#""{name}":{{"dtype":"U8",{info}}}"#);
        let header = format!("{{{},{}}}", info("a", first), info("b", second));
        build(&header, &vec![0; bytes])
    };
    let a = r#""shape":[2],"data_offsets":[0,2]"#;
    let b = |start: u64, length: u64| {
        let end = start + length;
        format!(r#""shape":[{length}],"data_offsets":[{start},{end}]"#)
    };
    let mut misaligned = r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"#.to_owned();
    misaligned += r#""b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#;
    misaligned += &" ".repeat(8 - misaligned.len() % 8);
    vec![
        row(
            "byte_more",
            "error",
            [Reject, Reject],
            build(&format!("{{{X}}}"), &[1, 2, 3]),
        )
        .is(Malformed("trailing-bytes"))
        .lenient(Noted(&["trailing-bytes"]))
        .because("lenient: what is declared has one meaning, the rest is reported"),
        both(
            "byte_less",
            "error",
            Reject,
            build(&format!("{{{X}}}"), &[1]),
        )
        .is(Malformed("truncated")),
        both("hole", "error", Reject, pair(a, &b(3, 2), 5)).is(Malformed("gap")),
        both("overlap", "error", Reject, pair(a, &b(1, 2), 3)).is(Malformed("overlap")),
        row(
            "same_range",
            "error",
            [Reject, Reject],
            pair(a, &b(0, 2), 2),
        )
        .is(Malformed("overlap"))
        .lenient(Noted(&["shared-range"]))
        .because("lenient: two names for the very same range are tied weights"),
        both(
            "empty_tensor_where_another_ends",
            "accepts",
            Accept,
            pair(a, &b(2, 0), 2),
        ),
        row(
            "empty_tensor_inside_another",
            "error",
            [Reject, Reject],
            pair(a, &b(1, 0), 2),
        )
        .is(Malformed("overlap")),
        row(
            "tensor_not_at_a_multiple_of_its_size",
            "accepts",
            [Warn, Warn],
            build(&misaligned, &[0; 6]),
        )
        .is(Noted(&["misaligned-tensor"])),
    ]
}

fn numbers() -> Vec<Row> {
    let empty = |shape: &str| {
        let header = format!(r#"{{"x":{{"dtype":"U8","shape":{shape},"data_offsets":[0,0]}}}}"#);
        build(&header, &[])
    };
    let number = |number: &str| {
        with_info(&format!(
            r#"{{"dtype":"U8","shape":[2,{number}],"data_offsets":[0,2]}}"#
        ))
    };
    let rank = |rank: usize| {
        let shape = vec!["1"; rank].join(",");
        let header = format!(r#"{{"x":{{"dtype":"U8","shape":[{shape}],"data_offsets":[0,1]}}}}"#);
        build(&header, &[1])
    };
    vec![
        both(
            "zero_first",
            "accepts",
            Reject,
            empty("[0,9223372036854775808,9223372036854775808]"),
        )
        .is(Malformed("overflow")),
        both(
            "zero_last",
            "error",
            Reject,
            empty("[9223372036854775808,9223372036854775808,0]"),
        )
        .is(Malformed("overflow")),
        both(
            "product_wraps_to_0",
            "error",
            Reject,
            empty("[4294967296,4294967296]"),
        )
        .is(Malformed("overflow")),
        both(
            "nine_tensors_to_2_to_64",
            "error; panic with overflow checks",
            Reject,
            nine(),
        )
        .is(Malformed("truncated")),
        both("fraction", "error", Reject, number("1.0")).is(Malformed("unexpected")),
        both("exponent", "error", Reject, number("1e0")).is(Malformed("unexpected")),
        both("minus_zero", "error", Reject, number("-0")).is(Malformed("unexpected")),
        both("rank_64", "accepts", Accept, rank(64)),
        both("rank_65", "accepts", Reject, rank(65)).is(Limit("rank")),
        both(
            "half_a_byte",
            "error",
            Reject,
            with_info(r#"{"dtype":"F4","shape":[3],"data_offsets":[0,2]}"#),
        )
        .is(Malformed("partial-block")),
        both(
            "bool_of_2",
            "accepts",
            Accept,
            with_info(r#"{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}"#),
        ),
    ]
}

/// Nine tensors in a row, of which the last ends at 2^64 − 1.
fn nine() -> Vec<u8> {
    let each = u64::MAX / 9;
    let infos = (0..9_u64).map(|at| {
        let start = each * at;
        let end = if at == 8 { u64::MAX } else { start + each };
        let bytes = end - start;
        format!(r#""{at}":{{"dtype":"U8","shape":[{bytes}],"data_offsets":[{start},{end}]}}"#)
    });
    let infos: Vec<String> = infos.collect();
    build(&format!("{{{}}}", infos.join(",")), &[])
}

fn names() -> Vec<Row> {
    let named = |name: &str| {
        let name = serde_json::to_string(name).unwrap();
        let header = format!(r#"{{{name}:{{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}}}"#);
        two(&header)
    };
    let raw = "names are given as they are and never used as paths; who prints them escapes them";
    let odd = |name: &'static str, text: &str| {
        row(name, "accepts", [Warn, Warn], named(text)).because(raw)
    };
    vec![
        both("name_empty", "accepts", Reject, named(""))
            .because("the crate writes and reads it; it has one meaning"),
        odd("name_with_nul", "a\0b"),
        odd("name_with_newline", "a\nb"),
        odd("name_with_bidi_override", "a\u{202e}b"),
        odd("name_with_parent_folder", "../../evil"),
    ]
}

fn polyglots() -> Vec<Row> {
    // The archive is the file's only tensor.
    let archive = Zip::of(members(&good_pickle())).build();
    let header = format!(
        r#"{{"x":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}}}"#,
        archive.len()
    );
    // "PK\3\4" as a length: 67 MB of header, of which nearly all is padding.
    let mut padded = format!("{{{X}}}").into_bytes();
    padded.resize(0x0403_4b50, b' ');
    vec![
        both(
            "starts_as_a_zip",
            "accepts; torch and zipfile read the archive behind it",
            Reject,
            build_bytes(&padded, &[1, 2]),
        )
        .is(Malformed("unexpected"))
        .native(),
        row(
            "ends_as_a_zip",
            "accepts; zipfile reads the archive",
            [Warn, Warn],
            build(&header, &archive),
        )
        .because("opening touches no data; torch asks for a zip's first bytes, which this has not"),
    ]
}
