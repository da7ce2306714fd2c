//! An allocator that counts what is held, and can be told to fail.
//!
//! A target that uses it names it as its global allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// The system's allocator, counted.
pub struct Watched;

/// From here on the system's allocator maps blocks of their own, and remaps them to grow.
const REMAPPED_BYTES: usize = 128 * 1024;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Allocations of at least this many bytes are large; 0 while nothing fails.
static LARGE_BYTES: AtomicUsize = AtomicUsize::new(0);
static SEEN: AtomicUsize = AtomicUsize::new(0);
static FAILS: AtomicUsize = AtomicUsize::new(usize::MAX);
static FAILS_AFTER: AtomicBool = AtomicBool::new(false);

fn add(bytes: usize) {
    let now = NOW.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(now, Relaxed);
}

/// Whether an allocation has to fail.
fn fails(bytes: usize) -> bool {
    let large = LARGE_BYTES.load(Relaxed);
    if large == 0 || bytes < large {
        return false;
    }
    let seen = SEEN.fetch_add(1, Relaxed);
    let failing = FAILS.load(Relaxed);
    let fail = seen == failing || FAILS_AFTER.load(Relaxed) && seen > failing;
    if fail && std::env::var_os("SHOW_FAILED_ALLOCATIONS").is_some() {
        LARGE_BYTES.store(0, Relaxed);
        let trace = std::backtrace::Backtrace::force_capture();
        eprintln!("{bytes} bytes are refused here:\n{trace}");
        LARGE_BYTES.store(large, Relaxed);
    }
    fail
}

// SAFETY: every call is handed to the system's allocator as it came, or answered with null.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails(layout.size()) {
            return std::ptr::null_mut();
        }
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if fails(layout.size()) {
            return std::ptr::null_mut();
        }
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > layout.size() && fails(size) {
            return std::ptr::null_mut();
        }
        if layout.size() >= REMAPPED_BYTES {
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

/// What `work` gives, and the most bytes that it held at one time beyond what was held before.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    (result, PEAK.load(Relaxed).saturating_sub(before))
}

/// Does `work` while the large allocation number `failing` (from 0) fails, and all later ones if `after`.
/// Gives how many large allocations were asked for.
pub fn failing<T>(
    large_bytes: usize,
    failing: usize,
    after: bool,
    work: impl FnOnce() -> T,
) -> (T, usize) {
    SEEN.store(0, Relaxed);
    FAILS.store(failing, Relaxed);
    FAILS_AFTER.store(after, Relaxed);
    LARGE_BYTES.store(large_bytes, Relaxed);
    let result = work();
    LARGE_BYTES.store(0, Relaxed);
    (result, SEEN.load(Relaxed))
}
