//! Rules of tar archives, and of torch's oldest checkpoints in them.

use weighbridge::ErrorKind;

use crate::support::tar::{TarEntry, file, member, tar};
use crate::support::torch::{global, int, text, tuple};
use crate::{Case, malformed, other};

pub fn cases() -> Vec<Case> {
    [archives(), parts(), described(), views(), gzipped()]
        .into_iter()
        .flatten()
        .collect()
}

/// A whole pickle.
fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

fn longs(numbers: &[i64]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

fn described_storage(key: i32, class: &str) -> Vec<u8> {
    pickle(&tuple(&[int(key), text("cpu"), global("torch", class)]))
}

/// One storage of two floats.
fn storages() -> Vec<u8> {
    let elements = [longs(&[2]), vec![0; 8]].concat();
    let no_views = pickle(b"]");
    [
        pickle(&int(1)),
        described_storage(1, "FloatStorage"),
        elements,
        no_views,
    ]
    .concat()
}

fn described_tensor(key: i32, storage: i32) -> Vec<u8> {
    let class = global("torch", "FloatTensor");
    pickle(&tuple(&[int(key), int(storage), class]))
}

/// Rank, size, stride and offset of a vector of two.
fn vector() -> Vec<u8> {
    [longs(&[1]), longs(&[2]), longs(&[1]), longs(&[0])].concat()
}

fn tensors() -> Vec<u8> {
    [pickle(&int(1)), described_tensor(2, 1), vector()].concat()
}

/// `{"w": tensor 2}`
fn object() -> Vec<u8> {
    pickle(&[b"}".to_vec(), text("w"), text("2"), b"Qs".to_vec()].concat())
}

fn with(storages: &[u8], tensors: &[u8], object: &[u8]) -> Vec<u8> {
    tar(&[
        file("storages", storages),
        file("tensors", tensors),
        file("pickle", object),
    ])
}

fn with_storages(storages: Vec<u8>) -> Vec<u8> {
    with(&storages, &tensors(), &object())
}

fn with_tensors(tensors: Vec<u8>) -> Vec<u8> {
    with(&storages(), &tensors, &object())
}

/// A right archive whose second header is changed.
fn with_header(change: impl Fn(&mut TarEntry)) -> Vec<u8> {
    let mut second = file("other", b"text");
    change(&mut second);
    tar(&[
        file("storages", &storages()),
        second,
        file("tensors", &tensors()),
        file("pickle", &object()),
    ])
}

/// The builders above make a file that opens: else every case would prove nothing.
#[test]
fn the_right_archive_opens() {
    let model = weighbridge::Checkpoint::from_bytes(with_header(|_| {})).unwrap();
    assert_eq!(model.format().name(), "torch-tar");
    assert_eq!(model.tensor("w").unwrap().shape(), [2]);
}

fn archives() -> Vec<Case> {
    let size = |size: &[u8]| {
        let size = size.to_vec();
        with_header(move |entry| entry.size.clone_from(&size))
    };
    let pax = |record: &[u8]| {
        let record = file("x", record);
        let record = TarEntry {
            kind: b'x',
            ..record
        };
        tar(&[file("storages", &storages()), record, file("a", b"a")])
    };
    let whole = with_header(|_| {});
    vec![
        malformed(
            "checksum_of_a_member",
            "unexpected",
            with_header(|entry| entry.checksum_off = 1),
        ),
        malformed("size_no_octal", "invalid", size(b"0000000009")),
        malformed("size_with_a_sign", "invalid", size(b"+0000000004")),
        malformed("size_past_the_end", "truncated", size(b"00007777777")),
        malformed(
            "size_of_2_to_the_88",
            "invalid",
            size(b"\x80\x01\0\0\0\0\0\0\0\0\0\0"),
        ),
        malformed(
            "size_binary_past_the_end",
            "truncated",
            size(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
        ),
        malformed("header_cut", "truncated", whole[..512 * 6 + 100].to_vec()),
        malformed(
            "member_twice",
            "duplicate",
            with_header(|entry| entry.name = "storages".into()),
        ),
        malformed("pax_without_a_space", "invalid", pax(b"8path=a\n")),
        malformed("pax_too_long", "invalid", pax(b"99 path=a\n")),
        malformed("pax_of_length_0", "invalid", pax(b"0 path=a\n")),
        malformed("pax_size_no_number", "invalid", pax(b"12 size=1x2\n")),
        malformed(
            "pax_size_past_the_end",
            "truncated",
            pax(b"20 size=99999999999\n"),
        ),
        malformed(
            "pax_path_no_utf_8",
            "unexpected",
            pax(b"11 path=\xff\xfe\n"),
        ),
        other(
            "sparse_member",
            ErrorKind::Unsupported,
            pax(b"22 GNU.sparse.major=1\n"),
        ),
        other(
            "no_checkpoint",
            ErrorKind::Unsupported,
            tar(&[file("a", b"text"), file("b", b"")]),
        ),
        malformed("name_no_utf_8", "unexpected", {
            let mut bytes = member(&file("?", b""));
            bytes[0] = 0xff;
            let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
            let written: u32 = bytes[148..156].iter().map(|&byte| u32::from(byte)).sum();
            let sum = format!("{:06o}\0 ", sum - written + 256);
            bytes[148..156].copy_from_slice(sum.as_bytes());
            bytes
        }),
    ]
}

fn parts() -> Vec<Case> {
    vec![
        malformed(
            "storages_cut",
            "truncated",
            with_storages(b"\x80\x02".to_vec()),
        ),
        malformed(
            "object_without_stop",
            "truncated",
            with(&storages(), &tensors(), b"\x80\x02}"),
        ),
        malformed("count_no_number", "unexpected", with_storages(pickle(b"N"))),
        malformed(
            "count_negative",
            "unexpected",
            with_storages(pickle(&int(-1))),
        ),
        malformed(
            "count_past_the_end",
            "truncated",
            with_tensors(pickle(&int(1 << 30))),
        ),
        malformed("object_asks_for_another_tensor", "missing", {
            let object = [b"}".to_vec(), text("w"), text("3"), b"Qs".to_vec()].concat();
            with(&storages(), &tensors(), &pickle(&object))
        }),
    ]
}

fn described() -> Vec<Case> {
    let one = |described: Vec<u8>, elements: Vec<u8>| {
        with_storages([pickle(&int(1)), described, elements, pickle(b"]")].concat())
    };
    let shaped = |numbers: Vec<u8>| {
        with_tensors([pickle(&int(1)), described_tensor(2, 1), numbers].concat())
    };
    let elements = || [longs(&[2]), vec![0; 8]].concat();
    let again = [described_storage(1, "FloatStorage"), elements()].concat();
    vec![
        malformed(
            "storage_no_tuple",
            "unexpected",
            one(pickle(b"N"), elements()),
        ),
        malformed(
            "storage_of_another_class",
            "unexpected",
            one(described_storage(1, "Foo"), elements()),
        ),
        malformed(
            "storage_longer_than_the_part",
            "truncated",
            one(described_storage(1, "FloatStorage"), longs(&[1 << 20])),
        ),
        malformed(
            "storage_of_negative_length",
            "overflow",
            one(described_storage(1, "FloatStorage"), longs(&[-1])),
        ),
        malformed(
            "storage_of_2_to_the_62_elements",
            "overflow",
            one(described_storage(1, "FloatStorage"), longs(&[1 << 62])),
        ),
        malformed("storage_twice", "duplicate", {
            with_storages([pickle(&int(2)), again.clone(), again, pickle(b"]")].concat())
        }),
        malformed(
            "tensor_no_tuple",
            "unexpected",
            with_tensors([pickle(&int(1)), pickle(b"N"), vector()].concat()),
        ),
        malformed(
            "tensor_of_no_storage",
            "missing",
            with_tensors([pickle(&int(1)), described_tensor(2, 9), vector()].concat()),
        ),
        malformed("tensor_twice", "duplicate", {
            let one = [described_tensor(2, 1), vector()].concat();
            with_tensors([pickle(&int(2)), one.clone(), one].concat())
        }),
        other(
            "tensor_of_rank_100",
            ErrorKind::Limit,
            shaped(longs(&[100])),
        ),
        malformed(
            "size_negative",
            "out-of-range",
            shaped(longs(&[1, -2, 1, 0])),
        ),
        malformed(
            "stride_negative",
            "out-of-range",
            shaped(longs(&[1, 2, -1, 0])),
        ),
        malformed(
            "offset_negative",
            "out-of-range",
            shaped(longs(&[1, 2, 1, -1])),
        ),
        malformed(
            "tensor_past_the_storage",
            "out-of-range",
            shaped(longs(&[1, 3, 1, 0])),
        ),
        malformed(
            "offset_past_the_storage",
            "out-of-range",
            shaped(longs(&[1, 2, 1, 1])),
        ),
        malformed("tensor_cut", "truncated", shaped(longs(&[1, 2]))),
    ]
}

fn views() -> Vec<Case> {
    let viewed = |view: Vec<u8>| {
        let elements = [longs(&[2]), vec![0; 8]].concat();
        let views = [b"(".to_vec(), view, b"l".to_vec()].concat();
        with_storages(
            [
                pickle(&int(1)),
                described_storage(1, "FloatStorage"),
                elements,
                pickle(&views),
            ]
            .concat(),
        )
    };
    let view =
        |numbers: &[i32]| viewed(tuple(&numbers.iter().map(|&n| int(n)).collect::<Vec<_>>()));
    vec![
        malformed("view_no_tuple", "unexpected", viewed(b"N".to_vec())),
        malformed("view_of_no_storage", "missing", view(&[5, 9, 0, 1])),
        malformed("view_past_the_storage", "out-of-range", view(&[5, 1, 1, 2])),
        malformed("view_negative", "unexpected", view(&[5, 1, -1, 1])),
        malformed("view_named_as_a_storage", "duplicate", view(&[1, 1, 0, 1])),
    ]
}

fn gzipped() -> Vec<Case> {
    vec![
        malformed(
            "gzip_cut",
            "invalid",
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b".to_vec(),
        ),
        malformed("gzip_header_cut", "invalid", b"\x1f\x8b\x08".to_vec()),
    ]
}
