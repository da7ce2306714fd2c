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
const ROUNDS: &str = "WEIGHBRIDGE_CHILD_ROUNDS";

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
    let error = tensor.load().unwrap_err();
    assert_eq!((error.kind(), error.tensor()), (ErrorKind::Io, Some("x")));
    // What is still there can be had.
    tensor.narrow(0, ..1).unwrap().prefetch().unwrap();
    fs::write(&path, content(3)).unwrap();
    tensor.prefetch().unwrap();
    assert!(copied(&model).unwrap().iter().all(|&byte| byte == 3));
}

/// This program again, to do one of the jobs of [`child`].
fn job(job: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(JOB, job)
        .env(FILE, path);
    command
}

fn spawn(name: &str, path: &Path) -> Child {
    let mut command = job(name, path);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
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
        "shorten" => shorten_again_and_again(path),
        "read" => read_again_and_again(path, Access::Read),
        "lazy" => read_again_and_again(path, Access::Lazy),
        _ => use_shortened(&job, path),
    }
}

/// Shortens the file, also into its header, and makes it whole again, in place, until this process is ended.
fn shorten_again_and_again(path: &Path) {
    let whole = content(1);
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut read = vec![0; whole.len()];
    for length in [4096, 0, 100, 2 << 20].into_iter().cycle() {
        file.set_len(length).unwrap();
        file.write_all_at(&whole, 0).unwrap();
        // It stays whole for as long as some readers take.
        for _ in 0..64 {
            file.read_exact_at(&mut read, 0).unwrap();
        }
    }
}

/// A whole copy or an error, as often as is asked for.
fn read_again_and_again(path: &Path, access: Access) {
    let whole = vec![1; ROWS * 64];
    let (mut copies, mut errors) = (0, 0);
    for _ in 0..rounds() {
        match open(path, access).and_then(|model| copied(&model)) {
            Ok(bytes) => {
                assert!(bytes == whole, "a mixture");
                copies += 1;
            }
            Err(_) => errors += 1,
        }
    }
    println!("{access:?}: {copies} whole copies, {errors} errors");
}

/// Uses a mapped tensor whose file was shortened; the caller sees whether this process survived.
fn use_shortened(job: &str, path: &Path) {
    let model = open(path, Access::Map).unwrap();
    let tensor = model.tensor("x").unwrap();
    let first = tensor.narrow(0, ..1).unwrap();
    shorten(path);
    let mut values = vec![0.0_f32; tensor.elements()];
    match job {
        "bytes" => assert_eq!(tensor.bytes().unwrap().iter().max(), Some(&1)),
        "copy" => drop(copied(&model)),
        "decode" => drop(tensor.dequantize_into(&mut values)),
        "check" => drop(tensor.validate()),
        "prefetch" => assert!(tensor.prefetch().is_err()),
        "load" => assert!(tensor.load().is_err()),
        // What is still there: the index, and the rows before the cut.
        "index" => assert_eq!((model.len(), tensor.shape()), (1, &[ROWS, 64][..])),
        "rows" => assert_eq!(first.load().unwrap().bytes().unwrap(), [1; 64]),
        _ => unreachable!("{job}"),
    }
}

fn rounds() -> usize {
    std::env::var(ROUNDS).unwrap().parse().unwrap()
}

/// What the documentation says: what touches the missing part of a mapping ends the process with a signal;
/// what brings it into memory first is an error; what does not touch it does not notice.
#[cfg(target_os = "linux")]
#[test]
fn a_mapped_file_that_is_shortened_is_a_signal_or_an_error_as_documented() {
    for (job, signal) in [
        ("bytes", Some(SIGBUS)),
        ("copy", Some(SIGBUS)),
        ("decode", Some(SIGBUS)),
        ("check", Some(SIGBUS)),
        ("prefetch", None),
        ("load", None),
        ("index", None),
        ("rows", None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let status = spawn(job, &file(folder.path())).wait().unwrap();
        assert_eq!(status.signal(), signal, "{job}: {status}");
        assert!(signal.is_some() || status.success(), "{job}: {status}");
    }
}

/// What others do to a mapped file shows, or not, and is no error.
#[cfg(target_os = "linux")]
#[test]
fn a_mapping_shows_what_is_written_and_keeps_what_is_replaced() {
    let bytes = |model: &Checkpoint| model.tensor("x").unwrap().bytes().unwrap()[1 << 20];
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let model = open(&path, Access::Map).unwrap();
    assert_eq!(bytes(&model), 1);
    let written = File::options().write(true).open(&path).unwrap();
    written.write_all_at(&content(2), 0).unwrap();
    assert_eq!(bytes(&model), 2);
    // Cut and grown again: what was cut is zeros.
    shorten(&path);
    written.set_len(content(2).len() as u64).unwrap();
    assert_eq!(bytes(&model), 0);
    let kept = open(&path, Access::Map).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, content(3)).unwrap();
    assert_eq!((bytes(&model), bytes(&kept)), (0, 0));
    assert!(kept.tensor("x").unwrap().load().is_ok());
}

/// Reads a file while another process cuts it and makes it whole again; gives what the reader says of it.
fn race(access: &str, rounds: usize) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let mut writer = spawn("shorten", &path);
    let reader = job(access, &path)
        .env(ROUNDS, rounds.to_string())
        .output()
        .unwrap();
    writer.kill().unwrap();
    writer.wait().unwrap();
    let said = String::from_utf8_lossy(&reader.stdout).into_owned();
    assert!(
        reader.status.success(),
        "{access}: {} {said}",
        reader.status
    );
    let mut lines = said.lines();
    let said = lines.find(|line| line.contains("whole copies"));
    said.unwrap().to_owned()
}

#[test]
fn a_file_that_is_read_while_another_process_shortens_it_is_whole_or_an_error() {
    race("read", 50);
    race("lazy", 50);
}

#[test]
#[ignore = "minutes"]
fn ten_thousand_races_never_signal() {
    for access in ["read", "lazy"] {
        println!("{}", race(access, 10_000));
    }
}
