//! Digests beside those of other implementations.

#![allow(missing_docs)]

mod support;

use std::ops::ControlFlow;
use std::path::Path;

use weighbridge::digest::{Algorithm, Digest};
use weighbridge::{Checkpoint, ErrorKind, OpenOptions, Progress, TensorView};

/// Bytes as the published test vectors of BLAKE3 take them.
fn counting(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn hex(digest: Digest) -> String {
    digest.to_string()
}

fn all(digests: Vec<weighbridge::Result<Digest>>) -> Vec<String> {
    let digests = digests.into_iter().map(|digest| hex(digest.unwrap()));
    digests.collect()
}

/// A safetensors file of tensors of so many bytes each.
fn model(lengths: &[usize]) -> Checkpoint {
    let mut infos = Vec::new();
    let mut data = Vec::new();
    for (at, &length) in lengths.iter().enumerate() {
        let (start, end) = (data.len(), data.len() + length);
        infos.push(format!(
            r#""t{at:04}":{{"dtype":"U8","shape":[{length}],"data_offsets":[{start},{end}]}}"#
        ));
        data.extend(counting(length));
    }
    let header = format!("{{{}}}", infos.join(","));
    let length = (header.len() as u64).to_le_bytes();
    Checkpoint::from_bytes([&length, header.as_bytes(), &data].concat()).unwrap()
}

/// Lengths around the steps in which tensors are hashed, with the digests of Python's `hashlib.sha256` and of
/// PyPI `blake3` 1.0.11.
const VECTORS: [(usize, &str, &str); 7] = [
    (
        0,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    ),
    (
        1,
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
    ),
    (
        1025,
        "bc0b6b10b89b9487a12fda2a8cc13194e7091c217aabf8b92846274026f4bcd0",
        "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
    ),
    (
        102_400,
        "74588b7f0bcc354ac14d9cf199fa3a20c05f0c7293b9075b2f2e146e718de800",
        "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
    ),
    (
        1 << 20,
        "631b84027d6b9e52b539c4e8373622d23032dfadc64d60af87339c9037e4f769",
        "74cb441fd087764ca9c3694da742ebe30cbeb3060a17009ca81825c7a8d10343",
    ),
    (
        (1 << 20) + 1,
        "5769f52bc3eef28afa39c6fc68cadb7d0bd69812ae3a3d71452f519ec3c7aa56",
        "2f053cd7472cf0cd2f9adaf45c1180255b91b9a865404a63671a0ee5f792ed33",
    ),
    (
        3_000_001,
        "6676c19ef38e4bb8a162d4efd71b8de3150e82b93da3918ee0e9f69891925d9f",
        "a1ead512edfce7caaecf9c124bb4da104432bfd8ca640e62ab376f1d72a51428",
    ),
];

/// Bytes in memory, and tensors of as many bytes, on one thread and on four.
fn equals_vectors(algorithm: Algorithm, expected: [&str; VECTORS.len()]) {
    for ((length, ..), expected) in VECTORS.iter().zip(expected) {
        assert_eq!(hex(algorithm.of_bytes(&counting(*length))), expected);
    }
    let model = model(&VECTORS.map(|vector| vector.0));
    let tensors: Vec<TensorView<'_>> = model.tensors().collect();
    for threads in [1, 4] {
        let digests = on_threads(threads, || algorithm.of_tensors(&tensors, None));
        assert_eq!(all(digests), expected, "{threads} threads");
    }
    for (tensor, expected) in tensors.iter().zip(expected) {
        assert_eq!(hex(algorithm.of_tensor(tensor).unwrap()), expected);
    }
}

fn on_threads<O: Send>(threads: usize, work: impl FnOnce() -> O + Send) -> O {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.unwrap().install(work)
}

#[test]
fn sha256_is_that_of_hashlib() {
    equals_vectors(Algorithm::Sha256, VECTORS.map(|vector| vector.1));
}

#[test]
#[cfg(feature = "blake3")]
fn blake3_is_that_of_its_authors() {
    equals_vectors(Algorithm::Blake3, VECTORS.map(|vector| vector.2));
}

/// Files written by the official writers, with their digests by Python.
const FILES: [(&str, &str, &str); 3] = [
    (
        "safetensors/network.safetensors",
        "cb94fb421f84ce21ce10d0a8289483c0509fbd170c801331078772a991cb0aac",
        "17b6bf2347fa39533fcff4abd92b3a839db2dd9ee5854dd9f3767601bfbdc639",
    ),
    (
        "gguf/network.gguf",
        "c1ee8ceb0ee8f0d5a15e6e438f326ee6db8a73c798c904696ceb4fb53f63aad3",
        "8e130cded9f6b6dfbe0886b429245f31ef97a55eac7125c83631a34055b34e71",
    ),
    (
        "torch/network.pt",
        "a0bb0e6830dd906fdf9837b7e3f14f5705c8bda5cbd1e71f03c5eb990e9d43c7",
        "0c0223768d7221a065f1885fd4943f906bf3f9dad104e7fe3d347021e5e53e8d",
    ),
];

#[test]
fn files_have_the_digests_of_their_bytes() {
    for (path, sha256, _blake3) in FILES {
        for access in [weighbridge::Access::Map, weighbridge::Access::Lazy] {
            let model = OpenOptions::new().access(access);
            let model = model.open(support::file(path)).unwrap();
            assert_eq!(all(Algorithm::Sha256.of_files(&model, None)), [sha256]);
            #[cfg(feature = "blake3")]
            assert_eq!(all(Algorithm::Blake3.of_files(&model, None)), [_blake3]);
        }
    }
}

/// `tests/files/expected.json` holds what Python's hashlib gives for the arrays that the official readers
/// return, whatever the strides and the byte order of the file.
#[test]
fn tensors_have_the_digests_of_what_the_official_readers_read() {
    let text = std::fs::read_to_string(support::file("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut seen = 0;
    for file in expected["files"].as_array().unwrap() {
        let path = support::file(file["path"].as_str().unwrap());
        let Ok(model) = open(&path) else { continue };
        let tensors: Vec<TensorView<'_>> = model.tensors().collect();
        let digests = Algorithm::Sha256.of_tensors(&tensors, None);
        for (tensor, digest) in tensors.iter().zip(digests) {
            let rows = file["tensors"].as_array().unwrap().iter();
            let mut named = rows.filter(|row| row["name"] == tensor.name());
            let Some(sha256) = named.next().and_then(|row| row["sha256"].as_str()) else {
                continue;
            };
            assert_eq!(hex(digest.unwrap()), sha256, "{path:?} {}", tensor.name());
            seen += 1;
        }
    }
    assert!(seen > 500, "only {seen} tensors");
}

fn open(path: &Path) -> weighbridge::Result<Checkpoint> {
    OpenOptions::new().allow_dangerous(true).open(path)
}

#[test]
fn progress_counts_every_byte_once() {
    let lengths = [3_000_001, 5, 0, 1 << 20];
    let model = model(&lengths);
    let tensors: Vec<TensorView<'_>> = model.tensors().collect();
    let last = std::sync::Mutex::new(Progress::default());
    let keep = |progress: Progress| {
        let mut last = last.lock().unwrap();
        last.done = last.done.max(progress.done);
        last.total = progress.total;
        ControlFlow::Continue(())
    };
    let total = lengths.iter().sum::<usize>() as u64;
    all(Algorithm::Sha256.of_tensors(&tensors, Some(&keep)));
    let now = *last.lock().unwrap();
    assert_eq!((now.done, now.total), (total, total));

    *last.lock().unwrap() = Progress::default();
    all(Algorithm::Sha256.of_files(&model, Some(&keep)));
    let now = *last.lock().unwrap();
    assert_eq!((now.done, now.total), (model.files()[0].bytes, now.done));
}

#[test]
fn a_stopped_job_gives_an_error_for_each_that_is_not_finished() {
    let model = model(&[10, 4 << 20, 20]);
    let tensors: Vec<TensorView<'_>> = model.tensors().collect();
    // The largest comes first; after its second step.
    let stop = |progress: Progress| match progress.done {
        0..0x0020_0000 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let digests = on_threads(1, || Algorithm::Sha256.of_tensors(&tensors, Some(&stop)));
    for digest in digests {
        let error = digest.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        let (what, done, total) = error.as_cancelled().unwrap();
        assert_eq!(
            (what, done, total),
            ("digesting tensors", 2 << 20, (4 << 20) + 30)
        );
    }
    let never = |_| ControlFlow::Break(());
    let digests = Algorithm::Sha256.of_files(&model, Some(&never));
    assert_eq!(
        digests[0].as_ref().unwrap_err().kind(),
        ErrorKind::Cancelled
    );
}
