//! Walks the pickle of a checkpoint of 10,000 tensors with weighbridge and its peers in one run, and prints
//! times, ratios, and the heap that each opcode costs.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml --bin pickle -- PYTHON`, where PYTHON is an
//! interpreter that has the package `torch`: it writes the file, and times CPython's C unpickler with
//! stubs on the same pickle.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use weighbridge::formats::pickle;
use weighbridge::limits::Budget;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Writes the checkpoint and its bare pickle; then times CPython's C unpickler on it. The pickle is the one
/// that this program has just written.
const PYTHON: &str = r#"
import io, pickle, pickletools, statistics, sys, time, zipfile
import torch
folder = sys.argv[1]
state = {f"model.layers.{i // 9}.block.{i % 9}.weight": torch.zeros(4, 4) for i in range(10_000)}
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
for _ in range(15):
    start = time.perf_counter()
    Unpickler(io.BytesIO(data)).load()
    times.append(time.perf_counter() - start)
print(sum(1 for _ in pickletools.genops(data)), statistics.median(times))
"#;

/// Median time of several runs, and the peak heap of one.
fn measure(rounds: usize, mut work: impl FnMut()) -> (Duration, usize) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    work();
    let peak = PEAK.load(Relaxed) - before;
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    (times[rounds / 2], peak)
}

fn main() {
    let python = std::env::args().nth(1).expect("PYTHON");
    let folder = std::env::temp_dir().join("weighbridge-bench-pickle");
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let output = Command::new(python)
        .args(["-c", PYTHON])
        .arg(&folder)
        .output()
        .expect("Python runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut numbers = text.split_whitespace();
    let opcodes: usize = numbers
        .next()
        .and_then(|it| it.parse().ok())
        .expect("opcodes");
    let cpython: f64 = numbers
        .next()
        .and_then(|it| it.parse().ok())
        .expect("seconds");
    let data = std::fs::read(folder.join("data.pkl")).expect("data.pkl");
    println!("{opcodes} opcodes, {} bytes", data.len());

    let (walk, heap) = measure(31, || {
        pickle::walk(&data, 0, &mut (), &mut Budget::default()).expect("a pickle");
    });
    println!(
        "heap of a walk: {heap} bytes, {:.1} per opcode",
        heap as f64 / opcodes as f64
    );
    let ratio = |what: &str, time: Duration| {
        let per = time.as_secs_f64() * 1e9 / opcodes as f64;
        let times = time.as_secs_f64() / walk.as_secs_f64();
        println!(
            "{what:48} {:8.2} ms {per:7.1} ns/opcode {times:6.1}",
            time.as_secs_f64() * 1e3
        );
    };
    ratio("weighbridge walk", walk);
    ratio(
        "CPython C unpickler with stubs",
        Duration::from_secs_f64(cpython),
    );
    let path = folder.join("model.pt");
    ratio(
        "weighbridge open of the archive",
        measure(15, || ours(&path)).0,
    );
    ratio(
        "candle-core 0.11.1 read_pth_tensor_info",
        measure(5, || candle(&path)).0,
    );
    ratio("pytorch-reader 0.22.1 open", measure(5, || reader(&path)).0);
}

fn ours(path: &Path) {
    assert_eq!(weighbridge::open(path).expect("opens").len(), 10_000);
}

fn candle(path: &Path) {
    let tensors = candle_core::pickle::read_pth_tensor_info(path, false, None).expect("opens");
    assert_eq!(tensors.len(), 10_000);
}

fn reader(path: &Path) {
    let tensors = pytorch_reader::PytorchReader::new(path).expect("opens");
    assert_eq!(tensors.keys().len(), 10_000);
}
