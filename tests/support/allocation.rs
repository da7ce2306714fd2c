//! An allocator that counts while it is asked to, so that tests can bound what a file makes the library
//! allocate, and benchmarks can say it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::Relaxed};

pub struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static NOW: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// From here on the system's allocator maps blocks of their own (glibc's `M_MMAP_THRESHOLD`).
const LARGE: usize = 128 * 1024;

fn add(bytes: usize) {
    let bytes = bytes as isize;
    let now = NOW.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(now, Relaxed);
    ALLOCATIONS.fetch_add(1, Relaxed);
}

fn remove(bytes: usize) {
    NOW.fetch_sub(bytes as isize, Relaxed);
}

// SAFETY: every call is handed to the system's allocator as it came; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
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
#[allow(dead_code)]
pub struct Heap {
    /// The most bytes held at one time beyond what was held before.
    pub peak: usize,
    /// How many times memory was asked for, growing in place included.
    pub allocations: usize,
}

/// What `work` asks of the allocator.
pub fn heap(work: impl FnOnce()) -> Heap {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    ALLOCATIONS.store(0, Relaxed);
    ON.store(true, Relaxed);
    work();
    ON.store(false, Relaxed);
    Heap {
        peak: usize::try_from(PEAK.load(Relaxed) - before).unwrap_or(0),
        allocations: ALLOCATIONS.load(Relaxed),
    }
}

/// The most that `work` held at one time beyond what was held before.
#[allow(dead_code)]
pub fn peak(work: impl FnOnce()) -> usize {
    heap(work).peak
}
