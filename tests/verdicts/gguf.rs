//! GGUF files; measured with ggml d99724f, candle by reading its source.

use crate::Class::{Accept, Reject, Warn};
use crate::Ours::{Limit, Malformed, Noted, Unsupported};
use crate::support::gguf::{BOOL, Gguf, STRING, U8, U32, U64};
use crate::{Row, both, row};

const DATA: [u8; 32] = [7; 32];

pub fn rows() -> Vec<Row> {
    let tables = [header(), pairs(), alignment(), infos(), layout()];
    tables.into_iter().flatten().collect()
}

/// A right file with one pair and one tensor of 8 f32.
fn good() -> Gguf {
    Gguf::default()
        .pair_u32("answer", 42)
        .tensor("weight", &[8], 0, &DATA)
}

fn header() -> Vec<Row> {
    let counts = |pairs: Option<u64>, tensors: Option<u64>| {
        let mut file = good();
        file.key_value_count = pairs;
        file.tensor_count = tensors;
        file.build()
    };
    let of_version = |version: u32, big_endian: bool| {
        let file = Gguf {
            version,
            big_endian,
            ..Gguf::default()
        };
        file.pair_u32("answer", 42)
            .tensor("weight", &[8], 0, &DATA)
            .build()
    };
    vec![
        both("good", "both accept", Accept, good().build()),
        row(
            "version_1",
            "ggml: error; candle reads it",
            [Reject, Warn],
            of_version(1, false),
        )
        .because("version 1 is read: it has one meaning"),
        both("version_2", "both accept", Accept, of_version(2, false)),
        both("version_4", "both: error", Reject, of_version(4, false)).is(Unsupported("version 4")),
        both("big_endian", "both: error", Reject, of_version(3, true))
            .because("either byte order is read: llama.cpp's converters write both"),
        both(
            "tensor_count_2_to_60",
            "both: error",
            Reject,
            counts(None, Some(1 << 60)),
        )
        .is(Malformed("truncated")),
        both(
            "key_value_count_2_to_60",
            "both: error",
            Reject,
            counts(Some(1 << 60), None),
        )
        .is(Malformed("truncated")),
    ]
}

fn pairs() -> Vec<Row> {
    let pair = |key: &[u8], value_type: u32, value: &[u8]| {
        Gguf::default().pair(key, value_type, value).build()
    };
    let file = Gguf::default();
    let inner = [file.u32(U8), file.u64(2), vec![1, 2]].concat();
    let nested = |levels: usize| {
        let level = [file.u32(9), file.u64(1)].concat();
        let value = [level.repeat(levels - 1), inner.clone()].concat();
        Gguf::default().pair(b"a", 9, &value).build()
    };
    let accessor = "llama.cpp's own test files hold them; the accessor gives nothing";
    vec![
        both(
            "key_twice",
            "ggml: error, after quadratic time; candle: the last wins",
            Reject,
            Gguf::default().pair_u32("a", 1).pair_u32("a", 2).build(),
        )
        .is(Malformed("duplicate")),
        both(
            "key_empty",
            "ggml: error; candle accepts",
            Reject,
            pair(b"", U8, &[1]),
        )
        .is(Malformed("unexpected")),
        both(
            "key_not_utf8",
            "ggml accepts; candle accepts it lossily, so that keys can collide",
            Reject,
            pair(b"a\xffb", U8, &[1]),
        )
        .is(Malformed("not-utf8")),
        row(
            "value_not_utf8",
            "ggml accepts; candle accepts it lossily",
            [Warn, Warn],
            Gguf::default().pair_string("a", b"\x80\x81").build(),
        )
        .because(accessor),
        row(
            "bool_of_2",
            "ggml accepts; candle: error",
            [Reject, Warn],
            pair(b"a", BOOL, &[2]),
        )
        .because(accessor),
        row(
            "array_in_an_array",
            "ggml: error; candle to 64 levels",
            [Reject, Accept],
            nested(2),
        )
        .is(Malformed("unexpected"))
        .lenient(Noted(&["nested-array"]))
        .because("lenient: what it lets through is reported"),
        row(
            "array_of_9_levels",
            "ggml: error; candle to 64 levels",
            [Reject, Reject],
            nested(9),
        )
        .is(Malformed("unexpected"))
        .lenient(Limit("array_depth")),
        both(
            "string_of_2_to_30_bytes",
            "both: error",
            Reject,
            pair(b"a", STRING, &(1_u64 << 30).to_le_bytes()),
        )
        .is(Malformed("truncated")),
    ]
}

fn alignment() -> Vec<Row> {
    let with = |value_type: u32, value: &[u8]| {
        Gguf::default()
            .pair(b"general.alignment", value_type, value)
            .tensor("weight", &[8], 0, &DATA)
            .build()
    };
    vec![
        both(
            "alignment_0",
            "ggml: error; candle: panic",
            Reject,
            with(U32, &[0; 4]),
        )
        .is(Malformed("out-of-range")),
        both(
            "alignment_3",
            "ggml: error; candle accepts",
            Reject,
            with(U32, &[3, 0, 0, 0]),
        )
        .is(Malformed("out-of-range")),
        both(
            "alignment_2_to_31",
            "ggml: error",
            Reject,
            with(U32, &[0, 0, 0, 0x80]),
        )
        .is(Limit("alignment")),
        both(
            "alignment_of_64_bits",
            "ggml: error; candle takes 32",
            Reject,
            with(U64, &32_u64.to_le_bytes()),
        )
        .is(Malformed("unexpected")),
        both(
            "alignment_string",
            "ggml: error; candle takes 32",
            Reject,
            with(STRING, &[&2_u64.to_le_bytes()[..], b"32"].concat()),
        )
        .is(Malformed("unexpected")),
    ]
}

