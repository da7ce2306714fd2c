//! Rules: where CPython's unpickler raises, and limits that keep a small file from being a large one.

use weighbridge::ErrorKind;

use crate::support::torch::{checkpoint, pickle};
use crate::{Case, malformed, other};

pub fn cases() -> Vec<Case> {
    [opcodes(), stack(), text(), limits()]
        .into_iter()
        .flatten()
        .collect()
}

/// The pickle, as torch would read it: in an archive.
fn body(body: &[u8]) -> Vec<u8> {
    checkpoint(&pickle(body.to_vec()))
}

fn raw(pickle: &[u8]) -> Vec<u8> {
    checkpoint(pickle)
}

fn opcodes() -> Vec<Case> {
    vec![
        malformed("empty", "truncated", raw(b"")),
        malformed("opcode_unknown", "unexpected", body(b"\xff")),
        malformed("opcode_0", "unexpected", body(b"\0")),
        other("protocol_6", ErrorKind::Unsupported, raw(b"\x80\x06N.")),
        malformed("stop_missing", "truncated", raw(b"\x80\x02N")),
        malformed("stop_on_empty_stack", "unexpected", raw(b"\x80\x02.")),
        malformed("bytes_after_stop", "trailing-bytes", raw(b"\x80\x02}.N")),
        malformed("argument_truncated", "truncated", raw(b"\x80\x02J\0\0")),
        malformed(
            "string_length_huge",
            "truncated",
            body(b"X\xff\xff\xff\xff"),
        ),
        malformed(
            "string_length_negative",
            "out-of-range",
            body(b"T\xff\xff\xff\xff"),
        ),
        malformed(
            "bytes_length_2_to_63",
            "truncated",
            body(b"\x8e\0\0\0\0\0\0\0\x7f"),
        ),
        malformed(
            "long4_length_negative",
            "out-of-range",
            body(b"\x8b\xff\xff\xff\xff"),
        ),
        malformed(
            "frame_past_end",
            "truncated",
            raw(b"\x80\x04\x95\xff\0\0\0\0\0\0\0N."),
        ),
        malformed("line_without_end", "truncated", body(b"cos")),
        malformed("extension_code_0", "out-of-range", body(b"\x82\0")),
        malformed(
            "extension_code_negative",
            "out-of-range",
            body(b"\x84\xff\xff\xff\xff"),
        ),
    ]
}

fn stack() -> Vec<Case> {
    vec![
        malformed("pop_on_empty_stack", "unexpected", body(b"0")),
        malformed("pop_mark_without_mark", "unexpected", body(b"1")),
        malformed("tuple_without_mark", "unexpected", body(b"t")),
        malformed("tuple2_of_one", "unexpected", body(b"N\x86")),
        malformed("tuple1_across_a_mark", "unexpected", body(b"N(\x85")),
        malformed("append_to_nothing", "unexpected", body(b"Na")),
        malformed("appends_to_nothing", "unexpected", body(b"(Ne")),
        malformed("setitems_odd", "unexpected", body(b"}(NNNu")),
        malformed("dict_odd", "unexpected", body(b"(Nd")),
        malformed(
            "reduce_without_arguments",
            "unexpected",
            body(b"cos\nsystem\nR"),
        ),
        malformed("build_without_object", "unexpected", body(b"Nb")),
        malformed("obj_without_class", "unexpected", body(b"(o")),
        malformed("dup_on_empty_stack", "unexpected", body(b"2")),
        malformed(
            "memoize_on_empty_stack",
            "unexpected",
            raw(b"\x80\x04\x94."),
        ),
        malformed("get_of_nothing", "missing", body(b"h\x07")),
        malformed("long_get_of_nothing", "missing", body(b"j\xff\xff\xff\xff")),
        malformed(
            "stack_global_of_numbers",
            "unexpected",
            raw(b"\x80\x04K\x01K\x02\x93."),
        ),
    ]
}

fn text() -> Vec<Case> {
    vec![
        malformed("unicode_not_utf8", "not-utf8", body(b"X\x02\0\0\0\xc3\x28")),
        malformed("int_hexadecimal", "invalid", body(b"I0x10\n")),
        malformed("int_underscore", "invalid", body(b"I1_0\n")),
        malformed("int_empty", "invalid", body(b"I\n")),
        malformed("float_word", "invalid", body(b"Fone\n")),
        malformed("string_unquoted", "invalid", body(b"Sabc\n")),
        malformed("string_quote_unlike", "invalid", body(b"S'abc\"\n")),
        malformed("string_escape_cut", "invalid", body(b"S'\\x4'\n")),
        malformed("unicode_escape_cut", "invalid", body(b"V\\u12\n")),
        malformed(
            "unicode_escape_above_last",
            "invalid",
            body(b"V\\U00110000\n"),
        ),
        malformed("put_negative", "unexpected", body(b"Np-1\n")),
        malformed("global_empty_name", "unexpected", body(b"cos\n\n")),
    ]
}

fn limits() -> Vec<Case> {
    vec![
        other(
            "digits_above_limit",
            ErrorKind::Limit,
            body(format!("I{}\n", "1".repeat(4_301)).as_bytes()),
        ),
        malformed(
            "global_line_too_long",
            "out-of-range",
            body(format!("c{}\nx\n", "m".repeat(65_537)).as_bytes()),
        ),
    ]
}
