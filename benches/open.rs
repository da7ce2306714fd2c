//! Opening: headers of safetensors and GGUF beside what bounds them and beside the official crate, and a
//! sparse file of 1 GiB in each mapped format, in one run.
//!
//! `cargo bench --bench open` prints everything, ratios beside the last record of this machine
//! (`benches/times.tsv`, which `-- record` writes); figures stand in `benches/README.md`.
//! `cargo bench --bench open -- repeat FILE TIMES [crate|scan]` opens one file again and again, for
//! callgrind: FILE is `safetensors-TENSORS`, `gguf-a`, `gguf-b`, `gguf-c`, `sparse` or a path, of which the
//! heap is printed too.

#![allow(missing_docs, unreachable_pub, unsafe_code)]

#[path = "../tests/support/allocation.rs"]
mod allocation;
mod common;
#[path = "common/headers.rs"]
mod headers;

use std::fs::File;
use std::hint::black_box;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::record::Ratios;
use weighbridge::{Checkpoint, ValueType};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

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

fn sparse_header(bytes: u64) -> String {
    let infos: Vec<String> = (0..TENSORS)
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
    let header = sparse_header(each);
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

/// As the crate's users open a file: mapped, then read.
fn open_with_the_crate(path: &Path) {
    let file = File::open(path).unwrap();
    // SAFETY: nobody writes to the file during the measurement.
    let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    black_box(safetensors::SafeTensors::deserialize(&map).unwrap());
}

/// Writes a sparse file.
type Make = fn(&Path);

fn open_sparse(folder: &Path) {
    println!("a sparse file of 1 GiB, {TENSORS} tensors (O1: 0.1 ms)");
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
        if format == "safetensors" {
            let time = median(101, || open_with_the_crate(&path));
            println!("  the crate    {time:>10.1?}");
        }
        std::fs::remove_file(path).unwrap();
    }
}

/// Reads JSON and keeps nothing: what any reader of a header has to do at least.
fn scan(file: &[u8]) {
    serde_json::from_slice::<serde::de::IgnoredAny>(black_box(&file[8..])).unwrap();
}

fn safetensors_headers(ratios: &mut Ratios) {
    println!(
        "\nsafetensors headers in memory (S1: 6 times as fast as the crate, 2.1 scans; S2: 1.3, 8)"
    );
    println!(
        "  tensors    header      ours     GB/s   crate/ours  ours/scan   heap/header  allocations   crate's"
    );
    for tensors in [100, 1_000, 10_000, 100_000] {
        let file: &'static [u8] = Vec::leak(headers::safetensors_file(
            &headers::safetensors_header(tensors),
        ));
        let bytes = file.len() as f64;
        let rounds = (100_000 / tensors as usize).clamp(9, 301) | 1;
        let mut ours = || drop(Checkpoint::from_bytes(black_box(file)).unwrap());
        let mut theirs = || drop(safetensors::SafeTensors::deserialize(black_box(file)).unwrap());
        let mut scan = || scan(file);
        let times = common::interleaved(rounds, &mut [&mut ours, &mut theirs, &mut scan]);
        let heap = allocation::heap(ours);
        let crates = allocation::heap(theirs);
        println!(
            "  {tensors:>7} {bytes:>10} {:>8.4} ms {:>5.2} {:>10.2} {:>11.2} {:>12.2} {:>10} {:>10.2} {}  {}",
            times.milliseconds(0),
            bytes / times.milliseconds(0) / 1e6,
            times.ratio(1, 0),
            times.ratio(0, 2),
            heap.peak as f64 / bytes,
            heap.allocations,
            crates.peak as f64 / bytes,
            crates.allocations,
            ratios.beside_the_last(
                &format!("safetensors {tensors}: ours/scan"),
                times.ratio(0, 2)
            ),
        );
    }
}

/// Checks every string of a model's metadata.
fn check_strings(model: &Checkpoint) {
    for (_, value) in model.metadata().iter() {
        let array = value.as_array();
        if let Some(array) = array.filter(|array| array.value_type() == ValueType::String) {
            array.check_utf8().unwrap();
        }
    }
}

