//! Conversions on a full disk, and in a process that is killed. Both need a Linux machine; the first one needs
//! the right to mount, and both take minutes:
//!
//! `cargo test --release --test convert_faults -- --ignored --test-threads 1 --nocapture`
//!
//! Last run 2026-11-24, Linux 6.18 (ext4, tmpfs): see `benches/README.md`.

#![cfg(target_os = "linux")]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use weighbridge::convert::ConvertOptions;
use weighbridge::{Checkpoint, ErrorKind};

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A safetensors file of several tensors, large and small.
fn model(bytes: usize, first: usize) -> Checkpoint {
    let values = first..first + bytes;
    let large: Vec<u8> = values.map(|at| (at % 251) as u8).collect();
    let view = |bytes: &[u8]| (vec![bytes.len()], bytes.to_vec());
    let tensors = [
        ("a", view(&large[..10])),
        ("b", view(&large)),
        ("c", view(&large[..bytes / 3])),
    ];
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        let dtype = safetensors::Dtype::U8;
        let view = safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes);
        (*name, view.unwrap())
    });
    Checkpoint::from_bytes(safetensors::serialize(views, None).unwrap()).unwrap()
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Every size of the disk, in steps of one page, from none to enough: with an old file and without.
#[test]
#[ignore = "mounts a file system"]
fn a_full_disk_leaves_the_old_file_or_none() {
    let model = model(60 << 10, 0);
    let mount = tempfile::tempdir().unwrap();
    let (mut full, mut done) = (0, 0);
    for sharded in [false, true] {
        for old in [false, true] {
            for pages in 1..40 {
                let size = format!("size={}", pages * 4096);
                let mounted = Command::new("mount")
                    .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
                    .arg(mount.path())
                    .status();
                assert!(mounted.unwrap().success());
                let _mounted = Mounted(mount.path().to_path_buf());
                let path = mount.path().join("model.safetensors");
                if old {
                    std::fs::write(&path, b"old").unwrap();
                }
                let before = names_in(mount.path());
                let options = ConvertOptions::new()
                    .overwrite(true)
                    .shard_bytes(sharded.then_some(30 << 10));
                match options.convert(&model, &path, None) {
                    Ok(converted) => {
                        let opened = weighbridge::open(converted.files.last().unwrap());
                        assert_eq!(opened.unwrap().len(), model.len());
                        done += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                        assert_eq!(names_in(mount.path()), before, "{pages} pages");
                        if old {
                            assert_eq!(std::fs::read(&path).unwrap(), b"old");
                        }
                        full += 1;
                    }
                }
            }
        }
    }
    println!("{full} conversions met a full disk, {done} had room");
    assert!(full > 60 && done > 20);
}

/// The process that is killed: converts again and again.
#[test]
#[ignore = "started by the test below"]
fn killed_process() {
    let Ok(path) = std::env::var("WEIGHBRIDGE_KILLED") else {
        return;
    };
    let model = model(16 << 20, 0);
    let mut options = ConvertOptions::new().overwrite(true);
    if std::env::var("WEIGHBRIDGE_KILLED_SHARDS").is_ok() {
        options = options.shard_bytes(Some(8 << 20));
    }
    loop {
        println!("start");
        options.convert(&model, &path, None).unwrap();
    }
}

/// Kills a converting process at 200 points spread over one conversion.
#[test]
#[ignore = "takes a minute"]
fn a_killed_process_leaves_the_old_file_or_the_new_one() {
    const POINTS: u32 = 200;
    let program = std::env::current_exe().unwrap();
    let (before, model) = (model(16 << 20, 1), model(16 << 20, 0));
    for sharded in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let (mut old, mut new, mut none, mut left) = (0, 0, 0, 0);
        let mut duration = Duration::from_millis(100);
        for point in 0..POINTS {
            for name in names_in(folder.path()) {
                std::fs::remove_file(folder.path().join(name)).unwrap();
            }
            let options = ConvertOptions::new()
                .verify(false)
                .shard_bytes(sharded.then_some(8 << 20));
            options.convert(&before, &path, None).unwrap();
            let mut command = Command::new(&program);
            command
                .args(["--ignored", "--exact", "killed_process", "--nocapture"])
                .env("WEIGHBRIDGE_KILLED", &path)
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            if sharded {
                command.env("WEIGHBRIDGE_KILLED_SHARDS", "1");
            }
            let mut child = command.spawn().unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut starts =
                lines.filter(|line| line.as_ref().is_ok_and(|line| line.ends_with("start")));
            starts.next().unwrap().unwrap();
            if point == 0 {
                // How long one conversion takes here.
                let start = Instant::now();
                starts.next().unwrap().unwrap();
                duration = start.elapsed();
            } else {
                std::thread::sleep(duration * (point + point / 4) / POINTS);
            }
            child.kill().unwrap();
            child.wait().unwrap();
            let names = names_in(folder.path());
            left += usize::from(names.iter().any(|name| name.starts_with(".weighbridge-")));
            let named = match sharded {
                false => path.clone(),
                true => path.with_file_name("model.safetensors.index.json"),
            };
            if !named.exists() {
                none += 1;
                continue;
            }
            let opened = weighbridge::open(&named).unwrap();
            assert_eq!(opened.len(), model.len());
            let equals = |model: &Checkpoint| {
                opened.tensors().all(|tensor| {
                    let source = model.tensor(tensor.name()).unwrap();
                    tensor.bytes().unwrap() == source.bytes().unwrap()
                })
            };
            // All of it is old, or all of it is new.
            match equals(&before) {
                true => old += 1,
                false => {
                    assert!(equals(&model));
                    new += 1;
                }
            }
        }
        println!(
            "sharded {sharded}: {old} old, {none} none, {new} new, {left} with a temporary file"
        );
        assert!(new > 0 && old > 0);
        if !sharded {
            assert_eq!(none, 0, "the old file vanished");
        }
        // The two system calls that replace a file cannot be one; see `src/convert/atomic.rs`.
        assert!(left <= 4, "{left} temporary files");
    }
}
