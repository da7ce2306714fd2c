//! Memory that cannot be had while converting is an error, and leaves no file: each allocation of 48 KiB and more
//! fails once, for every kind of list that a conversion makes.
//!
//! A failure that the library does not expect aborts the process: each conversion has a process of its own.

#![allow(missing_docs, unreachable_pub, unsafe_code)]

#[path = "support/allocation.rs"]
mod allocation;
mod support;

use std::path::{Path, PathBuf};

use support::gguf::{Gguf, STRING};
use support::torch::{checkpoint, dict, int, pickle, storage, tensor, text};
use weighbridge::convert::{ConvertOptions, Converted, DTypePolicy, GgufWriter, OutputValue};
use weighbridge::{Checkpoint, DType, ErrorKind, Limits, OpenOptions, Result};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// As in `allocation_failure.rs`.
const LARGE: usize = 48 * 1024;

/// In the process of one conversion: its name.
const CHILD: &str = "WEIGHBRIDGE_FAILING_CONVERSION";

const MANY: usize = 1_200;

/// So long a shape is a list of 64 KiB.
const LONG_RANK: usize = 8_192;

fn name(at: usize) -> String {
    format!("model.layers.{at}.weight")
}

/// Many tensors, among them a large one, and long texts.
fn safetensors() -> Vec<u8> {
    let long = "v".repeat(60_000);
    let key = "k".repeat(50_000);
    tensors(&format!(r#""{key}":"{long}","format":"pt""#))
}

fn many() -> Vec<u8> {
    tensors(r#""format":"pt""#)
}

fn tensors(metadata: &str) -> Vec<u8> {
    const ROWS: usize = 300;
    let mut infos: Vec<String> = (0..MANY)
        .map(|at| {
            let (name, start, end) = (name(at), 4 * at, 4 * at + 4);
            format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let (start, end) = (4 * MANY, 4 * MANY + 4 * 256 * ROWS);
    infos.push(format!(
        r#""large":{{"dtype":"F32","shape":[{ROWS},256],"data_offsets":[{start},{end}]}}"#
    ));
    let header = format!(r#"{{"__metadata__":{{{metadata}}},{}}}"#, infos.join(","));
    support::safetensors::build(&header, &vec![0; end])
}

/// Many keys that do not fit another format, and texts and lists that do.
fn gguf() -> Vec<u8> {
    let mut file = Gguf::default();
    let text = |text: &[u8]| [&(text.len() as u64).to_le_bytes(), text].concat();
    for at in 0..MANY {
        file = file.tensor(&name(at), &[8], 0, &[0; 32]);
    }
    for at in 0..3 * MANY {
        file = file.pair_string(&format!("odd.{at}"), b"\xff");
    }
    let word = text(&[b'w'; 300]);
    file = file.pair_array("short", STRING, 200, &word.repeat(200));
    file = file.pair_array("long", STRING, 20_000, &text(b"abc").repeat(20_000));
    file = file.pair_string(&"k".repeat(50_000), b"value");
    file = file.pair_string(&"q".repeat(60_000), b"\xff");
    file.pair_string("text", &vec![b'a'; 200_000]).build()
}

/// A state dict of many views of one storage, most of them the same as another.
fn tied() -> Vec<u8> {
    let view = |offset| tensor(storage("FloatStorage", "0", 2), offset, &[1], &[1]);
    let mut pairs: Vec<_> = (0..4 * MANY)
        .map(|at| (text(&name(at)), view((at % 2) as i32)))
        .collect();
    let both = tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]);
    pairs.push((text("both"), both));
    checkpoint(&pickle(dict(&pairs)))
}

/// Tensors that share some bytes with another one.
fn overlapping() -> Vec<u8> {
    let count = 3 * MANY as i32;
    let storage = || storage("FloatStorage", "0", count + 2);
    let pairs: Vec<_> = (0..count)
        .map(|at| (text(&name(at as usize)), tensor(storage(), at, &[2], &[1])))
        .collect();
    let mut members = support::torch::members(&pickle(dict(&pairs)));
    let bytes = vec![0; 4 * (count as usize + 2)];
    members[1] = support::zip::entry("archive/data/0", &bytes);
    support::zip::Zip::of(members).build()
}

/// A shape that is a list of its own size, of a type that only companions can hold.
fn long_shape() -> Vec<u8> {
    let ones = vec![1; LONG_RANK];
    let rebuilt = |class: &str| tensor(storage(class, "0", 1), 0, &ones, &ones);
    let pickle = pickle(dict(&[
        (text("complex"), rebuilt("ComplexDoubleStorage")),
        (text("epoch"), int(3)),
    ]));
    let mut members = support::torch::members(&pickle);
    members[1] = support::zip::entry("archive/data/0", &[0; 16]);
    support::zip::Zip::of(members).build()
}

fn plain() -> ConvertOptions {
    ConvertOptions::new().overwrite(true).skip_absent(true)
}

type Work = fn(&Checkpoint, &Path) -> Result<Converted>;

fn to_safetensors(model: &Checkpoint, folder: &Path) -> Result<Converted> {
    plain().convert(model, folder.join("a.safetensors"), None)
}

fn to_companions(model: &Checkpoint, folder: &Path) -> Result<Converted> {
    let path = folder.join("a.safetensors");
    plain().companions(true).convert(model, path, None)
}

fn to_shards(model: &Checkpoint, folder: &Path) -> Result<Converted> {
    let path = folder.join("a.safetensors");
    plain().shard_bytes(Some(1)).convert(model, path, None)
}

fn to_half(model: &Checkpoint, folder: &Path) -> Result<Converted> {
    let path = folder.join("a.safetensors");
    plain().dtype(DTypePolicy::F16).convert(model, path, None)
}

fn to_gguf(model: &Checkpoint, folder: &Path) -> Result<Converted> {
    plain().convert(model, folder.join("a.gguf"), None)
}

fn to_quantized(model: &Checkpoint, folder: &Path) -> Result<Converted> {
    let options = plain().quantize(Some(DType::Q8_0));
    options.convert(model, folder.join("a.gguf"), None)
}

/// Parts whose elements lie apart.
fn columns(model: &Checkpoint, folder: &Path) -> Result<Converted> {
    let part = model.tensor("large")?.narrow(1, 1..)?;
    plain().convert_views(model, [part], folder.join("a.safetensors"), None)
}

/// A writer goes on after each error, and writes what it took.
fn by_hand(model: &Checkpoint, folder: &Path) -> Result<Converted> {
    static TEXTS: [&str; 20_000] = ["token"; 20_000];
    let mut writer = GgufWriter::new();
    let listed = writer.metadata("tokens", OutputValue::Strings(&TEXTS));
    if listed.is_err() {
        writer.metadata("tokens", OutputValue::Strings(&TEXTS))?;
    }
    for tensor in model.tensors() {
        writer.tensor(tensor, DType::F32)?;
    }
    let path = folder.join("a.gguf");
    writer.write(&path, None)?;
    let tokens = weighbridge::open(&path)?;
    let value = tokens.metadata().get("tokens").unwrap();
    assert_eq!(value.as_array().unwrap().len(), 20_000);
    listed.map(|()| Converted::default())
}

/// Its name, what is converted, and how.
type Case = (&'static str, fn() -> Vec<u8>, Work);

const CASES: &[Case] = &[
    ("safetensors again", safetensors, to_safetensors),
    ("shards", many, to_shards),
    ("half", safetensors, to_half),
    ("safetensors to gguf", safetensors, to_gguf),
    ("quantized", safetensors, to_quantized),
    ("columns", safetensors, columns),
    ("by hand", safetensors, by_hand),
    ("gguf again", gguf, to_gguf),
    ("gguf to safetensors", gguf, to_safetensors),
    ("tied", tied, to_safetensors),
    ("overlapping", overlapping, to_safetensors),
    ("long shape", long_shape, to_companions),
];

/// A file system in memory, where there is one: what the disk takes is not the question here.
fn folder() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let made = tempfile::tempdir_in(memory);
    made.or_else(|_| tempfile::tempdir()).unwrap()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

/// The process of one conversion.
#[test]
#[ignore = "started by the test below, for one conversion each"]
fn child() {
    let Some(wanted) = std::env::var_os(CHILD) else {
        return;
    };
    let (name, make, work) = CASES.iter().find(|(name, ..)| wanted == *name).unwrap();
    let mut limits = Limits::default();
    limits.rank = LONG_RANK as u64;
    let model = OpenOptions::new()
        .limits(limits)
        .from_bytes(make())
        .unwrap();
    let whole = folder();
    let expected = work(&model, whole.path()).unwrap();
    let mut failures = 0;
    loop {
        let folder = folder();
        let run = || work(&model, folder.path());
        let (result, failed) = allocation::failing(LARGE, failures, run);
        match result {
            Ok(converted) if !failed => {
                // Names of folders differ.
                assert_eq!(converted.files.len(), expected.files.len());
                assert_eq!(converted.aliases, expected.aliases);
                assert_eq!(converted.separated, expected.separated);
                assert_eq!(converted.left_out, expected.left_out);
                break;
            }
            Ok(_) => panic!("failure {failures} went unnoticed"),
            Err(error) => {
                assert!(failed, "{failures}: {error}");
                assert_eq!(error.kind(), ErrorKind::Io, "{failures}: {error}");
                let cause = std::error::Error::source(&error).unwrap();
                let cause = cause.downcast_ref::<std::io::Error>().unwrap();
                let kind = cause.kind();
                assert_eq!(kind, std::io::ErrorKind::OutOfMemory, "{error}");
                // The writer that goes on has written its file.
                assert!(is_empty(folder.path()) || *name == "by hand", "{failures}");
            }
        }
        failures += 1;
    }
    println!("{name}: {failures} failures");
    assert!(failures > 0);
}

#[test]
fn memory_that_cannot_be_had_while_converting_is_an_error() {
    support::children::check_all(CHILD, CASES.iter().map(|(name, ..)| *name));
}
