//! What torch wrote before zip archives: tar archives (before 0.1.10) and streams (before 1.6), and the tar
//! container by itself.
//!
//! Rules: POSIX.1-2017 `pax` and GNU tar 1.35 for headers; torch 2.15.0 `torch/serialization.py`
//! (`legacy_load`, `_legacy_load`).

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::outcome::code;
use support::tar::{TarEntry, file, tar};
use support::torch::{
    checkpoint, dict, global, good_pickle, int, legacy, pickle, pickle_of, tensor, text, tuple,
};
use weighbridge::formats::tar::Archive;
use weighbridge::limits::Budget;
use weighbridge::{Checkpoint, DType, ErrorKind};

fn of_kind(kind: u8, name: &str, data: &[u8]) -> TarEntry {
    TarEntry {
        kind,
        ..file(name, data)
    }
}

/// One record of a pax header: its length counts itself.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let digits = (1..4)
        .find(|digits| (rest + digits).to_string().len() == *digits)
        .unwrap();
    format!("{} {key}={value}\n", rest + digits).into_bytes()
}

#[test]
fn members_that_are_no_checkpoints_are_counted() {
    let model = || file("a.pt", &checkpoint(&good_pickle()));
    let told = |members: &[TarEntry]| {
        let model = Checkpoint::from_bytes(tar(members)).unwrap();
        let mut notes = model.findings();
        let note = notes.find(|finding| finding.code == "other-members");
        note.map(|finding| finding.message.to_string())
    };
    assert_eq!(told(&[model()]), None);
    let note = told(&[model(), file("b.txt", b"text"), file("c.txt", b"text")]).unwrap();
    assert_eq!(note, "2 members of the archive are no checkpoints");
}

#[test]
fn names_of_members_come_from_every_kind_of_header() {
    let long = format!("{}/model.bin", "folder".repeat(30));
    let pax = [record("mtime", "1.5"), record("path", "pax/name.bin")].concat();
    let bytes = tar(&[
        of_kind(b'g', "pax_global_header", &record("comment", "0123abc")),
        of_kind(b'5', "folder", b""),
        // Before ustar a folder was a file of type NUL whose name ends in a slash.
        of_kind(0, "old folder/", b""),
        // With the type `0` it is a file, whatever its name.
        of_kind(b'0', "no folder/", b"55555"),
        TarEntry {
            prefix: String::from("some/where"),
            ..file("deep.bin", b"1")
        },
        of_kind(b'L', "././@LongLink", format!("{long}\0").as_bytes()),
        file("cut off", b"22"),
        of_kind(b'x', "PaxHeaders/x", &pax),
        file("short", b"333"),
        of_kind(b'L', "././@LongLink", b"only for the folder\0"),
        of_kind(b'5', "another folder", b""),
        file("last", b"4444"),
    ]);
    let archive = Archive::read(&bytes, &mut Budget::default()).unwrap();
    let found: Vec<(&str, &[u8])> = archive
        .members()
        .iter()
        .map(|member| (member.name.as_str(), member.data.slice(&bytes).unwrap()))
        .collect();
    let expected: [(&str, &[u8]); 5] = [
        ("no folder/", b"55555"),
        ("some/where/deep.bin", b"1"),
        (&long, b"22"),
        ("pax/name.bin", b"333"),
        ("last", b"4444"),
    ];
    assert_eq!(found, expected);
    assert!(archive.find("short").is_none());
    let findings = archive.into_findings();
    let global = findings.as_slice().iter();
    let global: Vec<Option<u64>> = global
        .filter(|finding| finding.code == "global-header")
        .map(|finding| finding.offset)
        .collect();
    assert_eq!(global, [Some(0)]);
}

