//! Opens a GGUF file with weighbridge, candle-core and gguf-py in one run, and prints time, peak heap
//! and ratios.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- FILE.gguf [PYTHON]`, where PYTHON is
//! an interpreter that has the package `gguf`.

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

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("a GGUF file");
    let (ours, our_peak) = measure(21, || drop(weighbridge::open(&path).unwrap()));
    println!("weighbridge  {ours:>10.2?}  {our_peak:>12} bytes of heap");
    let (tokens, peak) = measure(21, || {
        let model = weighbridge::open(&path).unwrap();
        let tokens = model.metadata().get("tokenizer.ggml.tokens");
        let tokens = tokens.and_then(|tokens| tokens.as_array());
        let bytes: usize = tokens
            .into_iter()
            .flat_map(|tokens| tokens.strings().unwrap())
            .map(|token| token.as_bytes().len())
            .sum();
        std::hint::black_box(bytes);
    });
    println!("  + all tokens {tokens:>8.2?}  {peak:>12} bytes of heap");
    let (candle, candle_peak) = measure(5, || {
        let file = std::fs::File::open(&path).unwrap();
        // SAFETY: nobody writes to the file during the measurement.
        let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
        let content = candle_core::quantized::gguf_file::Content::read(&mut Cursor::new(&map[..]));
        drop(content.unwrap());
    });
    let ratio = candle.as_secs_f64() / ours.as_secs_f64();
    println!(
        "candle-core  {candle:>10.2?}  {candle_peak:>12} bytes of heap, {ratio:.1} times our time"
    );
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
