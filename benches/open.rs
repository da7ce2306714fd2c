//! Opening: a sparse file of 1 GiB in each mapped format, and safetensors headers beside the official
//! crate, in one run. `cargo bench --bench open`; figures stand in `benches/README.md`.

#![allow(missing_docs)]

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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

fn name(at: u64) -> String {
    format!("model.layers.{at}.self_attn.q_proj.weight")
}

fn safetensors_header(tensors: u64, bytes: u64) -> String {
    let infos: Vec<String> = (0..tensors)
        .map(|at| {
            let (start, end) = (at * bytes, (at + 1) * bytes);
            let name = name(at);
            format!(r#""{name}":{{"dtype":"U8","shape":[{bytes}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    format!("{{{}}}", infos.join(","))
}

fn sparse_safetensors(path: &Path) {
    let each = GIB / TENSORS;
    let header = safetensors_header(TENSORS, each);
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes())
        .unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header.len() as u64 + TENSORS * each)
        .unwrap();
}

fn sparse_gguf(path: &Path) {
    let each = GIB / TENSORS / 32 * 32;
    let mut head = b"GGUF\x03\0\0\0".to_vec();
    head.extend(TENSORS.to_le_bytes());
    head.extend(0_u64.to_le_bytes());
    for at in 0..TENSORS {
        let name = name(at);
        head.extend((name.len() as u64).to_le_bytes());
        head.extend(name.as_bytes());
        head.extend(1_u32.to_le_bytes());
        head.extend(each.to_le_bytes());
        head.extend(24_u32.to_le_bytes());
        head.extend((at * each).to_le_bytes());
    }
    let data = (head.len() as u64).next_multiple_of(32);
    let mut file = File::create(path).unwrap();
    file.write_all(&head).unwrap();
    file.set_len(data + TENSORS * each).unwrap();
}

/// A torch archive with one storage of 1 GiB, viewed by every tensor.
fn sparse_torch(path: &Path) {
    let mut pickle = b"\x80\x02}(".to_vec();
    let each = (GIB / TENSORS) as u32;
    for at in 0..TENSORS as u32 {
        let text = |text: &str| {
            [
                &b"X"[..],
                &(text.len() as u32).to_le_bytes(),
                text.as_bytes(),
            ]
            .concat()
        };
        let int = |number: u32| [&b"J"[..], &number.to_le_bytes()].concat();
        pickle.extend(text(&name(at.into())));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(text("storage"));
        pickle.extend(b"ctorch\nByteStorage\n");
        pickle.extend([text("0"), text("cpu"), int(GIB as u32)].concat());
        pickle.extend(b"tQ");
        pickle.extend(int(at * each));
        pickle.extend([int(each), b"\x85".to_vec(), int(1), b"\x85\x89)tR".to_vec()].concat());
    }
    pickle.extend(b"u.");
    let members: [(&str, &[u8], u64); 3] = [
        ("m/data.pkl", &pickle, pickle.len() as u64),
        ("m/data/0", &[], GIB),
        ("m/version", b"3\n", 2),
    ];
    let mut file = File::create(path).unwrap();
    let mut directory = Vec::new();
    for (name, data, size) in members {
        let offset = file.stream_position().unwrap() as u32;
        let sizes = [(size as u32).to_le_bytes(); 2].concat();
        let length = (name.len() as u16).to_le_bytes();
        let local = [
            b"PK\x03\x04\0\0".as_slice(),
            &[0; 12],
            &sizes,
            &length,
            &[0; 2],
        ]
        .concat();
        file.write_all(&local).unwrap();
        file.write_all(name.as_bytes()).unwrap();
        file.write_all(data).unwrap();
        file.seek(SeekFrom::Current((size - data.len() as u64) as i64))
            .unwrap();
        directory.extend(
            [
                b"PK\x01\x02".as_slice(),
                &[0; 16],
                &sizes,
                &length,
                &[0; 12],
            ]
            .concat(),
        );
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let offset = file.stream_position().unwrap() as u32;
    file.write_all(&directory).unwrap();
    file.write_all(b"PK\x05\x06\0\0\0\0\x03\0\x03\0").unwrap();
    file.write_all(&(directory.len() as u32).to_le_bytes())
        .unwrap();
    file.write_all(&offset.to_le_bytes()).unwrap();
    file.write_all(&[0; 2]).unwrap();
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
        let header = safetensors_header(tensors, 0);
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        let file: &'static [u8] = Vec::leak(file);
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
