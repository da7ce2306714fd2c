//! Opens a GGUF file with weighbridge, llama.cpp, candle-core, ggus and gguf-py in one run, and prints time, peak
//! heap and ratios.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- [FILE.gguf [PYTHON]]`, where PYTHON is an
//! interpreter that has the package `gguf`. Without a file one is made: 1,000 tensors, a vocabulary of 262,144 tokens
//! and as many merges. llama.cpp's reader is compiled as `llama` says; what C++ allocates is not counted.

mod ggml;
#[path = "../../common/headers.rs"]
mod headers;
mod llama;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

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

/// The file of the mark G1, in the folder for temporary files.
fn made() -> String {
    let (_, tensors, tokens, merges) = headers::GGUF_FILES[2];
    let path = std::env::temp_dir().join("weighbridge-peers.gguf");
    std::fs::write(&path, headers::gguf_file(tensors, tokens, merges)).unwrap();
    path.into_os_string().into_string().unwrap()
}

fn mapped(path: &str) -> memmap2::Mmap {
    let file = std::fs::File::open(path).unwrap();
    // SAFETY: nobody writes to the file during the measurement.
    unsafe { memmap2::Mmap::map(&file) }.unwrap()
}

fn string_arrays(model: &weighbridge::Checkpoint) -> impl Iterator<Item = weighbridge::Array<'_>> {
    let arrays = model.metadata().iter();
    arrays
        .filter_map(|(_, value)| value.as_array())
        .filter(|array| array.value_type() == weighbridge::ValueType::String)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(made);
    let (ours, our_peak) = measure(21, || drop(weighbridge::open(&path).unwrap()));
    let print = |name: &str, (time, peak): (Duration, usize)| {
        let ratio = time.as_secs_f64() / ours.as_secs_f64();
        println!("{name:<28} {time:>10.2?}  {peak:>12} bytes of heap, {ratio:.1} times our time");
    };
    print("weighbridge", (ours, our_peak));
    let checked = || {
        let model = weighbridge::open(&path).unwrap();
        string_arrays(&model).for_each(|array| array.check_utf8().unwrap());
    };
    print("  + UTF-8 of all strings", measure(21, checked));
    let read = || {
        let model = weighbridge::open(&path).unwrap();
        let strings = string_arrays(&model).flat_map(|array| array.strings().unwrap());
        std::hint::black_box(strings.map(|text| text.as_bytes().len()).sum::<usize>());
    };
    print("  + every string", measure(21, read));
    let llama = llama::Llama::build();
    print("llama.cpp", measure(5, || llama.open(&path)));
    let candle = || {
        let map = mapped(&path);
        let content = candle_core::quantized::gguf_file::Content::read(&mut Cursor::new(&map[..]));
        drop(content.unwrap());
    };
    print("candle-core", measure(5, candle));
    let ggus = || drop(ggus::GGuf::new(&mapped(&path)).unwrap());
    print("ggus", measure(5, ggus));
    if let Some(python) = arguments.next() {
        let script = "import sys,time,resource\nfrom gguf import GGUFReader\n\
            before=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nstart=time.perf_counter()\n\
            GGUFReader(sys.argv[1])\nprint(time.perf_counter()-start,\
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss-before)";
        let output = std::process::Command::new(python)
            .args(["-c", script, &path])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let mut numbers = text.split_whitespace();
        let seconds: f64 = numbers
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(f64::NAN);
        let kilobytes = numbers.next().unwrap_or("?");
        let ratio = seconds / ours.as_secs_f64();
        println!(
            "gguf-py      {seconds:>9.2}s  {kilobytes:>9} kB resident, {ratio:.0} times our time"
        );
    }
}
