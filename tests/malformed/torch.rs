//! Rules: torch 2.15.0's own checks of archives, storages and rebuild calls.

use weighbridge::ErrorKind;

use crate::support::torch::{
    LEGACY_MAGIC, call, checkpoint, dict, global, good_pickle, int, ints, legacy as legacy_stream,
    members, pickle, pickle_of, storage, tensor, text, tuple,
};
use crate::support::zip::{Zip, entry};
use crate::{Case, malformed, other};

pub fn cases() -> Vec<Case> {
    [archives(), storages(), calls(), views(), legacy()]
        .into_iter()
        .flatten()
        .collect()
}

fn floats(elements: i32) -> Vec<u8> {
    storage("FloatStorage", "0", elements)
}

fn with(tensor: Vec<u8>) -> Vec<u8> {
    checkpoint(&pickle_of(tensor))
}

fn archives() -> Vec<Case> {
    let without = |name: &str| {
        let mut entries = members(&good_pickle());
        entries.retain(|entry| entry.name != name.as_bytes());
        Zip::of(entries).build()
    };
    let more = |name: &str, data: &[u8]| {
        let mut entries = members(&good_pickle());
        entries.push(entry(name, data));
        Zip::of(entries).build()
    };
    let mut upper = members(&good_pickle());
    upper[0].name = b"archive/DATA.PKL".to_vec();
    let mut version = members(&good_pickle());
    version[2].data = b"11\n".to_vec();
    let mut no_folder = members(&good_pickle());
    no_folder[0].name = b"data.pkl".to_vec();
    vec![
        malformed("data_pkl_missing", "missing", without("archive/data.pkl")),
        malformed("data_pkl_in_capitals", "missing", Zip::of(upper).build()),
        malformed("version_missing", "missing", without("archive/version")),
        malformed("version_11", "unexpected", Zip::of(version).build()),
        malformed("version_long", "unexpected", {
            let mut entries = members(&good_pickle());
            entries[2].data = vec![b'3'; 65];
            Zip::of(entries).build()
        }),
        malformed(
            "byteorder_middle",
            "unexpected",
            more("archive/byteorder", b"middle"),
        ),
        malformed(
            "member_in_another_folder",
            "unexpected",
            more("evil/data.pkl", b"."),
        ),
        malformed(
            "member_in_no_folder",
            "unexpected",
            Zip::of(no_folder).build(),
        ),
    ]
}

fn storages() -> Vec<Case> {
    let class = |module: &str, name: &str| {
        let id = tuple(&[
            text("storage"),
            global(module, name),
            text("0"),
            text("cpu"),
            int(2),
        ]);
        with(tensor([id, b"Q".to_vec()].concat(), 0, &[2], &[1]))
    };
    let id = |items: &[Vec<u8>]| {
        with(tensor(
            [tuple(items), b"Q".to_vec()].concat(),
            0,
            &[2],
            &[1],
        ))
    };
    vec![
        malformed(
            "storage_missing",
            "missing",
            with(tensor(storage("FloatStorage", "1", 2), 0, &[2], &[1])),
        ),
        malformed(
            "storage_record_too_short",
            "mismatch",
            with(tensor(floats(3), 0, &[2], &[1])),
        ),
        malformed(
            "storage_record_too_long",
            "mismatch",
            with(tensor(floats(1), 0, &[1], &[1])),
        ),
        malformed(
            "storage_of_another_class",
            "mismatch",
            with(tensor(storage("DoubleStorage", "0", 2), 0, &[1], &[1])),
        ),
        malformed(
            "storage_elements_huge",
            "mismatch",
            with(tensor(floats(i32::MAX), 0, &[2], &[1])),
        ),
        malformed(
            "storage_elements_negative",
            "unexpected",
            with(tensor(floats(-1), 0, &[2], &[1])),
        ),
        malformed(
            "storage_class_of_another_module",
            "unexpected",
            class("evil", "FloatStorage"),
        ),
        malformed(
            "storage_class_unknown",
            "unexpected",
            class("torch", "EvilStorage"),
        ),
        malformed(
            "storage_class_is_text",
            "unexpected",
            id(&[
                text("storage"),
                text("FloatStorage"),
                text("0"),
                text("cpu"),
                int(2),
            ]),
        ),
        malformed(
            "storage_key_is_none",
            "unexpected",
            id(&[
                text("storage"),
                global("torch", "FloatStorage"),
                b"N".to_vec(),
                text("cpu"),
                int(2),
            ]),
        ),
        malformed(
            "persistent_id_of_another_kind",
            "unexpected",
            id(&[
                text("tensor"),
                global("torch", "FloatStorage"),
                text("0"),
                text("cpu"),
                int(2),
            ]),
        ),
        malformed(
            "persistent_id_too_short",
            "unexpected",
            id(&[text("storage"), text("0")]),
        ),
        malformed(
            "storage_without_persistent_id",
            "unexpected",
            with(tensor(text("0"), 0, &[2], &[1])),
        ),
    ]
}

