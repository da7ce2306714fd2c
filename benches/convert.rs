//! Converts a torch checkpoint of 2 GiB to safetensors beside a plain copy and beside
//! `torch.load` + `save_file`, in one run. Figures stand in `benches/README.md`.
//!
//! `cargo bench --bench convert -- [--python PYTHON] [--folder FOLDER] [--rounds N]`, where PYTHON is an
//! interpreter that has torch and safetensors, and FOLDER a place with 8 GiB on the file system to be measured.

#![allow(missing_docs)]

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use weighbridge::convert::ConvertOptions;

const TENSORS: u32 = 64;
const TENSOR_BYTES: u32 = 32 << 20;

fn text(text: &str) -> Vec<u8> {
    let length = (text.len() as u32).to_le_bytes();
    [&b"X"[..], &length, text.as_bytes()].concat()
}

fn int(number: u32) -> Vec<u8> {
    [&b"J"[..], &number.to_le_bytes()].concat()
}

/// Writes a checkpoint of `TENSORS` matrices, a storage each, stored in a zip as torch does.
fn torch_checkpoint(path: &Path) {
    let (rows, columns) = (4096, TENSOR_BYTES / 4 / 4096);
    let mut pickle = b"\x80\x02}(".to_vec();
    for at in 0..TENSORS {
        pickle.extend(text(&format!("model.layers.{at}.weight")));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(text("storage"));
        pickle.extend(b"ctorch\nFloatStorage\n");
        pickle.extend([text(&at.to_string()), text("cpu"), int(rows * columns)].concat());
        pickle.extend(b"tQ");
        pickle.extend([int(0), int(rows), int(columns), b"\x86".to_vec()].concat());
        pickle.extend([int(columns), int(1), b"\x86\x89".to_vec()].concat());
        pickle.extend(b"ccollections\nOrderedDict\n)RtR");
    }
    pickle.extend(b"u.");
    let mut values = Vec::new();
    let mut word = 1_u32;
    for _ in 0..TENSOR_BYTES / 4 {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        values.extend(((word >> 8) as f32 / 16_777_216.0).to_le_bytes());
    }
    let mut members = vec![("m/data.pkl".to_owned(), pickle.as_slice())];
    members.extend((0..TENSORS).map(|at| (format!("m/data/{at}"), values.as_slice())));
    members.push(("m/version".to_owned(), b"3\n"));
    let mut file = BufWriter::new(File::create(path).unwrap());
    let mut directory = Vec::new();
    for (name, data) in &members {
        let offset = file.stream_position().unwrap() as u32;
        let sizes = [(data.len() as u32).to_le_bytes(); 2].concat();
        let length = (name.len() as u16).to_le_bytes();
        // Data at multiples of 64, as torch aligns it; the checksum 0 says that there is none.
        let extra = (64 - (offset as usize + 30 + name.len() + 4) % 64) % 64 + 4;
        let head = [&b"PK\x03\x04\0\0"[..], &[0; 12], &sizes, &length].concat();
        file.write_all(&head).unwrap();
        file.write_all(&(extra as u16).to_le_bytes()).unwrap();
        file.write_all(name.as_bytes()).unwrap();
        file.write_all(b"FB").unwrap();
        file.write_all(&(extra as u16 - 4).to_le_bytes()).unwrap();
        file.write_all(&vec![b'Z'; extra - 4]).unwrap();
        file.write_all(data).unwrap();
        directory.extend([&b"PK\x01\x02"[..], &[0; 16], &sizes, &length, &[0; 12]].concat());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let offset = file.stream_position().unwrap() as u32;
    file.write_all(&directory).unwrap();
    let count = [(members.len() as u16).to_le_bytes(); 2].concat();
    file.write_all(&[&b"PK\x05\x06\0\0\0\0"[..], &count].concat())
        .unwrap();
    file.write_all(&(directory.len() as u32).to_le_bytes())
        .unwrap();
    file.write_all(&offset.to_le_bytes()).unwrap();
    file.write_all(&[0; 2]).unwrap();
    file.into_inner().unwrap().sync_all().unwrap();
}

/// A line of `/proc/self/status`, in kilobytes; 0 where it is missing.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find(|found| found.starts_with(line));
    let number = found.and_then(|found| found.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or(0)
}

/// Runs `work`, and gives the largest growth of anonymous memory that was seen every millisecond.
fn anonymous(work: impl FnOnce()) -> u64 {
    let (ended, most) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = memory("RssAnon:");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                most.fetch_max(memory("RssAnon:"), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        work();
        ended.store(true, Ordering::Relaxed);
    });
    most.load(Ordering::Relaxed).saturating_sub(before)
}