fn gguf_headers(folder: &Path, ratios: &mut Ratios) {
    println!("\nGGUF headers, mapped (G1: c within 1.2 sums of its bytes; G2: 4; G3: heap)");
    println!(
        "  file      header        sum      open  open/sum   with UTF-8 of all strings   heap   allowed  allocations"
    );
    for (file, tensors, tokens, merges) in headers::GGUF_FILES {
        let path = folder.join(file);
        let bytes = headers::gguf_file(tensors, tokens, merges);
        std::fs::write(&path, &bytes).unwrap();
        let header = headers::gguf_header_bytes(&bytes, tensors);
        // What the whole header costs to look at once, in a mapping as fresh as that of `open`.
        let mut sum = || {
            let file = File::open(&path).unwrap();
            // SAFETY: nobody writes to the file during the measurement.
            let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
            let bytes = map[..header].iter().map(|&byte| u64::from(byte));
            black_box(bytes.sum::<u64>());
        };
        let mut open = || drop(weighbridge::open(black_box(&path)).unwrap());
        let mut checked = || check_strings(&weighbridge::open(black_box(&path)).unwrap());
        let times = common::interleaved(41, &mut [&mut sum, &mut open, &mut checked]);
        let heap = allocation::heap(open);
        println!(
            "  {file:4} {header:>12} {:>8.3} ms {:>6.3} ms {:>6.2} {:>14.3} ms {:>6.2} {:>14} {:>9} {:>6}  {}",
            times.milliseconds(0),
            times.milliseconds(1),
            times.ratio(1, 0),
            times.milliseconds(2),
            times.ratio(2, 0),
            heap.peak,
            (256 << 10) + 100 * tensors,
            heap.allocations,
            ratios.beside_the_last(&format!("gguf {file}: open/sum"), times.ratio(1, 0)),
        );
        std::fs::remove_file(path).unwrap();
    }
}

/// Opens one file again and again.
fn repeat(folder: &Path, arguments: &[String]) {
    let [_, file, times, rest @ ..] = arguments else {
        panic!("repeat FILE TIMES [crate|scan]");
    };
    let times: usize = times.parse().unwrap();
    let path = folder.join("file");
    if let Some(tensors) = file.strip_prefix("safetensors-") {
        let header = headers::safetensors_header(tensors.parse().unwrap());
        let file: &'static [u8] = Vec::leak(headers::safetensors_file(&header));
        for _ in 0..times {
            match rest.first().map(String::as_str) {
                Some("crate") => {
                    drop(safetensors::SafeTensors::deserialize(black_box(file)).unwrap())
                }
                Some("scan") => scan(file),
                _ => drop(Checkpoint::from_bytes(black_box(file)).unwrap()),
            }
        }
        return;
    }
    if Path::new(file).is_file() {
        std::fs::copy(file, &path).unwrap();
        let bytes = std::fs::metadata(&path).unwrap().len();
        let open = || drop(weighbridge::open(&path).unwrap());
        // Tables that are made once are no part of it.
        open();
        let heap = allocation::heap(open);
        let ratio = heap.peak as f64 / bytes as f64;
        println!(
            "{} allocations, {ratio:.3} times the file",
            heap.allocations
        );
    } else if file == "sparse" {
        sparse_safetensors(&path);
    } else {
        let named = |(name, ..): &&(&str, u64, u64, bool)| file.strip_prefix("gguf-") == Some(name);
        let &(_, tensors, tokens, merges) = headers::GGUF_FILES.iter().find(named).unwrap();
        std::fs::write(&path, headers::gguf_file(tensors, tokens, merges)).unwrap();
    }
    for _ in 0..times {
        drop(weighbridge::open(black_box(&path)).unwrap());
    }
}

fn main() {
    let arguments = common::arguments();
    let folder = std::env::temp_dir().join(format!("weighbridge-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    if arguments.first().is_some_and(|job| job == "repeat") {
        repeat(&folder, &arguments);
    } else {
        open_sparse(&folder);
        let ratios = &mut Ratios::of_this_machine(&arguments);
        safetensors_headers(ratios);
        gguf_headers(&folder, ratios);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