fn infos() -> Vec<Row> {
    let named = |name: &[u8]| Gguf::default().info(name, &[8], 0, 0).data(&DATA).build();
    let shaped = |dimensions: &[u64]| {
        Gguf::default()
            .info(b"w", dimensions, 24, 0)
            .data(&DATA[..dimensions.iter().product::<u64>().min(32) as usize])
            .build()
    };
    let typed = |type_id: u32| {
        Gguf::default()
            .info(b"w", &[8], type_id, 0)
            .data(&DATA)
            .build()
    };
    vec![
        both(
            "tensor_twice",
            "ggml: error; candle: the last wins",
            Reject,
            good().tensor("weight", &[8], 0, &DATA).build(),
        )
        .is(Malformed("duplicate")),
        both(
            "tensor_twice_up_to_a_nul",
            "ggml: error; candle: the last wins, for it trims at NUL",
            Reject,
            good().tensor("weight\0x", &[8], 0, &DATA).build(),
        )
        .is(Malformed("unexpected")),
        both(
            "name_of_63_bytes",
            "both accept",
            Accept,
            named(&[b'n'; 63]),
        ),
        row(
            "name_of_64_bytes",
            "ggml: error; candle accepts",
            [Reject, Warn],
            named(&[b'n'; 64]),
        )
        .is(Malformed("out-of-range"))
        .lenient(Noted(&["long-name"])),
        both(
            "dimensions_wrap_to_0",
            "ggml accepts, 0 bytes; candle does not check the product",
            Reject,
            Gguf::default()
                .info(b"w", &[1 << 32, 1 << 32], 0, 0)
                .data(&DATA)
                .build(),
        )
        .is(Malformed("overflow")),
        both(
            "dimension_of_0",
            "both accept",
            Accept,
            Gguf::default().tensor("w", &[8, 0, 3], 0, &[]).build(),
        ),
        both(
            "dimension_of_0_beside_huge_ones",
            "not measured",
            Reject,
            Gguf::default()
                .info(b"w", &[0, 1 << 32, 1 << 32], 0, 0)
                .build(),
        )
        .is(Malformed("overflow")),
        both("scalar", "both accept", Accept, shaped(&[])),
        row(
            "five_dimensions",
            "both: error",
            [Reject, Reject],
            shaped(&[1, 1, 1, 1, 2]),
        )
        .is(Malformed("out-of-range"))
        .lenient(Noted(&["many-dimensions"]))
        .because("lenient: up to the limit of every format; its meaning is plain"),
        row("type_removed", "both: error", [Reject, Reject], typed(4))
            .is(Noted(&["unknown-dtype"]))
            .because("an unknown type makes an opaque entry, the rest loads"),
        row("type_999", "both: error", [Reject, Reject], typed(999))
            .is(Noted(&["unknown-dtype"]))
            .because("an unknown type makes an opaque entry, the rest loads"),
    ]
}

fn layout() -> Vec<Row> {
    let two = |first: u64, second: u64, bytes: usize| {
        Gguf::default()
            .info(b"a", &[8], 0, first)
            .info(b"b", &[8], 0, second)
            .data(&vec![0; bytes])
            .build()
    };
    let cut = |file: Vec<u8>, bytes: usize| file[..file.len() - bytes].to_vec();
    let mut before = good();
    before.pairs[0].push(9);
    vec![
        row(
            "byte_more",
            "both accept",
            [Reject, Warn],
            good().data(&[1]).build(),
        )
        .is(Noted(&["trailing-bytes"]))
        .because("trailing bytes after a GGUF are a finding: no reader looks at them"),
        row(
            "pickle_behind",
            "both accept",
            [Reject, Warn],
            good().data(&crate::support::torch::good_pickle()).build(),
        )
        .is(Noted(&["trailing-bytes"]))
        .because("trailing bytes after a GGUF are a finding: no reader looks at them"),
        both(
            "data_byte_less",
            "ggml accepts without its data; candle: error when it is read",
            Reject,
            cut(good().build(), 1),
        )
        .is(Malformed("truncated")),
        both(
            "last_padding_missing",
            "ggml: error",
            Reject,
            cut(
                Gguf::default().tensor("w", &[4], 0, &DATA[..16]).build(),
                16,
            ),
        )
        .because("every tensor is whole without the last padding"),
        both(
            "overlap",
            "ggml: error; candle accepts",
            Reject,
            two(0, 0, 64),
        )
        .is(Malformed("mismatch"))
        .lenient(Malformed("overlap")),
        row(
            "gap",
            "ggml: error; candle accepts",
            [Reject, Warn],
            two(0, 64, 96),
        )
        .is(Malformed("mismatch"))
        .lenient(Noted(&["gap"])),
        both(
            "unaligned",
            "ggml: error; candle accepts",
            Reject,
            two(0, 33, 96),
        )
        .is(Malformed("mismatch"))
        .lenient(Malformed("out-of-range")),
        row(
            "unordered",
            "ggml: error; candle accepts",
            [Reject, Warn],
            two(32, 0, 64),
        )
        .is(Malformed("mismatch"))
        .lenient(Noted(&["reordered-data"])),
        row("padding_before_the_data", "neither looks", [Warn, Warn], {
            let file = good();
            let mut bytes = file.build();
            bytes[file.head().len()] = 9;
            bytes
        })
        .is(Noted(&["non-zero-padding"])),
        row("padding_between_tensors", "neither looks", [Warn, Warn], {
            let mut file =
                Gguf::default()
                    .tensor("a", &[4], 0, &DATA[..16])
                    .tensor("b", &[8], 0, &DATA);
            file.data[16] = 9;
            file.build()
        })
        .because("opening touches no data: a page of each tensor would be read from the disk"),
    ]
}