/// Time of `torch.load` and `save_file`, both imported before, with and without a flush to the disk, and
/// the largest resident memory.
fn torch(python: &Path, from: &Path, to: &Path, mmap: &str) -> (Duration, Duration, u64) {
    const CODE: &str = "\
import os, resource, sys, time, torch
from safetensors.torch import save_file
source, target, mmap = sys.argv[1:]
start = time.perf_counter()
save_file(torch.load(source, weights_only=True, mmap=mmap == 'True'), target)
saved = time.perf_counter() - start
os.fsync(os.open(target, os.O_RDONLY))
synced = time.perf_counter() - start
print(saved, synced, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
";
    let output = Command::new(python)
        .args(["-c", CODE])
        .args([from, to])
        .arg(mmap)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    let &[saved, synced, resident] = numbers.as_slice() else {
        panic!("{text}{error}");
    };
    let seconds = Duration::from_secs_f64;
    (seconds(saved), seconds(synced), resident as u64)
}

fn timed(to: &Path, work: impl FnOnce()) -> Duration {
    // What the job before left to the disk must not be paid for by this one.
    let _ = Command::new("sync").status();
    let start = Instant::now();
    work();
    let time = start.elapsed();
    std::fs::remove_file(to).unwrap();
    time
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let python = value("--python").map(PathBuf::from);
    let folder = value("--folder").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("weighbridge-bench-{}", std::process::id()));
    let rounds = value("--rounds").map_or(5, |rounds| rounds.parse().unwrap());
    std::fs::create_dir_all(&folder).unwrap();
    let (from, to) = (folder.join("model.pt"), folder.join("model.safetensors"));
    torch_checkpoint(&from);

    let convert = |options: &ConvertOptions| {
        let model = weighbridge::open(&from).unwrap();
        options.convert(&model, &to, None).unwrap();
    };
    let every = ConvertOptions::new();
    let bare = ConvertOptions::new().provenance(false).verify(false);
    let mut rows: Vec<(&str, Vec<Duration>)> = Vec::new();
    let mut add = |name: &'static str, time: Duration| match rows
        .iter_mut()
        .find(|(known, _)| *known == name)
    {
        Some((_, times)) => times.push(time),
        None => rows.push((name, vec![time])),
    };
    let (mut ours, mut theirs) = (0, [0; 2]);
    for _ in 0..rounds {
        let copy = || assert!(std::fs::copy(&from, &to).unwrap() > 0);
        add("copy, not flushed", timed(&to, copy));
        let synced = || {
            copy();
            File::open(&to).unwrap().sync_all().unwrap();
        };
        add("copy, flushed to the disk", timed(&to, synced));
        add(
            "convert: flushed, sha256, compared",
            timed(&to, || ours = ours.max(anonymous(|| convert(&every)))),
        );
        add("convert: flushed only", timed(&to, || convert(&bare)));
        for (place, mmap) in ["False", "True"].into_iter().enumerate() {
            let Some(python) = &python else { continue };
            let mut times = Default::default();
            timed(&to, || times = torch(python, &from, &to, mmap));
            let names = [
                ["torch, not flushed", "torch, flushed"],
                ["torch mmap, not flushed", "torch mmap, flushed"],
            ];
            let [saved, synced] = names[place];
            add(saved, times.0);
            add(synced, times.1);
            theirs[place] = times.2;
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();

    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort();
        times[times.len() / 2]
    };
    let base = median(&rows[1].1).as_secs_f64();
    println!(
        "{TENSORS} tensors of {} MiB, median of {rounds}; ratio to the flushed copy",
        TENSOR_BYTES >> 20
    );
    for (name, times) in &rows {
        let time = median(times);
        println!(
            "  {name:36} {time:>8.2?}   {:.2}",
            time.as_secs_f64() / base
        );
    }
    println!(
        "  anonymous memory of the conversion: {ours} kB at most; torch resident: {theirs:?} kB"
    );
}
