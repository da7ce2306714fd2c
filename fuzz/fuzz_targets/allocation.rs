//! One large allocation fails, or all from one on: an error, or the same result, never an abort. For opening,
//! scanning, parsing JSON, loading and copying tensors, and converting.
//!
//! Input: what kind of file, how often its part is repeated, which allocation fails, what is done with the
//! file. `SHOW_FAILED_ALLOCATIONS=1` prints where the allocation was asked for.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use weighbridge::convert::ConvertOptions;
use weighbridge::formats::json::Json;
use weighbridge::limits::Budget;
use weighbridge::{Checkpoint, ErrorKind, Limits, Result, Scanner};
use weighbridge_fuzz::builders::gguf::{F32, Gguf, STRING};
use weighbridge_fuzz::builders::tar;
use weighbridge_fuzz::builders::torch::{checkpoint, dict, int, pickle, storage, tensor, text};
use weighbridge_fuzz::builders::zip::{Zip, deflated, entry};
use weighbridge_fuzz::generate::Maker;
use weighbridge_fuzz::{files, heap, using};

#[global_allocator]
static ALLOCATOR: heap::Watched = heap::Watched;

/// What the library promises to survive: smaller allocations are those of a running program.
const LARGE_BYTES: usize = 64 << 10;

fuzz_target!(|data: &[u8]| {
    let mut maker = Maker::new(data);
    let kind = maker.below(10);
    let times = 1 << maker.below(13);
    let file: Arc<[u8]> = file(kind, times).into();
    let work = maker.below(6);
    let failing = maker.below(24);
    let after = maker.coin();
    let (whole, _) = heap::failing(LARGE_BYTES, usize::MAX, false, || run(&file, work));
    let (result, seen) = heap::failing(LARGE_BYTES, failing, after, || run(&file, work));
    match (whole, result) {
        (whole, Ok(result)) if seen <= failing => {
            assert_eq!(whole.expect("nothing failed"), result);
        }
        // What cannot be done with memory cannot be done without.
        (Err(whole), Err(error)) if whole.kind() == error.kind() => {}
        (_, Err(error)) if seen > failing => {
            let kinds = [
                ErrorKind::Io,
                ErrorKind::Limit,
                ErrorKind::Malformed,
                ErrorKind::Unsupported,
            ];
            assert!(kinds.contains(&error.kind()), "{error}");
        }
        _ => {}
    }
});

/// A right file in which one part is repeated.
fn file(kind: usize, times: usize) -> Vec<u8> {
    let name = |at: usize| format!("layers.{at}.weight");
    let view = || tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]);
    match kind {
        0 => {
            let tensors = (0..times).map(|at| {
                let (start, name) = (4 * at, name(at));
                let end = start + 4;
                format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[{start},{end}]}}")
            });
            let pairs = (0..times).map(|at| format!("\"key{at}\":\"value\""));
            let pairs: Vec<String> = pairs.collect();
            let metadata = format!("\"__metadata__\":{{{}}}", pairs.join(","));
            let items: Vec<String> = tensors.chain([metadata]).collect();
            let header = format!("{{{}}}", items.join(","));
            let length = (header.len() as u64).to_le_bytes();
            [&length, header.as_bytes(), &vec![0; 4 * times]].concat()
        }
        1 => {
            let mut file = Gguf::default().pair_string("general.architecture", b"llama");
            for at in 0..times {
                file = file.pair_string(&format!("key{at}"), b"value");
            }
            file.build()
        }
        2 => {
            let mut file = Gguf::default();
            for at in 0..times {
                file = file.tensor(&name(at), &[8], 0, &[0; 32]);
            }
            let strings: Vec<u8> = (0..times).flat_map(|_| file.string(b"token")).collect();
            let floats = vec![0; 4 * times];
            let file = file.pair_array("tokenizer.ggml.tokens", STRING, times as u64, &strings);
            file.pair_array("tokenizer.ggml.scores", F32, times as u64, &floats)
                .build()
        }
        3 => {
            let pairs: Vec<_> = (0..times).map(|at| (text(&name(at)), view())).collect();
            checkpoint(&pickle(dict(&pairs)))
        }
        4 => {
            let mut entries = vec![
                entry("a/data.pkl", &pickle(dict(&[]))),
                entry("a/version", b"3\n"),
            ];
            entries.extend((0..times).map(|at| entry(&format!("a/data/{at}"), &[0; 8])));
            Zip::of(entries).build()
        }
        5 => {
            let numbers: Vec<u8> = (0..times)
                .flat_map(|at| [int(at as i32), vec![0x94]].concat())
                .collect();
            pickle([b"](".to_vec(), numbers, b"e".to_vec()].concat())
        }
        6 => {
            let pattern: Vec<u8> = (0..16 * times).map(|at| (at * at / 7) as u8).collect();
            let pairs = [(
                text("x"),
                tensor(
                    storage("ByteStorage", "0", 16 * times as i32),
                    0,
                    &[times as i32, 16],
                    &[16, 1],
                ),
            )];
            Zip::of(vec![
                deflated("a/data.pkl", &pickle(dict(&pairs))),
                deflated("a/data/0", &pattern),
                entry("a/version", b"3\n"),
            ])
            .build()
        }
        7 => {
            let members: Vec<_> = (0..times).map(|at| tar::file(&name(at), b"text")).collect();
            tar::tar(&members)
        }
        8 => {
            let ones = vec![1; times];
            let pairs = [(
                text("x"),
                tensor(storage("FloatStorage", "0", 2), 0, &ones, &ones),
            )];
            checkpoint(&pickle(dict(&pairs)))
        }
        _ => {
            let items: Vec<String> = (0..times)
                .map(|at| format!("\"{}\":\"a.safetensors\"", name(at)))
                .collect();
            format!("{{\"weight_map\":{{{}}}}}", items.join(",")).into_bytes()
        }
    }
}

/// Does something with a file; gives a number that tells results apart.
fn run(file: &Arc<[u8]>, work: usize) -> Result<usize> {
    let options = using::options().limits(Limits::default());
    let open = || options.from_bytes(Arc::clone(file));
    match work {
        0 => open().map(|model| model.len()),
        1 => Ok(Scanner::new().bytes(file).findings.as_slice().len()),
        2 => convert(&open()?, "a.safetensors"),
        3 => convert(&open()?, "a.gguf"),
        4 => Json::parse(file, &mut Budget::default()).map(|json| json.root().items().count()),
        _ => read_all(&open()?),
    }
}

/// Writes the tensors that the format can hold.
fn convert(model: &Checkpoint, name: &str) -> Result<usize> {
    let options = ConvertOptions::new().overwrite(true).skip_absent(true);
    let path = files::folder().join(name);
    let converted = options.convert(model, path, None)?;
    Ok(converted.tensors + converted.aliases.len() + converted.left_out.len())
}

/// Loads, copies and decodes; what the caller provides is small.
fn read_all(model: &Checkpoint) -> Result<usize> {
    let mut bytes = 0;
    for tensor in model.tensors() {
        let loaded = tensor.load()?;
        bytes += loaded.bytes()?.len();
        if let [_, columns] = *tensor.shape() {
            let part = tensor.narrow(1, columns / 2..)?;
            part.for_each_chunk(|chunk| {
                bytes += chunk.len();
                Ok(())
            })?;
        }
    }
    Ok(bytes)
}