/// A pax header says how long the next member is: its own header then need not.
#[test]
fn a_pax_header_gives_the_size() {
    let next = TarEntry {
        size: b"00000000000".to_vec(),
        ..file("a", b"four")
    };
    let bytes = tar(&[of_kind(b'x', "x", &record("size", "4")), next]);
    let archive = Archive::read(&bytes, &mut Budget::default()).unwrap();
    let member = archive.find("a").unwrap();
    assert_eq!(member.data.slice(&bytes), Some(&b"four"[..]));
}

#[test]
fn names_given_twice_or_to_all_members_are_errors() {
    let named = |name: &str| of_kind(b'L', "././@LongLink", name.as_bytes());
    let two = [record("path", "a"), record("path", "b")].concat();
    for (entries, expected, words, offset) in [
        (
            vec![named("a"), named("b"), file("c", b"")],
            "duplicate",
            "name of one member \"a\"",
            3 * 512,
        ),
        (
            vec![of_kind(b'x', "x", &two), file("c", b"")],
            "duplicate",
            "name of one member",
            512,
        ),
        (
            vec![file("a", b""), of_kind(b'g', "g", &record("path", "b"))],
            "unexpected",
            "for all members",
            512,
        ),
        (
            vec![of_kind(b'g', "g", &record("size", "4")), file("a", b"")],
            "unexpected",
            "for all members",
            0,
        ),
    ] {
        let error = Archive::read(&tar(&entries), &mut Budget::default()).unwrap_err();
        assert_eq!(code(&error), expected, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.offset(), Some(offset), "{error}");
    }
}

/// A folder before a name has to be text as well.
#[test]
fn a_folder_that_is_no_text_is_an_error() {
    let prefixed = TarEntry {
        prefix: String::from("folder"),
        ..file("a", b"1")
    };
    let mut bytes = tar(&[file("first", b""), prefixed]);
    // One letter becomes 0xff; the checksum follows.
    let header = &mut bytes[512..1024];
    let sum = |header: &[u8]| {
        let counted = header.iter().enumerate();
        let counted = counted.filter(|(at, _)| !(148..156).contains(at));
        counted.map(|(_, &byte)| u32::from(byte)).sum::<u32>() + 8 * 32
    };
    header[345] = 0xff;
    let checksum = format!("{:06o}\0 ", sum(header));
    header[148..156].copy_from_slice(checksum.as_bytes());
    let error = Archive::read(&bytes, &mut Budget::default()).unwrap_err();
    assert_eq!(code(&error), "unexpected", "{error}");
    assert!(error.to_string().contains("a member's name"), "{error}");
    assert_eq!(error.offset(), Some(512), "{error}");
}

