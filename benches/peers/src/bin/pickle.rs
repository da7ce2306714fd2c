//! Opens checkpoints of 1,000, 10,000 and 100,000 tensors of 64 bytes with weighbridge and its peers in one
//! run, and prints times, ratios and peak heap; walks their pickles beside CPython's C unpickler.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml --bin pickle -- PYTHON`, where PYTHON is an
//! interpreter that has the package `torch`: it writes the files, times `torch.load`, and times CPython's C
//! unpickler with stubs on the same pickles.
//!
//! *First* is the first open of a new process, *warm* the median of several in one process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use weighbridge::formats::pickle;
use weighbridge::limits::Budget;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    let now = NOW.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(now, Relaxed);
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // As the system does it: large blocks move by remapping, old and new never stand side by side.
        if layout.size() >= 128 * 1024 {
            NOW.fetch_sub(layout.size(), Relaxed);
            add(size);
        } else {
            add(size);
            NOW.fetch_sub(layout.size(), Relaxed);
        }
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Writes a checkpoint and its bare pickle; then times CPython's C unpickler on it. The pickle is the one
/// that this program has just written.
const WRITE: &str = r#"
import io, pickle, pickletools, statistics, sys, time, zipfile
import torch
folder, count = sys.argv[1], int(sys.argv[2])
state = {f"model.layers.{i // 9}.block.{i % 9}.weight": torch.zeros(4, 4) for i in range(count)}
torch.save(state, folder + "/model.pt")
data = zipfile.ZipFile(folder + "/model.pt").read("model/data.pkl")
open(folder + "/data.pkl", "wb").write(data)
class Stub:
    def __new__(cls, *arguments): return object.__new__(cls)
    def __init__(self, *arguments): pass
    def __setstate__(self, state): pass
class Unpickler(pickle.Unpickler):
    def find_class(self, module, name): return Stub
    def persistent_load(self, pid): return None
times = []
for _ in range(5):
    start = time.perf_counter()
    Unpickler(io.BytesIO(data)).load()
    times.append(time.perf_counter() - start)
print(sum(1 for _ in pickletools.genops(data)), statistics.median(times))
"#;

/// Times the first `torch.load` of a process, without the import of torch.
const LOAD: &str = r#"
import sys, time
import torch
start = time.perf_counter()
torch.load(sys.argv[1], weights_only=True, mmap=True)
print(time.perf_counter() - start)
"#;

type Opener = (&'static str, fn(&Path) -> Result<usize, String>);

const OPENERS: &[Opener] = &[
    ("weighbridge open", |path| {
        let model = weighbridge::open(path).map_err(|error| error.to_string())?;
        Ok(model.len())
    }),
    ("candle-core 0.11.1 read_pth_tensor_info", |path| {
        let tensors = candle_core::pickle::read_pth_tensor_info(path, false, None);
        Ok(tensors.map_err(|error| error.to_string())?.len())
    }),
    ("pytorch-reader 0.22.1 open", |path| {
        let tensors = pytorch_reader::PytorchReader::new(path);
        let tensors = tensors.map_err(|error| error.to_string())?;
        Ok(tensors.keys().len())
    }),
];

/// Median seconds of several runs after the first, and the peak heap of the last.
fn measure(rounds: usize, mut work: impl FnMut()) -> (f64, usize) {
    work();
    let mut peak = 0;
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let before = NOW.load(Relaxed);
            PEAK.store(before, Relaxed);
            let start = Instant::now();
            work();
            let time = start.elapsed().as_secs_f64();
            peak = PEAK.load(Relaxed) - before;
            time
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[rounds / 2], peak)
}

/// What a program prints, as numbers.
fn numbers(command: &mut Command) -> Vec<f64> {
    let output = command.output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let words = text.split_whitespace();
    words.map(|word| word.parse().expect("a number")).collect()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let python = arguments.next().expect("PYTHON");
    if python == "first" {
        let place: usize = arguments.next().expect("PLACE").parse().expect("a number");
        let path = arguments.next().expect("PATH");
        let start = Instant::now();
        let opened = OPENERS[place].1(path.as_ref());
        let time = start.elapsed().as_secs_f64();
        return println!("{}", opened.map_or(f64::NAN, |_| time));
    }
    let folder = std::env::temp_dir().join("weighbridge-bench-pickle");
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    for count in [1_000, 10_000, 100_000] {
        sizes(&python, &folder, count);
    }
}

fn sizes(python: &str, folder: &Path, count: usize) {
    let mut write = Command::new(python);
    write.args(["-c", WRITE]).arg(folder).arg(count.to_string());
    let &[opcodes, cpython] = numbers(&mut write).as_slice() else {
        panic!("opcodes and seconds");
    };
    let path = folder.join("model.pt");
    let data = std::fs::read(folder.join("data.pkl")).expect("data.pkl");
    let file = std::fs::metadata(&path).expect("model.pt").len() as f64;
    println!(
        "{count} tensors: {file} bytes, of which {} are a pickle of {opcodes} opcodes",
        data.len()
    );

    let rounds = (300_000 / count).clamp(3, 31) | 1;
    let (walk, heap) = measure(rounds, || {
        pickle::walk(&data, 0, &mut (), &mut Budget::default()).expect("a pickle");
    });
    let row = |what: &str, time: f64, ours: f64, heap: Option<usize>| {
        let heap = heap.map_or_else(String::new, |heap| {
            format!(
                "{:9.2} MB of heap, {:5.2} of the file",
                heap as f64 / 1e6,
                heap as f64 / file
            )
        });
        println!(
            "  {what:42} {:9.2} ms {:7.1} {heap}",
            time * 1e3,
            time / ours
        );
    };
    let speed = data.len() as f64 / walk / 1e9;
    println!(
        "  walk alone: {speed:.3} GB/s, {:.1} ns and {:.1} bytes of heap per opcode",
        walk * 1e9 / opcodes,
        heap as f64 / opcodes
    );
    row("weighbridge walk", walk, walk, Some(heap));
    row("CPython C unpickler with stubs", cpython, walk, None);

    let mut ours = f64::NAN;
    for (name, open) in OPENERS {
        let slow = !name.starts_with("weighbridge");
        let rounds = if slow { 3 } else { rounds };
        match open(&path) {
            Err(error) => println!("  {name:42} refuses it: {error}"),
            Ok(opened) => {
                assert_eq!(opened, count);
                let (time, heap) = measure(rounds, || drop(open(&path)));
                ours = if slow { ours } else { time };
                row(&format!("{name}, warm"), time, ours, Some(heap));
            }
        }
    }
    let program = std::env::current_exe().expect("this program");
    let mut ours = f64::NAN;
    for (place, (name, _)) in OPENERS.iter().enumerate() {
        let mut times: Vec<f64> = (0..5)
            .filter_map(|_| {
                let mut first = Command::new(&program);
                first.args(["first", &place.to_string()]).arg(&path);
                numbers(&mut first).first().copied()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        ours = if place == 0 { times[2] } else { ours };
        row(&format!("{name}, first"), times[2], ours, None);
    }
    let mut load = Command::new(python);
    let load = numbers(load.args(["-c", LOAD]).arg(&path));
    row("torch.load(weights_only, mmap), first", load[0], ours, None);
}
