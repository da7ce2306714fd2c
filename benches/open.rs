//! Opening: a sparse file of 1 GiB in each mapped format, and safetensors headers beside the official
//! crate, in one run. `cargo bench --bench open`; figures stand in `benches/README.md`.

#![allow(missing_docs)]

mod common;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::files::{self, int, text};

const GIB: u64 = 1 << 30;
/// As many tensors as a transformer of 32 layers has.
const TENSORS: u64 = 291;

/// Median of the time that `work` takes.
fn median(rounds: usize, mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[rounds / 2]
}

/// Resident memory of this process, in kilobytes; 0 where /proc is missing.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or(0)
}

fn sparse_safetensors(path: &Path) {
    let each = GIB / TENSORS;
    let head = files::safetensors_head(TENSORS, each);
    sparse(path, &head, head.len() as u64 + TENSORS * each);
}

fn sparse_gguf(path: &Path) {
    let each = GIB / TENSORS / 32 * 32;
    let head = files::gguf_head(TENSORS, each, 0);
    sparse(path, &head, head.len() as u64 + TENSORS * each);
}

fn sparse(path: &Path, head: &[u8], length: u64) {
    let mut file = File::create(path).unwrap();
    file.write_all(head).unwrap();
    file.set_len(length).unwrap();
}

/// A torch archive with one storage of 1 GiB, viewed by every tensor.
fn sparse_torch(path: &Path) {
    let mut pickle = b"\x80\x02}(".to_vec();
    let each = (GIB / TENSORS) as u32;
    for at in 0..TENSORS as u32 {
        pickle.extend(text(&files::name(at.into())));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(text("storage"));
        pickle.extend(b"ctorch\nByteStorage\n");
        pickle.extend([text("0"), text("cpu"), int(GIB as u32)].concat());
        pickle.extend(b"tQ");
        pickle.extend(int(at * each));
        pickle.extend([int(each), b"\x85".to_vec(), int(1), b"\x85\x89)tR".to_vec()].concat());
    }
    pickle.extend(b"u.");
    let members: [(String, &[u8], u64); 3] = [
        ("m/data.pkl".to_owned(), &pickle, pickle.len() as u64),
        ("m/data/0".to_owned(), &[], GIB),
        ("m/version".to_owned(), b"3\n", 2),
    ];
    files::zip(&mut File::create(path).unwrap(), &members);
}

/// Writes a sparse file.
type Make = fn(&Path);

fn open_sparse(folder: &Path) {
    println!("open a sparse file of 1 GiB, {TENSORS} tensors");
    let formats: [(&str, Make); 3] = [
        ("safetensors", sparse_safetensors),
        ("gguf", sparse_gguf),
        ("torch", sparse_torch),
    ];
    for (format, make) in formats {
        let path: PathBuf = folder.join(format);
        make(&path);
        let before = resident();
        let kept = weighbridge::open(&path).unwrap();
        let memory = resident().saturating_sub(before);
        assert_eq!(kept.len() as u64, TENSORS);
        let time = median(101, || drop(weighbridge::open(&path).unwrap()));
        println!("  {format:12} {time:>10.1?}   {memory} kB resident");
        std::fs::remove_file(path).unwrap();
    }
}

fn safetensors_beside_the_crate() {
    println!("safetensors header, ours beside the official crate (median, ratio)");
    for tensors in [100, 1_000, 10_000, 100_000] {
        let file: &'static [u8] = Vec::leak(files::safetensors_head(tensors, 0));
        let rounds = (200_000 / tensors as usize).clamp(7, 501) | 1;
        let ours = median(rounds, || {
            drop(weighbridge::Checkpoint::from_bytes(file).unwrap())
        });
        let theirs = median(rounds, || {
            drop(safetensors::SafeTensors::deserialize(file).unwrap())
        });
        let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
        println!(
            "  {tensors:>6} tensors  {ours:>10.1?}  crate {theirs:>10.1?}  {ratio:.1} times as fast"
        );
    }
}

fn main() {
    let folder = std::env::temp_dir().join(format!("weighbridge-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    open_sparse(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
    safetensors_beside_the_crate();
}
