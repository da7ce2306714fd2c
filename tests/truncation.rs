//! Every file of the official writers, cut at every byte, extended by one, and with bits of its head
//! flipped: an error or a sound reading, never a panic.
//!
//! `cargo test --release --test truncation -- --ignored` does it to all of them, at every byte and bit:
//! about 600,000 cuts and three million flips.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use weighbridge::{Checkpoint, ErrorKind, Format};

const EXTENSIONS: &[&str] = &["safetensors", "gguf", "pt", "pth", "bin", "pt2", "nemo"];

/// Every container of which a file is cut, flipped and extended.
const FORMATS: &[Format] = &[
    Format::Safetensors,
    Format::Gguf,
    Format::TorchZip,
    Format::TorchLegacy,
    Format::TorchTar,
    Format::TorchScript,
    Format::TorchPackage,
    Format::TorchExport,
    Format::Tar,
];

struct Fixture {
    path: PathBuf,
    bytes: Vec<u8>,
    model: Checkpoint,
}

impl Fixture {
    /// The bytes that hold no tensor, all of which a reader may look at.
    fn heads(&self) -> Vec<usize> {
        let mut heads = vec![true; self.bytes.len()];
        for place in self.model.tensors().filter_map(|tensor| tensor.location()) {
            let (start, length) = (place.offset as usize, place.length as usize);
            heads[start..start + length].fill(false);
        }
        let heads = heads.iter().enumerate();
        heads.filter(|(_, head)| **head).map(|(at, _)| at).collect()
    }
}

/// Every file that opens alone; malformed files are no fixtures.
fn all() -> Vec<Fixture> {
    let files = ["safetensors", "gguf", "torch", "old_torch"]
        .map(|format| support::files_below(&support::file(format)));
    let files = files.concat().into_iter().filter(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
    });
    let opened = files.filter_map(|path| {
        let bytes = std::fs::read(&path).unwrap();
        let model = Checkpoint::from_bytes(bytes.clone()).ok()?;
        Some(Fixture { path, bytes, model })
    });
    let all: Vec<Fixture> = opened.collect();
    assert!(all.len() > 150, "only {} files", all.len());
    all
}

/// Those of at most `most` bytes, and the smallest of each format.
fn fixtures(most: usize) -> Vec<Fixture> {
    let mut all = all();
    let mut smallest: BTreeMap<Format, usize> = BTreeMap::new();
    for fixture in &all {
        let least = smallest.entry(fixture.model.format()).or_insert(usize::MAX);
        *least = fixture.bytes.len().min(*least);
    }
    for format in FORMATS {
        assert!(smallest.contains_key(format), "no file of {format}");
    }
    all.retain(|fixture| {
        let bytes = fixture.bytes.len();
        bytes <= most || bytes == smallest[&fixture.model.format()]
    });
    all
}

/// Reads everything that a caller could.
fn use_all(model: &Checkpoint) {
    for tensor in model.tensors() {
        if tensor.byte_length() <= 1 << 16 && tensor.elements() <= 1 << 16 {
            let mut bytes = vec![0; tensor.byte_length() as usize];
            let _ = tensor.copy_into(&mut bytes);
            let mut values = vec![0.0_f32; tensor.elements()];
            let _ = tensor.dequantize_into(&mut values);
        }
    }
    assert_eq!(model.metadata().iter().count(), model.metadata().len());
}

/// Opens a file cut at each of its bytes; gives how many there were.
fn cut(fixture: &Fixture) -> usize {
    let (path, bytes) = (fixture.path.display(), &fixture.bytes);
    for length in 0..bytes.len() {
        let Ok(model) = Checkpoint::from_bytes(bytes[..length].to_vec()) else {
            continue;
        };
        // A GGUF file is whole without the padding after its last tensor or its metadata, a tar archive
        // without the blocks of zeros after its last member.
        let padding = bytes[length..].iter().all(|&byte| byte == 0);
        let padded = [Format::Gguf, Format::Tar, Format::TorchTar];
        let same = padded.contains(&model.format()) && model.len() == fixture.model.len();
        assert!(same && padding, "{path} cut at {length} opens");
        use_all(&model);
    }
    bytes.len()
}

/// Opens a file with each of `bits` flipped in each of some places; gives how many there were.
fn flip(fixture: &Fixture, places: &[usize], bits: &[u32]) -> usize {
    for &place in places {
        for &bit in bits {
            let mut changed = fixture.bytes.clone();
            changed[place] ^= 1 << bit;
            if let Ok(model) = Checkpoint::from_bytes(changed) {
                use_all(&model);
            }
        }
    }
    places.len() * bits.len()
}

const EVERY_BIT: &[u32] = &[0, 1, 2, 3, 4, 5, 6, 7];

#[test]
fn a_cut_file_is_an_error() {
    let cuts: usize = fixtures(2_500).iter().map(cut).sum();
    assert!(cuts > 140_000, "only {cuts} cuts");
}

#[test]
#[ignore = "half a minute with optimization"]
fn every_cut_file_is_an_error() {
    let cuts: usize = all().iter().map(cut).sum();
    println!("{cuts} cuts");
    assert!(cuts > 500_000, "only {cuts} cuts");
}

#[test]
fn a_byte_more_is_an_error_or_a_finding() {
    for fixture in all() {
        let before = fixture.model.findings().count();
        for byte in [0, 1, b'.', b'{', 0x80] {
            let bytes = [&fixture.bytes[..], &[byte]].concat();
            let path = fixture.path.display();
            match Checkpoint::from_bytes(bytes) {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Malformed, "{path}: {error}"),
                Ok(model) => assert!(model.findings().count() > before, "{path}"),
            }
        }
    }
}

#[test]
fn flipped_bits_never_panic() {
    let mut flips = 0;
    for fixture in fixtures(1_500) {
        let mut heads = fixture.heads();
        // Every bit of the short heads, three bits of the others.
        if heads.len() <= 300 {
            flips += flip(&fixture, &heads, EVERY_BIT);
        } else {
            heads.truncate(900);
            flips += flip(&fixture, &heads, &[0, 3, 7]);
        }
    }
    assert!(flips > 100_000, "only {flips} flips");
}

#[test]
#[ignore = "minutes with optimization"]
fn every_flipped_bit_never_panics() {
    let mut flips = 0;
    for fixture in all() {
        flips += flip(&fixture, &fixture.heads(), EVERY_BIT);
    }
    println!("{flips} flips");
    assert!(flips > 1_000_000, "only {flips} flips");
}
