//! An allocator that counts, so that tests can bound what a file makes the library allocate, and that fails
//! on demand.

#![allow(dead_code, reason = "each test uses a part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);
static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// Allocations of this many bytes and more may fail.
static FAILING_FROM: AtomicUsize = AtomicUsize::new(usize::MAX);
/// How many of them were asked for, and which one fails.
static ASKED: AtomicUsize = AtomicUsize::new(0);
static FAILS: AtomicUsize = AtomicUsize::new(usize::MAX);

/// From here on the system's allocator maps blocks of their own (glibc's `M_MMAP_THRESHOLD`).
const LARGE: usize = 128 * 1024;

fn add(bytes: usize) {
    let now = NOW.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(now, Relaxed);
    CALLS.fetch_add(1, Relaxed);
    TOTAL.fetch_add(bytes, Relaxed);
}

fn fails(bytes: usize) -> bool {
    bytes >= FAILING_FROM.load(Relaxed) && ASKED.fetch_add(1, Relaxed) == FAILS.load(Relaxed)
}

// SAFETY: every call is handed to the system's allocator as it came; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails(layout.size()) {
            return std::ptr::null_mut();
        }
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
        if size > layout.size() && fails(size) {
            return std::ptr::null_mut();
        }
        // Large blocks move by remapping their pages: old and new never stand side by side.
        if layout.size() >= LARGE {
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

/// The most that `work` held at one time beyond what was held before.
pub fn peak(work: impl FnOnce()) -> usize {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    work();
    PEAK.load(Relaxed).saturating_sub(before)
}

/// How often `work` allocated, and how many bytes in all.
pub fn total(work: impl FnOnce()) -> (usize, usize) {
    let before = (CALLS.load(Relaxed), TOTAL.load(Relaxed));
    work();
    let after = (CALLS.load(Relaxed), TOTAL.load(Relaxed));
    (after.0 - before.0, after.1 - before.1)
}

/// Runs `work` while allocation number `place` of those of `least` bytes and more fails, counted from 0.
/// Says whether there were so many.
pub fn failing<T>(least: usize, place: usize, work: impl FnOnce() -> T) -> (T, bool) {
    ASKED.store(0, Relaxed);
    FAILS.store(place, Relaxed);
    FAILING_FROM.store(least, Relaxed);
    let result = work();
    FAILING_FROM.store(usize::MAX, Relaxed);
    (result, ASKED.load(Relaxed) > place)
}
