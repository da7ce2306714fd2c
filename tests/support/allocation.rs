//! An allocator that counts while it is asked to, and fails on demand, so that tests can bound what a file
//! makes the library allocate, and benchmarks can say it.

#![allow(dead_code, reason = "each test uses a part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::Relaxed};

pub struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static NOW: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// Allocations of this many bytes and more may fail.
static FAILING_FROM: AtomicUsize = AtomicUsize::new(usize::MAX);
/// How many of them were asked for, and which one fails.
static ASKED: AtomicUsize = AtomicUsize::new(0);
static FAILS: AtomicUsize = AtomicUsize::new(usize::MAX);

/// From here on the system's allocator maps blocks of their own (glibc's `M_MMAP_THRESHOLD`).
const LARGE: usize = 128 * 1024;

fn add(bytes: usize) {
    let now = NOW.fetch_add(bytes as isize, Relaxed) + bytes as isize;
    PEAK.fetch_max(now, Relaxed);
    ALLOCATIONS.fetch_add(1, Relaxed);
    TOTAL.fetch_add(bytes, Relaxed);
}

fn remove(bytes: usize) {
    NOW.fetch_sub(bytes as isize, Relaxed);
}

fn fails(bytes: usize) -> bool {
    bytes >= FAILING_FROM.load(Relaxed) && ASKED.fetch_add(1, Relaxed) == FAILS.load(Relaxed)
}

// SAFETY: every call is handed to the system's allocator as it came, or fails as one may; only numbers are kept
// beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails(layout.size()) {
            return std::ptr::null_mut();
        }
        if ON.load(Relaxed) {
            add(layout.size());
        }
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if ON.load(Relaxed) {
            remove(layout.size());
        }
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > layout.size() && fails(size) {
            return std::ptr::null_mut();
        }
        if ON.load(Relaxed) {
            // Large blocks move by remapping their pages: old and new never stand side by side.
            if layout.size() >= LARGE {
                remove(layout.size());
                add(size);
            } else {
                add(size);
                remove(layout.size());
            }
        }
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What some work asked of the allocator.
pub struct Heap {
    /// The most bytes held at one time beyond what was held before.
    pub peak: usize,
    /// How many times memory was asked for, growing in place included.
    pub allocations: usize,
    /// How many bytes were asked for in all.
    pub total: usize,
}

/// What `work` asks of the allocator.
pub fn heap(work: impl FnOnce()) -> Heap {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    ALLOCATIONS.store(0, Relaxed);
    TOTAL.store(0, Relaxed);
    ON.store(true, Relaxed);
    work();
    ON.store(false, Relaxed);
    Heap {
        peak: usize::try_from(PEAK.load(Relaxed) - before).unwrap_or(0),
        allocations: ALLOCATIONS.load(Relaxed),
        total: TOTAL.load(Relaxed),
    }
}

/// The most that `work` held at one time beyond what was held before.
pub fn peak(work: impl FnOnce()) -> usize {
    heap(work).peak
}

/// How often `work` allocated, and how many bytes in all.
pub fn total(work: impl FnOnce()) -> (usize, usize) {
    let heap = heap(work);
    (heap.allocations, heap.total)
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
