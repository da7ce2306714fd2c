//! Digests beside a plain loop of the hash's crate, in one run: 8 tensors of 32 MiB.
//!
//! `cargo bench --bench digest --features blake3`. "read" is a sum of all words: what memory gives.

#![allow(missing_docs)]

mod common;

use std::hint::black_box;

use common::interleaved;
use flate2::Crc;
use sha2::{Digest, Sha256};
use weighbridge::digest::Algorithm;
use weighbridge::{Checkpoint, TensorView};

/// What a job is called, and the job.
type Named<'a> = (&'static str, Box<dyn FnMut() + 'a>);

const TENSORS: u64 = 8;
const TENSOR_BYTES: u64 = 32 << 20;

fn main() {
    let mut file = common::files::safetensors_head(TENSORS, TENSOR_BYTES);
    let head = file.len();
    let mut word = 1_u64;
    for _ in 0..TENSORS * TENSOR_BYTES / 8 {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        file.extend_from_slice(&word.to_le_bytes());
    }
    let file: &'static [u8] = Vec::leak(file);
    let model = Checkpoint::from_bytes(file).unwrap();
    let tensors: Vec<TensorView<'_>> = model.tensors().collect();
    let data = &file[head..];
    let pools = [1, 2].map(|threads| {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
        builder.build().unwrap()
    });
    let digest = |pool: usize, algorithm: Algorithm| {
        let work = || black_box(algorithm.of_tensors(&tensors, None));
        drop(pools[pool].install(work));
    };
    let mut jobs: Vec<Named<'_>> = vec![
        (
            "read",
            Box::new(|| {
                black_box(sum(data));
            }),
        ),
        (
            "CRC-32, as zip members are checked",
            Box::new(|| {
                let mut crc = Crc::new();
                crc.update(data);
                black_box(crc.sum());
            }),
        ),
        (
            "sha2, a plain loop",
            Box::new(|| {
                for tensor in data.chunks(TENSOR_BYTES as usize) {
                    black_box(Sha256::digest(tensor));
                }
            }),
        ),
        (
            "SHA-256, one thread",
            Box::new(|| digest(0, Algorithm::Sha256)),
        ),
        (
            "SHA-256, two threads",
            Box::new(|| digest(1, Algorithm::Sha256)),
        ),
    ];
    #[cfg(feature = "blake3")]
    jobs.extend::<[Named<'_>; 4]>([
        (
            "blake3, a plain loop",
            Box::new(|| {
                for tensor in data.chunks(TENSOR_BYTES as usize) {
                    black_box(blake3::hash(tensor));
                }
            }),
        ),
        (
            "BLAKE3, one thread",
            Box::new(|| digest(0, Algorithm::Blake3)),
        ),
        (
            "BLAKE3, two threads",
            Box::new(|| digest(1, Algorithm::Blake3)),
        ),
        (
            "BLAKE3 of the file, two threads",
            Box::new(|| {
                drop(pools[1].install(|| black_box(Algorithm::Blake3.of_files(&model, None))));
            }),
        ),
    ]);
    let mut borrowed: Vec<&mut dyn FnMut()> = Vec::new();
    for (_, job) in &mut jobs {
        borrowed.push(job);
    }
    let times = interleaved(9, &mut borrowed);
    let bytes = (TENSORS * TENSOR_BYTES) as f64;
    for (at, (name, _)) in jobs.iter().enumerate() {
        let rate = bytes / times.milliseconds(at) / 1e6;
        println!(
            "{name:36} {rate:6.2} GB/s  {:5.2} of the reading",
            1.0 / times.ratio(at, 0)
        );
    }
}

fn sum(data: &[u8]) -> u64 {
    let words = data.as_chunks::<8>().0.iter();
    words.fold(0, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}