fn longs(numbers: &[i64]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

/// Storage 1: two numbers in single precision.
fn storages() -> Vec<u8> {
    let described = tuple(&[int(1), text("cpu"), global("torch", "FloatStorage")]);
    let elements = [longs(&[2]), vec![0, 0, 128, 63, 0, 0, 0, 64]].concat();
    [
        pickle(int(1)),
        pickle(described),
        elements,
        pickle(b"]".to_vec()),
    ]
    .concat()
}

/// Tensor 2: a vector of storage 1.
fn tensors(described: &[Vec<u8>]) -> Vec<u8> {
    let view = [longs(&[1]), longs(&[2]), longs(&[1]), longs(&[0])].concat();
    [pickle(int(1)), pickle(tuple(described)), view].concat()
}

fn old(storages: &[u8], tensors: &[u8], object: Vec<u8>) -> Vec<u8> {
    tar(&[
        file("storages", storages),
        file("tensors", tensors),
        file("pickle", &pickle(object)),
    ])
}

#[test]
fn tensors_of_tar_archives_are_named_by_numbers() {
    let vector = [int(2), int(1), global("torch", "FloatTensor")];
    let asked = |id: Vec<u8>| [id, b"Q".to_vec()].concat();
    let object = dict(&[
        (text("digits"), asked(text("2"))),
        (text("number"), asked(int(2))),
        (text("other"), asked(text("two"))),
    ]);
    let model =
        Checkpoint::from_bytes(old(&storages(), &tensors(&vector), object.clone())).unwrap();
    assert_eq!(model.len(), 2);
    for name in ["digits", "number"] {
        let tensor = model.tensor(name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (DType::F32, &[2][..]));
        assert_eq!(tensor.bytes().unwrap(), [0, 0, 128, 63, 0, 0, 0, 64]);
    }
    let found = |model: &Checkpoint, words: &str| {
        let mut findings = model.findings();
        findings.any(|finding| finding.code == "trailing-bytes" && finding.message.contains(words))
    };
    assert!(!found(&model, ""));
    for (more, words) in [
        ([&b"!!"[..], b""], "2 bytes follow the last of \"storages\""),
        ([b"", b"!!!"], "3 bytes follow the last of \"tensors\""),
    ] {
        let storages = [&storages()[..], more[0]].concat();
        let tensors = [&tensors(&vector)[..], more[1]].concat();
        let model = Checkpoint::from_bytes(old(&storages, &tensors, object.clone())).unwrap();
        assert_eq!(model.len(), 2);
        assert!(found(&model, words), "{words}");
    }
    let error = Checkpoint::from_bytes(old(&storages(), &tensors(&vector[..2]), object));
    let error = error.unwrap_err();
    assert_eq!(code(&error), "unexpected", "{error}");
    assert!(
        error.to_string().contains("a key, a storage and a class"),
        "{error}"
    );
}

#[test]
fn a_storage_that_stands_twice_in_a_stream_is_an_error() {
    let keys = [b"](".to_vec(), text("0"), text("0"), b"e".to_vec()].concat();
    let data = [longs(&[2]), vec![7; 8]].concat();
    let head = legacy(1001, good_pickle(), keys.clone(), &[]).len() as u64;
    let file = legacy(1001, good_pickle(), keys, &data.repeat(2));
    let error = Checkpoint::from_bytes(file).unwrap_err();
    assert_eq!(code(&error), "duplicate", "{error}");
    assert!(error.to_string().contains("storage \"0\""), "{error}");
    // The data of one of the two, behind its count.
    let places = [Some(head + 8), Some(head + 24)];
    assert!(places.contains(&error.offset()), "{error}");
}

/// 2^61 elements of 8 bytes: more bytes than a number of 64 bits counts.
#[test]
fn a_storage_of_2_to_the_64_bytes_overflows() {
    let elements = 1_i64 << 61;
    let id = tuple(&[
        text("storage"),
        global("torch", "DoubleStorage"),
        text("0"),
        text("cpu"),
        [&b"\x8a\x08"[..], &elements.to_le_bytes()].concat(),
        b"N".to_vec(),
    ]);
    let object = pickle_of(tensor([id, b"Q".to_vec()].concat(), 0, &[1], &[1]));
    let keys = [b"](".to_vec(), text("0"), b"e".to_vec()].concat();
    let head = legacy(1001, object.clone(), keys.clone(), &[]).len() as u64;
    let file = legacy(
        1001,
        object,
        keys,
        &[longs(&[elements]), vec![0; 8]].concat(),
    );
    let error = Checkpoint::from_bytes(file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    assert_eq!(code(&error), "overflow", "{error}");
    assert_eq!(error.offset(), Some(head), "{error}");
}

/// Sizes of zero need no bytes, wherever the tensor starts.
#[test]
fn an_empty_tensor_of_a_tar_archive_has_its_shape() {
    let described = tuple(&[int(2), int(1), global("torch", "FloatTensor")]);
    let view = [longs(&[2]), longs(&[0, 3]), longs(&[3, 1]), longs(&[0])].concat();
    let tensors = [pickle(int(1)), pickle(described), view].concat();
    let object = dict(&[(text("e"), [int(2), b"Q".to_vec()].concat())]);
    let model = Checkpoint::from_bytes(old(&storages(), &tensors, object)).unwrap();
    let tensor = model.tensor("e").unwrap();
    assert_eq!((tensor.dtype(), tensor.shape()), (DType::F32, &[0, 3][..]));
    assert!(tensor.bytes().unwrap().is_empty());
}

#[test]
fn a_type_that_is_not_known_keeps_its_name_inside_an_archive() {
    let header = r#"{"x":{"dtype":"F9","shape":[2],"data_offsets":[0,3]}}"#;
    let inner = support::safetensors::build(header, &[1, 2, 3]);
    let whole = Checkpoint::from_bytes(inner.clone()).unwrap();
    let packed = Checkpoint::from_bytes(tar(&[file("a.safetensors", &inner)])).unwrap();
    for model in [whole, packed] {
        let tensor = model.tensor("x").unwrap();
        assert_eq!((tensor.dtype(), tensor.dtype_name()), (DType::Opaque, "F9"));
        assert_eq!(tensor.bytes().unwrap(), [1, 2, 3]);
    }
}

/// A folder or link has no data, whatever its size says: what follows is the next header.
#[test]
fn folders_and_links_have_no_data() {
    for kind in *b"512346" {
        let claims = TarEntry {
            size: b"00000001000".to_vec(),
            ..of_kind(kind, "claims", b"")
        };
        let bytes = tar(&[claims, file("a.txt", b"text")]);
        let archive = Archive::read(&bytes, &mut Budget::default()).unwrap();
        let member = archive.find("a.txt").unwrap();
        assert_eq!(member.data.slice(&bytes), Some(&b"text"[..]), "{kind}");
    }
}

/// Zeros end an archive, however few; anything else there is a header that is cut off.
#[test]
fn what_is_left_behind_the_last_member_is_zeros_or_a_cut_header() {
    let whole = tar(&[file("a.txt", b"text")]);
    let members = &whole[..1024];
    for (tail, right) in [
        (vec![], true),
        (vec![0; 100], true),
        (vec![0; 511], true),
        (vec![b'x'; 100], false),
        ([vec![0; 99], vec![1]].concat(), false),
        ([vec![1], vec![0; 99]].concat(), false),
    ] {
        let bytes = [members, &tail].concat();
        match Archive::read(&bytes, &mut Budget::default()) {
            Ok(archive) => assert!(right && archive.members().len() == 1),
            Err(error) => {
                assert!(!right, "{error}");
                assert_eq!(code(&error), "truncated", "{error}");
                assert_eq!(error.offset(), Some(1024));
            }
        }
    }
}

/// Sizes and strides of each tensor are charged before they are kept: 16 bytes for each dimension.
#[test]
fn shapes_of_tar_archives_are_charged() {
    let tensors = |count: i32, rank: usize| {
        let mut bytes = pickle(int(count));
        for no in 0..count {
            bytes.extend(pickle(tuple(&[
                int(10 + no),
                int(1),
                global("torch", "FloatTensor"),
            ])));
            bytes.extend(longs(&[rank as i64]));
            bytes.extend(longs(&vec![1; 2 * rank]));
            bytes.extend(longs(&[0]));
        }
        bytes
    };
    let fits = |rank: usize, heap_bytes: u64| {
        let mut limits = weighbridge::Limits::default();
        limits.heap_bytes = heap_bytes;
        let options = weighbridge::OpenOptions::new().limits(limits);
        let opened = options.from_bytes(old(&storages(), &tensors(10, rank), int(1)));
        opened.is_ok()
    };
    // The least heap that is enough.
    let least = |rank: usize| {
        let (mut few, mut enough) = (0, 1 << 20);
        while few + 1 < enough {
            let middle = (few + enough) / 2;
            match fits(rank, middle) {
                true => enough = middle,
                false => few = middle,
            }
        }
        enough
    };
    assert_eq!(least(60) - least(20), 10 * 40 * 16);
}
