//! Rules: the GGUF specification, llama.cpp's `gguf.cpp` and its `test-gguf.cpp`.

use weighbridge::ErrorKind;

use crate::support::gguf::{BOOL, F32, Gguf, I32, STRING, U8, U32, U64};
use crate::{Case, malformed, other};

const DATA: [u8; 32] = [7; 32];

pub fn cases() -> Vec<Case> {
    [
        header(),
        pairs(),
        arrays(),
        alignment(),
        infos(),
        sizes(),
        layout(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A right file with one pair and one tensor of 8 f32.
fn good() -> Gguf {
    Gguf::default()
        .pair_u32("answer", 42)
        .tensor("weight", &[8], 0, &DATA)
}

fn header() -> Vec<Case> {
    let version = |version: u32| Gguf { version, ..good() }.build();
    let counts = |pairs: Option<u64>, tensors: Option<u64>| {
        let mut file = good();
        file.key_value_count = pairs;
        file.tensor_count = tensors;
        file.build()
    };
    vec![
        other(
            "magic_swapped",
            ErrorKind::Unsupported,
            Gguf {
                magic: *b"FUGG",
                ..good()
            }
            .build(),
        ),
        other(
            "magic_lower_case",
            ErrorKind::Unsupported,
            Gguf {
                magic: *b"gguf",
                ..good()
            }
            .build(),
        ),
        malformed("magic_only", "truncated", b"GGUF".to_vec()),
        malformed("version_0", "out-of-range", version(0)),
        other("version_4", ErrorKind::Unsupported, version(4)),
        other(
            "version_1_swapped_twice",
            ErrorKind::Unsupported,
            version(0x0001_0001),
        ),
        malformed(
            "header_truncated",
            "truncated",
            good().build()[..20].to_vec(),
        ),
        malformed(
            "tensor_count_huge",
            "truncated",
            counts(None, Some(u64::MAX)),
        ),
        malformed(
            "key_value_count_huge",
            "truncated",
            counts(Some(u64::MAX), None),
        ),
        malformed(
            "key_value_count_2_to_60",
            "truncated",
            counts(Some(1 << 60), None),
        ),
        malformed(
            "tensor_count_2_to_60",
            "truncated",
            counts(None, Some(1 << 60)),
        ),
        malformed(
            "counts_only_together_too_many",
            "truncated",
            counts(Some(7), Some(5)),
        ),
        malformed(
            "tensor_count_one_too_many",
            "unexpected",
            counts(None, Some(2)),
        ),
    ]
}

fn pairs() -> Vec<Case> {
    let pair = |key: &[u8], value_type: u32, value: &[u8]| {
        Gguf::default().pair(key, value_type, value).build()
    };
    let mut long_key = good().head();
    long_key[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    vec![
        malformed("key_empty", "unexpected", pair(b"", U8, &[1])),
        malformed("key_not_utf8", "not-utf8", pair(b"a\xffb", U8, &[1])),
        malformed("key_with_nul", "unexpected", pair(b"a\0b", U8, &[1])),
        malformed("key_length_huge", "truncated", long_key),
        malformed(
            "key_twice",
            "duplicate",
            Gguf::default()
                .pair_u32("a", 1)
                .pair_u32("b", 2)
                .pair_u32("a", 3)
                .build(),
        ),
        malformed("value_type_13", "out-of-range", pair(b"a", 13, &[0; 16])),
        malformed(
            "value_type_huge",
            "out-of-range",
            pair(b"a", u32::MAX, &[0; 16]),
        ),
        malformed("value_truncated", "truncated", {
            let file = Gguf::default().pair(b"abcdef", U64, &[1; 8]).head();
            file[..file.len() - 1].to_vec()
        }),
        malformed(
            "string_length_huge",
            "truncated",
            pair(b"a", STRING, &u64::MAX.to_le_bytes()),
        ),
        malformed(
            "string_length_2_to_30",
            "truncated",
            pair(b"a", STRING, &(1_u64 << 30).to_le_bytes()),
        ),
        malformed("string_truncated", "truncated", {
            let file = Gguf::default().pair_string("a", b"hello").head();
            file[..file.len() - 1].to_vec()
        }),
    ]
}

fn arrays() -> Vec<Case> {
    let array = |element_type: u32, count: u64, elements: &[u8]| {
        Gguf::default()
            .pair_array("a", element_type, count, elements)
            .head()
    };
    let empty_string = 0_u64.to_le_bytes();
    let mut deep = Gguf::default();
    let level = [deep.u32(9), deep.u64(1)].concat();
    deep = deep.pair(b"a", 9, &level.repeat(10_000));
    vec![
        malformed(
            "array_count_huge",
            "truncated",
            array(U8, u64::MAX, &[0; 8]),
        ),
        malformed(
            "array_bytes_overflow",
            "overflow",
            array(U64, 1 << 61, &[0; 8]),
        ),
        malformed(
            "array_one_element_short",
            "truncated",
            array(U32, 9, &[0; 32]),
        ),
        malformed(
            "array_of_strings_short",
            "truncated",
            array(STRING, 30, &empty_string),
        ),
        malformed(
            "array_string_past_end",
            "truncated",
            array(STRING, 1, &u64::MAX.to_le_bytes()),
        ),
        malformed(
            "array_element_type_13",
            "out-of-range",
            array(13, 1, &[0; 8]),
        ),
        malformed("array_nested", "unexpected", array(9, 1, &[0; 16])),
        malformed("array_nested_deep", "unexpected", deep.build()),
        malformed("array_truncated_header", "truncated", {
            let file = Gguf::default().pair_array("a", U8, 0, &[]).head();
            file[..file.len() - 4].to_vec()
        }),
    ]
}

fn alignment() -> Vec<Case> {
    let with = |value_type: u32, value: &[u8]| {
        Gguf::default()
            .pair(b"general.alignment", value_type, value)
            .tensor("weight", &[8], 0, &DATA)
            .build()
    };
    vec![
        malformed("alignment_0", "out-of-range", with(U32, &[0; 4])),
        malformed(
            "alignment_13",
            "out-of-range",
            with(U32, &13_u32.to_le_bytes()),
        ),
        malformed(
            "alignment_24",
            "out-of-range",
            with(U32, &24_u32.to_le_bytes()),
        ),
        malformed(
            "alignment_int32",
            "unexpected",
            with(I32, &32_u32.to_le_bytes()),
        ),
        malformed(
            "alignment_uint64",
            "unexpected",
            with(U64, &32_u64.to_le_bytes()),
        ),
        malformed(
            "alignment_float32",
            "unexpected",
            with(F32, &32_f32.to_le_bytes()),
        ),
        malformed("alignment_bool", "unexpected", with(BOOL, &[1])),
        malformed(
            "alignment_string",
            "unexpected",
            with(STRING, &[&2_u64.to_le_bytes()[..], b"32"].concat()),
        ),
        other(
            "alignment_2_to_31",
            ErrorKind::Limit,
            with(U32, &(1_u32 << 31).to_le_bytes()),
        ),
        malformed("alignment_unlike_offsets", "mismatch", {
            Gguf::default()
                .pair_u32("general.alignment", 64)
                .info(b"a", &[8], 0, 0)
                .info(b"b", &[8], 0, 32)
                .data(&[0; 64])
                .build()
        }),
    ]
}

fn infos() -> Vec<Case> {
    let named = |name: &[u8]| Gguf::default().info(name, &[8], 0, 0).data(&DATA).build();
    let mut huge_name = Gguf::default()
        .info(b"weight", &[8], 0, 0)
        .data(&DATA)
        .build();
    huge_name[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    vec![
        malformed("tensor_name_empty", "unexpected", named(b"")),
        malformed("tensor_name_64_bytes", "out-of-range", named(&[b'n'; 64])),
        malformed("tensor_name_87_bytes", "out-of-range", named(&[b'n'; 87])),
        malformed("tensor_name_not_utf8", "not-utf8", named(b"\xc3\x28")),
        malformed("tensor_name_with_nul", "unexpected", named(b"t\0u")),
        malformed("tensor_name_length_huge", "truncated", huge_name),
        malformed("tensor_twice", "duplicate", {
            good().tensor("weight", &[8], 0, &DATA).build()
        }),
        malformed(
            "dimension_count_5",
            "out-of-range",
            Gguf::default()
                .tensor("w", &[1, 1, 1, 1, 1], 24, &[1])
                .build(),
        ),
        malformed("dimension_count_huge", "out-of-range", {
            let file = Gguf::default();
            let info = [file.string(b"w"), file.u32(u32::MAX), vec![0; 64]].concat();
            file.raw_info(&info).build()
        }),
        malformed("info_truncated", "truncated", {
            // Long enough for the smallest info, too short for its four dimensions.
            let file = Gguf::default().info(b"weight", &[1, 1, 1, 8], 0, 0).head();
            file[..file.len() - 1].to_vec()
        }),
    ]
}

fn sizes() -> Vec<Case> {
    let shaped = |dimensions: &[u64], type_id: u32| {
        Gguf::default()
            .info(b"w", dimensions, type_id, 0)
            .data(&DATA)
            .build()
    };
    vec![
        malformed("dimension_minus_1", "overflow", shaped(&[u64::MAX], 0)),
        malformed(
            "dimensions_wrap_to_0",
            "overflow",
            shaped(&[1 << 32, 1 << 32], 0),
        ),
        malformed(
            "dimensions_wrap_with_a_0",
            "overflow",
            shaped(&[0, 1 << 32, 1 << 32], 0),
        ),
        malformed(
            "dimensions_above_int64",
            "overflow",
            shaped(&[4 * 0x7fff_ffff, 4 * 0x7fff_ffff], 0),
        ),
        malformed("bytes_above_63_bits", "overflow", shaped(&[1 << 61], 27)),
        malformed(
            "padded_bytes_wrap",
            "overflow",
            shaped(&[4, (1 << 30) - 1, (1 << 30) + 1], 0),
        ),
        malformed("row_not_whole_blocks", "partial-block", shaped(&[33], 2)),
        malformed(
            "row_not_whole_blocks_but_total_is",
            "partial-block",
            shaped(&[16, 2], 2),
        ),
        malformed(
            "row_not_whole_super_blocks",
            "partial-block",
            shaped(&[4000], 12),
        ),
        malformed("scalar_of_block_type", "partial-block", shaped(&[], 2)),
    ]
}

fn layout() -> Vec<Case> {
    let two = |first: u64, second: u64| {
        Gguf::default()
            .info(b"a", &[8], 0, first)
            .info(b"b", &[8], 0, second)
            .data(&[0; 128])
            .build()
    };
    let huge = 0x7fff_ffff_ffff_ffc0_u64;
    vec![
        malformed("offset_minus_1", "mismatch", two(u64::MAX, 32)),
        malformed("offset_unaligned", "mismatch", two(0, 33)),
        malformed("offset_gap", "mismatch", two(0, 64)),
        malformed("offset_overlap", "mismatch", two(0, 0)),
        malformed("offset_reordered", "mismatch", two(32, 0)),
        malformed("offset_first_not_0", "mismatch", two(32, 64)),
        malformed("data_missing", "truncated", good().head()),
        malformed("data_one_byte_short", "truncated", {
            let file = good().build();
            file[..file.len() - 1].to_vec()
        }),
        malformed("data_of_second_tensor_missing", "truncated", {
            let file = good().tensor("b", &[8], 0, &DATA).build();
            file[..file.len() - 32].to_vec()
        }),
        malformed("sizes_sum_overflows", "truncated", {
            Gguf::default()
                .info(b"a", &[huge], 24, 0)
                .info(b"b", &[huge], 24, huge)
                .data(&DATA)
                .build()
        }),
        malformed("opaque_before_its_own_start", "mismatch", {
            Gguf::default()
                .info(b"a", &[8], 0, 0)
                .info(b"b", &[8], 99, 32)
                .info(b"c", &[8], 0, 0)
                .data(&[0; 128])
                .build()
        }),
        malformed("big_endian_data_missing", "truncated", {
            Gguf {
                big_endian: true,
                ..Gguf::default()
            }
            .tensor("w", &[8], 0, &DATA)
            .head()
        }),
        malformed("version_1_count_huge", "truncated", {
            Gguf {
                version: 1,
                tensor_count: Some(u64::from(u32::MAX)),
                ..Gguf::default()
            }
            .build()
        }),
    ]
}
