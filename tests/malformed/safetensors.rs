//! Rules: the last column of the table of odd safetensors files, and the crate's own checks.

use weighbridge::ErrorKind;

use crate::support::safetensors::{build, build_bytes, with_info};
use crate::{Case, malformed, other};

const X: &str = r#""x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}"#;

pub fn cases() -> Vec<Case> {
    [framing(), names(), fields(), numbers(), layout(), limits()]
        .into_iter()
        .flatten()
        .collect()
}

fn framing() -> Vec<Case> {
    let good = format!("{{{X}}}");
    vec![
        other(
            "shorter_than_its_length",
            ErrorKind::Unsupported,
            vec![5, 0, 0, 0, 0],
        ),
        malformed("header_length_past_end", "truncated", {
            let mut file = build(&good, &[1, 2]);
            file[0] = 0xf0;
            file
        }),
        malformed(
            "header_length_huge",
            "truncated",
            [&[0, 0, 0, 0x7f, 0, 0, 0, 0], b"{}".as_slice()].concat(),
        ),
        malformed("header_empty", "unexpected", build("", &[])),
        malformed(
            "header_starts_with_space",
            "unexpected",
            build(&format!(" {good}"), &[1, 2]),
        ),
        malformed(
            "header_starts_with_newline",
            "unexpected",
            build(&format!("\n{good}"), &[1, 2]),
        ),
        malformed(
            "header_starts_with_bom",
            "unexpected",
            build(&format!("\u{feff}{good}"), &[1, 2]),
        ),
        malformed(
            "header_padded_with_newline",
            "unexpected",
            build(&format!("{good}\n"), &[1, 2]),
        ),
        malformed(
            "header_padded_with_tab",
            "unexpected",
            build(&format!("{good} \t "), &[1, 2]),
        ),
        malformed(
            "header_padded_with_nul",
            "invalid",
            build(&format!("{good}\0"), &[1, 2]),
        ),
        malformed(
            "header_not_utf8",
            "not-utf8",
            build_bytes(b"{\"\xff\":1}", &[]),
        ),
        malformed(
            "header_lone_surrogate",
            "invalid",
            build(
                r#"{"\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#,
                &[],
            ),
        ),
        malformed(
            "header_not_closed",
            "invalid",
            build(&format!("{{{X}"), &[1, 2]),
        ),
        malformed(
            "header_two_objects",
            "invalid",
            build(&format!("{good}{good}"), &[1, 2]),
        ),
        malformed("header_is_array", "unexpected", build("[1]", &[])),
        malformed(
            "header_trailing_comma",
            "invalid",
            build(&format!("{{{X},}}"), &[1, 2]),
        ),
    ]
}