fn calls() -> Vec<Case> {
    let rebuild = |name: &str, arguments: &[Vec<u8>]| with(call("torch._utils", name, arguments));
    let quantized = |parameters: Vec<u8>| {
        rebuild(
            "_rebuild_qtensor",
            &[
                storage("QInt8Storage", "0", 8),
                int(0),
                ints(&[8]),
                ints(&[1]),
                parameters,
                vec![0x89],
            ],
        )
    };
    vec![
        malformed(
            "rebuild_without_arguments",
            "unexpected",
            rebuild("_rebuild_tensor_v2", &[]),
        ),
        malformed(
            "rebuild_with_two_arguments",
            "unexpected",
            rebuild("_rebuild_tensor_v2", &[floats(2), int(0)]),
        ),
        malformed(
            "rebuild_v3_without_dtype",
            "unexpected",
            rebuild(
                "_rebuild_tensor_v3",
                &[
                    floats(2),
                    int(0),
                    ints(&[2]),
                    ints(&[1]),
                    vec![0x89],
                    b"}".to_vec(),
                ],
            ),
        ),
        malformed(
            "rebuild_from_type_without_arguments",
            "unexpected",
            with(call("torch._tensor", "_rebuild_from_type_v2", &[])),
        ),
        malformed(
            "quantized_without_scale",
            "unexpected",
            quantized(tuple(&[])),
        ),
        malformed(
            "sparse_without_values",
            "unexpected",
            rebuild(
                "_rebuild_sparse_tensor",
                &[
                    call(
                        "torch.serialization",
                        "_get_layout",
                        &[text("torch.sparse_coo")],
                    ),
                    tuple(&[int(0)]),
                ],
            ),
        ),
        malformed(
            "sparse_of_unknown_layout",
            "unexpected",
            rebuild("_rebuild_sparse_tensor", &[text("evil"), tuple(&[])]),
        ),
        malformed(
            "name_twice",
            "duplicate",
            checkpoint(&pickle(dict(&[
                (text("a.b"), tensor(floats(2), 0, &[2], &[1])),
                (
                    text("a"),
                    dict(&[(text("b"), tensor(floats(2), 0, &[1], &[1]))]),
                ),
            ]))),
        ),
    ]
}

fn views() -> Vec<Case> {
    let view =
        |offset: i32, size: &[i32], stride: &[i32]| with(tensor(floats(2), offset, size, stride));
    let huge = [i32::MAX; 4];
    vec![
        malformed("size_past_the_storage", "out-of-range", view(0, &[3], &[1])),
        malformed(
            "offset_past_the_storage",
            "out-of-range",
            view(2, &[1], &[1]),
        ),
        malformed(
            "stride_past_the_storage",
            "out-of-range",
            view(0, &[2], &[2]),
        ),
        malformed("offset_negative", "unexpected", view(-1, &[1], &[1])),
        malformed("size_negative", "unexpected", view(0, &[-1], &[1])),
        malformed("stride_negative", "unexpected", view(1, &[2], &[-1])),
        malformed("strides_too_few", "mismatch", view(0, &[1, 1], &[1])),
        malformed("size_overflows", "overflow", view(0, &huge, &[0; 4])),
        malformed("stride_overflows", "overflow", view(0, &huge, &huge)),
        malformed(
            "size_is_text",
            "unexpected",
            with(call(
                "torch._utils",
                "_rebuild_tensor",
                &[floats(2), int(0), text("2"), ints(&[1])],
            )),
        ),
        other(
            "rank_above_limit",
            ErrorKind::Limit,
            view(0, &[1; 65], &[1; 65]),
        ),
    ]
}

fn legacy() -> Vec<Case> {
    let key = || [b"](".to_vec(), text("0"), b"e".to_vec()].concat();
    let data = [&2_i64.to_le_bytes()[..], &[0; 8]].concat();
    vec![
        malformed(
            "legacy_version_1002",
            "unexpected",
            legacy_stream(1002, good_pickle(), key(), &data),
        ),
        malformed(
            "legacy_keys_no_list",
            "unexpected",
            legacy_stream(1001, good_pickle(), text("0"), &data),
        ),
        malformed(
            "legacy_key_is_number",
            "unexpected",
            legacy_stream(
                1001,
                good_pickle(),
                [b"](".to_vec(), int(0), b"e".to_vec()].concat(),
                &data,
            ),
        ),
        malformed(
            "legacy_key_of_no_storage",
            "missing",
            legacy_stream(
                1001,
                good_pickle(),
                [b"](".to_vec(), text("7"), b"e".to_vec()].concat(),
                &data,
            ),
        ),
        malformed(
            "legacy_count_unlike_the_object",
            "mismatch",
            legacy_stream(
                1001,
                good_pickle(),
                key(),
                &[&3_i64.to_le_bytes()[..], &[0; 12]].concat(),
            ),
        ),
        malformed(
            "legacy_count_negative",
            "mismatch",
            legacy_stream(1001, good_pickle(), key(), &(-1_i64).to_le_bytes()),
        ),
        malformed(
            "legacy_storage_truncated",
            "truncated",
            legacy_stream(1001, good_pickle(), key(), &data[..15]),
        ),
        malformed(
            "legacy_storage_missing",
            "truncated",
            legacy_stream(1001, good_pickle(), key(), &[]),
        ),
        malformed("legacy_after_the_magic", "truncated", LEGACY_MAGIC.to_vec()),
    ]
}
