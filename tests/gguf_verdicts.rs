//! The named cases of llama.cpp's `tests/test-gguf.cpp` (ggml 0.25.3): a file with the property of each
//! gets the reference's verdict, or a written reason why not.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::gguf::{BOOL, Gguf, I32, STRING, U32};
use weighbridge::Checkpoint;

enum Verdict {
    Accepted,
    Rejected,
    /// The reference rejects, we accept.
    AcceptedHere(&'static str),
}

use Verdict::{Accepted, AcceptedHere, Rejected};

fn good() -> Gguf {
    Gguf::default()
        .pair_u32("my_key_0", 7)
        .tensor("my_tensor_0", &[8], 0, &[1; 32])
        .tensor("my_tensor_1", &[32, 2], 2, &[2; 36])
}

fn shaped(dimensions: &[u64], type_id: u32) -> Gguf {
    Gguf::default()
        .info(b"t", dimensions, type_id, 0)
        .data(&[0; 64])
}

fn aligned(value_type: u32, alignment: u32) -> Gguf {
    Gguf::default()
        .pair(b"general.alignment", value_type, &alignment.to_le_bytes())
        .tensor("t", &[8], 0, &[0; 32])
}

fn version(version: u32) -> Vec<u8> {
    Gguf { version, ..good() }.build()
}

fn counts(pairs: Option<u64>, tensors: Option<u64>) -> Vec<u8> {
    let file = Gguf {
        key_value_count: pairs,
        tensor_count: tensors,
        ..good()
    };
    file.build()
}

fn key_size_max() -> Vec<u8> {
    let mut file = good().build();
    file[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    file
}

/// As the reference's random pairs: booleans of any byte, text of any bytes.
fn random_pairs() -> Gguf {
    let texts = [
        &3_u64.to_le_bytes()[..],
        b"\xff\xfe\0",
        &0_u64.to_le_bytes(),
    ]
    .concat();
    good()
        .pair(b"my_key_1", BOOL, &[0xa7])
        .pair_string("my_key_2", b"\x80\x81 not text")
        .pair_array("my_key_3", BOOL, 3, &[0, 1, 0x55])
        .pair_array("my_key_4", STRING, 2, &texts)
}

fn aligned_to_1() -> Gguf {
    let file = Gguf {
        alignment: 1,
        ..Gguf::default()
    };
    file.pair_u32("general.alignment", 1)
        .tensor("a", &[3], 24, &[1, 2, 3])
        .tensor("b", &[5], 24, &[4; 5])
}

fn one_byte_short() -> Vec<u8> {
    let file = Gguf::default().tensor("t", &[5], 24, &[1; 5]).build();
    file[..file.len() - 1].to_vec()
}

#[test]
fn every_named_case_has_its_verdict() {
    let huge = 0x7fff_ffff_ffff_ffc0_u64;
    let two = |first: u64, second: u64| {
        let file = Gguf::default()
            .info(b"a", &[8], 0, first)
            .info(b"b", &[8], 0, second);
        file.data(&[0; 128]).build()
    };
    let twice = Gguf::default().pair_u32("k", 1).pair_u32("k", 2).build();
    let same_name = good().tensor("my_tensor_0", &[8], 0, &[0; 32]).build();
    let overflow = Gguf::default()
        .info(b"a", &[huge], 24, 0)
        .info(b"b", &[huge], 24, huge)
        .build();
    let inconsistent = Gguf::default()
        .pair_u32("general.alignment", 32)
        .info(b"a", &[3], 24, 0);
    let inconsistent = inconsistent.info(b"b", &[3], 24, 3).data(&[0; 64]).build();
    let version_1 = Gguf {
        version: 1,
        ..Gguf::default()
    };
    let version_1 = version_1
        .pair_u32("k", 1)
        .tensor("t", &[8], 0, &[0; 32])
        .build();
    let cases: Vec<(&str, Vec<u8>, Verdict)> = vec![
        (
            "HEADER_BAD_MAGIC",
            Gguf {
                magic: *b"FUGG",
                ..good()
            }
            .build(),
            Rejected,
        ),
        ("HEADER_BAD_VERSION_0", version(0), Rejected),
        (
            "HEADER_BAD_VERSION_1 (lengths of version 3)",
            version(1),
            Rejected,
        ),
        (
            "HEADER_BAD_VERSION_1 (its own lengths)",
            version_1,
            AcceptedHere("version 1 is read"),
        ),
        ("HEADER_BAD_VERSION_FUTURE", version(4), Rejected),
        (
            "HEADER_BAD_N_TENSORS",
            counts(None, Some(u64::MAX)),
            Rejected,
        ),
        ("HEADER_BAD_N_KV", counts(Some(u64::MAX), None), Rejected),
        ("HEADER_EMPTY", Gguf::default().build(), Accepted),
        ("KV_BAD_KEY_SIZE", key_size_max(), Rejected),
        (
            "KV_EMPTY_KEY",
            Gguf::default().pair_u32("", 1).build(),
            Rejected,
        ),
        (
            "KV_BAD_TYPE",
            Gguf::default().pair(b"k", 13, &[0; 8]).build(),
            Rejected,
        ),
        ("KV_DUPLICATE_KEY", twice, Rejected),
        ("KV_BAD_ALIGN", aligned(U32, 13).build(), Rejected),
        ("KV_WRONG_TYPE_ALIGN", aligned(I32, 32).build(), Rejected),
        ("KV_SUCCESS", random_pairs().build(), Accepted),
        (
            "TENSORS_BAD_NAME_SIZE",
            Gguf::default()
                .info(&[b'n'; 87], &[8], 0, 0)
                .data(&[0; 32])
                .build(),
            Rejected,
        ),
        ("TENSORS_BAD_N_DIMS", shaped(&[1; 5], 0).build(), Rejected),
        (
            "TENSORS_BAD_SHAPE",
            shaped(&[u64::MAX], 0).build(),
            Rejected,
        ),
        (
            "TENSORS_ZERO_DIM",
            Gguf::default().tensor("t", &[8, 0], 0, &[]).build(),
            Accepted,
        ),
        (
            "TENSORS_NE_TOO_BIG",
            shaped(&[4 * 0x7fff_ffff; 2], 0).build(),
            Rejected,
        ),
        (
            "TENSORS_NBYTES_TOO_BIG",
            shaped(&[1 << 61], 27).build(),
            Rejected,
        ),
        (
            "TENSORS_NBYTES_PAD_WRAP",
            shaped(&[4, (1 << 30) - 1, (1 << 30) + 1], 0).build(),
            Rejected,
        ),
        (
            "TENSORS_BAD_TYPE",
            shaped(&[8], 43).build(),
            AcceptedHere("an unknown type makes an opaque entry, the rest loads"),
        ),
        ("TENSORS_BAD_OFFSET", two(u64::MAX, 32), Rejected),
        ("TENSORS_DUPLICATE_NAME", same_name, Rejected),
        ("TENSORS_BAD_ALIGN", aligned(U32, 13).build(), Rejected),
        ("TENSORS_INCONSISTENT_ALIGN", inconsistent, Rejected),
        ("TENSORS_SUCCESS", good().build(), Accepted),
        ("TENSORS_CUSTOM_ALIGN", aligned_to_1().build(), Accepted),
        (
            "DATA_NOT_ENOUGH_DATA (data)",
            good().build()[..good().build().len() - 60].to_vec(),
            Rejected,
        ),
        (
            "DATA_NOT_ENOUGH_DATA (padding)",
            one_byte_short(),
            AcceptedHere("every tensor is whole without the last padding"),
        ),
        ("DATA_BAD_ALIGN", aligned(U32, 24).build(), Rejected),
        ("DATA_INCONSISTENT_ALIGN", two(0, 33), Rejected),
        ("DATA_MEM_SIZE_OVERFLOW", overflow, Rejected),
        ("DATA_SUCCESS", random_pairs().build(), Accepted),
        ("DATA_CUSTOM_ALIGN", aligned_to_1().build(), Accepted),
    ];
    for (name, file, verdict) in cases {
        let opened = Checkpoint::from_bytes(file);
        match verdict {
            Accepted => assert!(opened.is_ok(), "{name}: {opened:?}"),
            AcceptedHere(reason) => assert!(
                opened.is_ok(),
                "{name}, accepted because {reason}: {opened:?}"
            ),
            Rejected => assert!(opened.is_err(), "{name}"),
        }
    }
}

#[test]
fn only_the_accessor_complains_about_odd_values() {
    let model = Checkpoint::from_bytes(random_pairs().build()).unwrap();
    let metadata = model.metadata();
    assert_eq!(metadata.get("my_key_1").unwrap().as_bool(), None);
    assert_eq!(metadata.get("my_key_2").unwrap().as_str(), None);
    let booleans = metadata.get("my_key_3").unwrap().as_array().unwrap();
    let read: Vec<_> = booleans.iter().map(|value| value.as_bool()).collect();
    assert_eq!(read, [Some(false), Some(true), None]);
    let texts = metadata.get("my_key_4").unwrap().as_array().unwrap();
    let bytes: Vec<&[u8]> = texts
        .strings()
        .unwrap()
        .map(|text| text.as_bytes())
        .collect();
    assert_eq!(bytes, [&b"\xff\xfe\0"[..], b""]);
}
