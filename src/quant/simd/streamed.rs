//! Slots whose values are stored past the cache, and sources that are asked for in time.

#![expect(
    unsafe_code,
    reason = "stores past the cache and hints to it have no safe form"
)]

use std::arch::x86_64::{__m128i, _MM_HINT_T0, _mm_prefetch, _mm_sfence, _mm_stream_si128};

use bytemuck::NoUninit;

use super::slot::Slot;
use crate::quant::output::{Kind, Output};

/// Eight or sixteen values that are stored past the cache. Their address is a multiple of 16.
#[repr(C, align(16))]
pub(super) struct Streamed<T, const LANES: usize>([T; LANES]);

impl<T: Output, const LANES: usize> Slot for Streamed<T, LANES> {
    const KIND: Kind = T::KIND;

    #[inline(always)]
    fn write<V: NoUninit>(&mut self, values: V) {
        let bytes = bytemuck::bytes_of(&values);
        assert_eq!(bytes.len(), size_of::<Self>());
        // Miri knows no store past the cache.
        if cfg!(miri) {
            return bytemuck::cast_slice_mut::<T, u8>(&mut self.0).copy_from_slice(bytes);
        }
        let lanes: *mut __m128i = std::ptr::from_mut(self).cast();
        for (at, lane) in bytes.as_chunks::<16>().0.iter().enumerate() {
            let lane = bytemuck::cast(*lane);
            // SAFETY: `lanes` points to `size_of::<Self>()` bytes borrowed exclusively, aligned to
            // 16 by the type; `at` counts the 16-byte parts of as many bytes. SSE2 is part of x86-64.
            // Nothing reads the bytes before the fence of `streamed`, which holds the borrow.
            unsafe { _mm_stream_si128(lanes.add(at), lane) }
        }
    }
}

/// Hands `out` to `fill` as slots past the cache, and waits until all stores have arrived. `false`
/// without a call if `out` is not aligned for that.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn streamed<T: Output, const LANES: usize>(
    out: &mut [T],
    fill: impl FnOnce(&mut [Streamed<T, LANES>]),
) -> bool {
    const { assert!(LANES == 8 || LANES == 16) };
    // SAFETY: `Streamed<T, LANES>` is `repr(C)` over `[T; LANES]`, whose size (16 to 64 bytes for the three
    // outputs) is a multiple of the alignment, so that it has no padding; every output type is plain data, every
    // bit pattern of which is a value.
    let (head, slots, tail) = unsafe { out.align_to_mut::<Streamed<T, LANES>>() };
    if !head.is_empty() || !tail.is_empty() {
        return false;
    }
    fill(slots);
    if cfg!(miri) {
        return true;
    }
    // Makes the stores visible in order with all that follow, on this thread and others.
    #[allow(unused_unsafe, reason = "a safe function in newer versions of Rust")]
    // SAFETY: asks for SSE, which is part of x86-64, and for nothing else.
    unsafe {
        _mm_sfence();
    }
    true
}

/// How many bytes ahead of a block the source is asked for: of 512, 1,024 and 2,048 the last was never slower.
const AHEAD: usize = 2048;

/// Asks for what will be decoded some blocks later. The processor does so by itself, but too late and to the end
/// of a page only; without, F16 and Q8_0 took a quarter longer.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn ask_ahead<const BYTES: usize>(block: &[u8; BYTES]) {
    for at in (0..BYTES).step_by(64) {
        let later = block.as_ptr().wrapping_add(AHEAD + at);
        #[allow(unused_unsafe, reason = "a safe function in newer versions of Rust")]
        // SAFETY: a hint. It reads nothing that a program could see and never faults, whatever the address.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(later.cast());
        }
    }
}
