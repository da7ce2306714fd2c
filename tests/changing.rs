//! Files that others change, shorten or exchange while they are used.
#![cfg(unix)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use weighbridge::{Access, Checkpoint, ErrorKind, OpenOptions};

const ROWS: usize = 1 << 16;
const SIGBUS: i32 = 7;
const JOB: &str = "WEIGHBRIDGE_CHILD";
const FILE: &str = "WEIGHBRIDGE_CHILD_FILE";

/// 4 MiB, every byte of the data `byte`.
fn content(byte: u8) -> Vec<u8> {
    let bytes = ROWS * 64;
    let header =
        format!(r#"{{"x":{{"dtype":"U8","shape":[{ROWS},64],"data_offsets":[0,{bytes}]}}}}"#);
    support::safetensors::build(&header, &vec![byte; bytes])
}

fn file(folder: &Path) -> PathBuf {
    let path = folder.join("model.safetensors");
    fs::write(&path, content(1)).unwrap();
    path
}

fn open(path: &Path, access: Access) -> weighbridge::Result<Checkpoint> {
    OpenOptions::new().access(access).open(path)
}

fn copied(model: &Checkpoint) -> weighbridge::Result<Vec<u8>> {
    let tensor = model.tensor("x")?;
    let mut bytes = vec![0; tensor.byte_length() as usize];
    tensor.copy_into(&mut bytes)?;
    Ok(bytes)
}

fn shorten(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(4096).unwrap();
}

#[test]
fn a_file_that_was_read_is_immune() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let model = open(&path, Access::Read).unwrap();
    let loaded = open(&path, Access::Map)
        .unwrap()
        .tensor("x")
        .unwrap()
        .load()
        .unwrap();
    fs::write(&path, content(2)).unwrap();
    shorten(&path);
    assert!(copied(&model).unwrap().iter().all(|&byte| byte == 1));
    assert!(loaded.bytes().unwrap().iter().all(|&byte| byte == 1));
}

#[test]
fn a_lazy_file_that_changed_is_an_error() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("shorter", shorten),
        ("longer", |path| {
            let mut file = File::options().append(true).open(path).unwrap();
            file.write_all(&[0]).unwrap();
        }),
        ("written", |path| {
            let file = File::options().write(true).open(path).unwrap();
            file.write_at(&[9], 1 << 20).unwrap();
            // A time of its own, for systems whose clock for files is coarse.
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }),
        ("emptied", |path| fs::write(path, []).unwrap()),
    ];
    for (what, change) in changes {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path());
        let model = open(&path, Access::Lazy).unwrap();
        assert!(copied(&model).is_ok());
        let kept = model.tensor("x").unwrap().load().unwrap();
        change(&path);
        let error = copied(&model).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{what}: {error}");
        assert_eq!(error.tensor(), Some("x"));
        assert!(model.tensor("x").unwrap().load().is_err());
        let rows = model.tensor("x").unwrap().narrow(0, ..1).unwrap();
        assert!(rows.load().is_err(), "{what}");
        assert!(kept.bytes().unwrap().iter().all(|&byte| byte == 1));
    }
    // Another file under its name is another file: what was opened stays.
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let model = open(&path, Access::Map).unwrap();
    fs::write(folder.path().join("new"), content(2)).unwrap();
    fs::rename(folder.path().join("new"), &path).unwrap();
    assert!(copied(&model).unwrap().iter().all(|&byte| byte == 1));
}

#[cfg(target_os = "linux")]
#[test]
fn prefetching_a_shortened_file_is_an_error_and_no_signal() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let model = open(&path, Access::Map).unwrap();
    let tensor = model.tensor("x").unwrap();
    tensor.prefetch().unwrap();
    shorten(&path);
    let error = tensor.prefetch().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.tensor(), Some("x"));
    assert!(error.offset().is_some_and(|offset| offset < 2 << 20));
    assert!(error.to_string().contains("shorter"), "{error}");
    // What is still there can be had.
    tensor.narrow(0, ..1).unwrap().prefetch().unwrap();
    fs::write(&path, content(3)).unwrap();
    tensor.prefetch().unwrap();
    assert!(copied(&model).unwrap().iter().all(|&byte| byte == 3));
}

/// This program again, to do one of the jobs of [`child`].
fn spawn(job: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(JOB, job)
        .env(FILE, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the other process does; nothing without a job.
#[test]
#[ignore = "the other process of the tests beside it"]
fn child() {
    let (Ok(job), Some(path)) = (std::env::var(JOB), std::env::var_os(FILE)) else {
        return;
    };
    let path = Path::new(&path);
    match &*job {
        // Shortens the file and makes it whole again, in place, until it is ended.
        "shorten" => loop {
            shorten(path);
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .write_all(&content(1))
                .unwrap();
        },
        "map" => {
            let model = open(path, Access::Map).unwrap();
            shorten(path);
            let _ = copied(&model);
        }
        "read" | "lazy" => {
            let access = if job == "read" {
                Access::Read
            } else {
                Access::Lazy
            };
            for _ in 0..rounds() {
                // A whole copy, or an error.
                if let Ok(bytes) = open(path, access).and_then(|model| copied(&model)) {
                    assert!(bytes.iter().all(|&byte| byte == 1));
                }
            }
        }
        _ => unreachable!("{job}"),
    }
}

fn rounds() -> usize {
    let asked = std::env::var("WEIGHBRIDGE_ROUNDS").ok();
    asked.map_or(50, |rounds| rounds.parse().unwrap())
}

/// What the documentation of `open` says: a mapping that was shortened ends the process with a signal.
#[cfg(target_os = "linux")]
#[test]
fn a_mapped_file_that_is_shortened_ends_the_process_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let status = spawn("map", &file(folder.path())).wait().unwrap();
    assert_eq!(status.signal(), Some(SIGBUS), "{status}");
}

#[test]
fn a_file_that_is_read_while_another_process_shortens_it_is_whole_or_an_error() {
    for access in ["read", "lazy"] {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path());
        let mut writer = spawn("shorten", &path);
        let status = spawn(access, &path).wait().unwrap();
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert!(status.success(), "{access}: {status}");
    }
}