fn names() -> Vec<Case> {
    let meta = |metadata: &str| build(&format!(r#"{{"__metadata__":{metadata},{X}}}"#), &[1, 2]);
    vec![
        malformed(
            "tensor_twice_same_range",
            "duplicate",
            build(&format!("{{{X},{X}}}"), &[1, 2]),
        ),
        malformed(
            "tensor_twice_by_escape",
            "duplicate",
            build(
                &format!(r#"{{{X},"\u0078":{{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}}}"#),
                &[1, 2],
            ),
        ),
        malformed(
            "tensor_twice_other_range",
            "duplicate",
            build(
                &format!(r#"{{{X},"x":{{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}}}"#),
                &[1, 2, 3],
            ),
        ),
        malformed(
            "metadata_key_twice",
            "duplicate",
            meta(r#"{"a":"1","a":"2"}"#),
        ),
        malformed(
            "metadata_twice",
            "duplicate",
            build(
                &format!(r#"{{"__metadata__":{{}},"__metadata__":{{}},{X}}}"#),
                &[1, 2],
            ),
        ),
        malformed("metadata_number", "invalid", meta(r#"{"a":1}"#)),
        malformed("metadata_nested", "invalid", meta(r#"{"a":{"b":"c"}}"#)),
        malformed("metadata_list", "invalid", meta("[]")),
        malformed("metadata_string", "invalid", meta(r#""a""#)),
    ]
}

fn fields() -> Vec<Case> {
    vec![
        malformed(
            "field_dtype_missing",
            "missing",
            with_info(r#"{"shape":[2],"data_offsets":[0,2]}"#),
        ),
        malformed(
            "field_shape_missing",
            "missing",
            with_info(r#"{"dtype":"U8","data_offsets":[0,2]}"#),
        ),
        malformed(
            "field_data_offsets_missing",
            "missing",
            with_info(r#"{"dtype":"U8","shape":[2]}"#),
        ),
        malformed(
            "field_twice",
            "duplicate",
            with_info(r#"{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}"#),
        ),
        malformed(
            "field_shape_twice",
            "duplicate",
            with_info(r#"{"dtype":"U8","shape":[2],"shape":[2],"data_offsets":[0,2]}"#),
        ),
        malformed(
            "field_unknown",
            "unexpected",
            with_info(r#"{"dtype":"U8","shape":[2],"data_offsets":[0,2],"extra":0}"#),
        ),
        malformed("info_is_array", "invalid", with_info(r#"["U8",[2],[0,2]]"#)),
        malformed("info_is_null", "invalid", with_info("null")),
        malformed(
            "dtype_is_object",
            "invalid",
            with_info(r#"{"dtype":{"U8":null},"shape":[2],"data_offsets":[0,2]}"#),
        ),
        malformed(
            "shape_is_number",
            "invalid",
            with_info(r#"{"dtype":"U8","shape":2,"data_offsets":[0,2]}"#),
        ),
        malformed(
            "data_offsets_one",
            "invalid",
            with_info(r#"{"dtype":"U8","shape":[2],"data_offsets":[0]}"#),
        ),
        malformed(
            "data_offsets_three",
            "invalid",
            with_info(r#"{"dtype":"U8","shape":[2],"data_offsets":[0,2,2]}"#),
        ),
    ]
}

fn numbers() -> Vec<Case> {
    let shape = |dimension: &str| {
        with_info(&format!(
            r#"{{"dtype":"U8","shape":[{dimension}],"data_offsets":[0,2]}}"#
        ))
    };
    let empty = |shape: &str| {
        build(
            &format!(r#"{{"x":{{"dtype":"U8","shape":{shape},"data_offsets":[0,0]}}}}"#),
            &[],
        )
    };
    vec![
        malformed("dimension_with_fraction", "unexpected", shape("2.0")),
        malformed("dimension_with_exponent", "unexpected", shape("2e0")),
        malformed("dimension_negative", "unexpected", shape("-2")),
        malformed("dimension_negative_zero", "unexpected", shape("-0")),
        malformed("dimension_string", "invalid", shape("\"2\"")),
        malformed("dimension_leading_zero", "invalid", shape("02")),
        malformed(
            "dimensions_missing_around_comma",
            "invalid",
            build(
                r#"{"x":{"dtype":"U8","shape":[,],"data_offsets":[0,1]}}"#,
                &[7],
            ),
        ),
        malformed(
            "dimension_above_64_bits",
            "unexpected",
            shape("18446744073709551616"),
        ),
        malformed(
            "offset_negative",
            "unexpected",
            with_info(r#"{"dtype":"U8","shape":[2],"data_offsets":[-1,1]}"#),
        ),
        malformed(
            "shape_overflows_zero_first",
            "overflow",
            empty("[0,9223372036854775808,2]"),
        ),
        malformed(
            "shape_overflows_zero_last",
            "overflow",
            empty("[9223372036854775808,2,0]"),
        ),
        malformed(
            "shape_wraps_to_zero",
            "overflow",
            empty("[4294967296,4294967296]"),
        ),
        malformed(
            "bytes_overflow",
            "overflow",
            build(
                r#"{"x":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}"#,
                &[],
            ),
        ),
    ]
}

fn layout() -> Vec<Case> {
    let two = |first: &str, second: &str, data: &[u8]| {
        build(
            &format!(
                r#"{{"a":{{"dtype":"U8","shape":[2],"data_offsets":{first}}},"b":{{"dtype":"U8","shape":[2],"data_offsets":{second}}}}}"#
            ),
            data,
        )
    };
    let nine: Vec<String> = (0..9)
        .map(|at: u64| {
            let each = (1_u64 << 61) - 1;
            let end = each.wrapping_mul(at + 1);
            format!(
                r#""t{at}":{{"dtype":"U8","shape":[{each}],"data_offsets":[{},{end}]}}"#,
                each.wrapping_mul(at)
            )
        })
        .collect();
    vec![
        malformed("data_hole", "gap", two("[0,2]", "[3,5]", &[0; 5])),
        malformed(
            "data_hole_at_start",
            "gap",
            with_info(r#"{"dtype":"U8","shape":[1],"data_offsets":[1,2]}"#),
        ),
        malformed("data_overlap", "overlap", two("[0,2]", "[1,3]", &[0; 3])),
        malformed("data_shared", "overlap", two("[0,2]", "[0,2]", &[0; 2])),
        malformed(
            "empty_tensor_inside_another",
            "overlap",
            build(
                r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}"#,
                &[0; 2],
            ),
        ),
        malformed(
            "data_trailing",
            "trailing-bytes",
            build(&format!("{{{X}}}"), &[1, 2, 3]),
        ),
        malformed(
            "data_trailing_without_tensors",
            "trailing-bytes",
            build("{}", &[1]),
        ),
        malformed(
            "data_truncated",
            "truncated",
            build(&format!("{{{X}}}"), &[1]),
        ),
        malformed(
            "data_offsets_reversed",
            "out-of-range",
            with_info(r#"{"dtype":"U8","shape":[2],"data_offsets":[2,0]}"#),
        ),
        malformed(
            "data_offsets_too_short",
            "mismatch",
            with_info(r#"{"dtype":"U8","shape":[3],"data_offsets":[0,2]}"#),
        ),
        malformed(
            "data_offsets_too_long",
            "mismatch",
            with_info(r#"{"dtype":"U8","shape":[1],"data_offsets":[0,2]}"#),
        ),
        malformed(
            "sub_byte_not_whole_bytes",
            "partial-block",
            with_info(r#"{"dtype":"F4","shape":[3],"data_offsets":[0,2]}"#),
        ),
        malformed(
            "end_at_2_to_64",
            "overflow",
            with_info(
                r#"{"dtype":"U8","shape":[2],"data_offsets":[18446744073709551613,18446744073709551615]}"#,
            ),
        ),
        malformed(
            "nine_tensors_to_2_to_64",
            "truncated",
            build(&format!("{{{}}}", nine.join(",")), &[]),
        ),
    ]
}

fn limits() -> Vec<Case> {
    let rank = |rank: usize| {
        let shape = vec!["1"; rank].join(",");
        build(
            &format!(r#"{{"x":{{"dtype":"U8","shape":[{shape}],"data_offsets":[0,1]}}}}"#),
            &[1],
        )
    };
    vec![
        other("rank_above_limit", ErrorKind::Limit, rank(65)),
        other(
            "name_above_limit",
            ErrorKind::Limit,
            build(
                &format!(
                    r#"{{"{}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#,
                    "n".repeat(65_536)
                ),
                &[1],
            ),
        ),
        malformed(
            "nesting",
            "invalid",
            build(&format!(r#"{{"x":{}"#, "[".repeat(5_000)), &[]),
        ),
    ]
}
