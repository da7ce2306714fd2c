//! Kernels for one instruction set each, chosen at run time.
//!
//! The scalar files of [`crate::quant`] are the truth; a kernel gives the same bits, faster. One folder
//! per instruction set, one file per type, one row per kernel in the table of the folder's `mod.rs`. The
//! table drives the choice at run time, the tests (every kernel beside its scalar code) and the
//! benchmarks.
//!
//! A kernel is a safe function with `#[target_feature]`: the features it is compiled for are pinned,
//! so that a build for a newer processor cannot change its code. `unsafe` stands in two files: here, for
//! the call after the processor was asked, and in `streamed.rs`, for stores past the cache and hints to it.

#![cfg_attr(
    not(any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_endian = "little")
    )),
    allow(dead_code, reason = "the other instruction sets have no kernel")
)]
#![expect(unsafe_code, reason = "the call into a kernel after the CPU check")]

/// The table: each type with its module, or, for types without blocks, its function in `plain` and the
/// bytes of a run of 32; `lanes` values are stored at a time. Each instruction set says with a `row!` of its own how
/// a kernel is called.
#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little")
))]
macro_rules! kernels {
    (
        lanes $lanes:literal
        blocks { $($dtype:ident $module:ident,)* }
        elements { $($plain:ident $function:ident $bytes:literal,)* }
    ) => {
        $(pub(super) mod $module;)*

        /// The row of `dtype`.
        #[inline]
        pub(super) fn kernel(dtype: DType) -> Option<&'static Kernel> {
            match dtype {
                // Blocks leave no tail: the slices hold whole ones.
                $(DType::$dtype => row!($module::decode, |_: &[u8], _: &mut [T]| ()),)*
                $(DType::$plain => row!(plain::$function, |bytes: &[u8], out: &mut [T]| {
                    slot::tail::<T, $bytes, $lanes, { slot::RUN / $lanes }>(bytes, out, |run, out| {
                        plain::$function(run, out);
                    });
                }),)*
                _ => None,
            }
        }
    };
}

/// What a `row!` of x86-64 gives: the loops around `decode`, compiled for `features`, in each output and
/// both ways of storing.
#[cfg(target_arch = "x86_64")]
macro_rules! x86_row {
    ($isa:expr, $features:literal, $lanes:literal, $decode:path, $tail:expr) => {{
        #[target_feature(enable = $features)]
        fn cached<T: Output>(bytes: &[u8], out: &mut [T]) {
            let (outs, _) = out.as_chunks_mut::<$lanes>().0.as_chunks_mut();
            for (block, out) in bytes.as_chunks().0.iter().zip(outs) {
                streamed::ask_ahead(block);
                $decode(block, out);
            }
            tail(bytes, out);
        }
        #[target_feature(enable = $features)]
        fn streamed<T: Output>(bytes: &[u8], out: &mut [T]) {
            let whole = out.len() / slot::RUN * slot::RUN;
            let done = streamed::streamed::<T, $lanes>(&mut out[..whole], |slots| {
                let (outs, _) = slots.as_chunks_mut();
                for (block, out) in bytes.as_chunks().0.iter().zip(outs) {
                    streamed::ask_ahead(block);
                    $decode(block, out);
                }
            });
            match done {
                true => tail(bytes, out),
                false => cached(bytes, out),
            }
        }
        #[target_feature(enable = $features)]
        fn tail<T: Output>(bytes: &[u8], out: &mut [T]) {
            $tail(bytes, out);
        }
        static ROW: Kernel = Kernel {
            isa: $isa,
            f32: Entry {
                cached: cached::<f32>,
                streamed: streamed::<f32>,
            },
            f16: Entry {
                cached: cached::<half::f16>,
                streamed: streamed::<half::f16>,
            },
            bf16: Entry {
                cached: cached::<half::bf16>,
                streamed: streamed::<half::bf16>,
            },
        };
        Some(&ROW)
    }};
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
mod slot;
#[cfg(target_arch = "x86_64")]
mod sse2;
#[cfg(target_arch = "x86_64")]
mod streamed;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

use half::{bf16, f16};

use super::output::{Kind, Output};
use crate::dtype::DType;

/// An instruction set that kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isa {
    /// AVX-512 with the parts that came last: Intel's servers since Sapphire Rapids, AMD's since Zen 4.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 with F16C and FMA: every x86-64 server since 2015.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// SSE2, a part of x86-64.
    #[cfg(target_arch = "x86_64")]
    Sse2,
    /// Advanced SIMD, which every 64-bit Arm processor has unless its makers left out floating point.
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Neon,
}

impl Isa {
    /// Whether this build uses it: `RUSTFLAGS="--cfg weighbridge_scalar"` measures, and tests, the code of
    /// processors that have none of them, `"--cfg weighbridge_baseline"` that of processors which have but
    /// what their architecture is never without, `"--cfg weighbridge_avx2"` that of processors without AVX-512.
    #[inline]
    const fn is_wanted(self) -> bool {
        let left_out = match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => cfg!(any(weighbridge_baseline, weighbridge_avx2)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => cfg!(weighbridge_baseline),
            #[allow(unreachable_patterns, reason = "some processors have no kernels")]
            _ => false,
        };
        !cfg!(weighbridge_scalar) && !left_out
    }

    /// Whether this processor has it. The answer is cached by the standard library.
    #[inline]
    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                static ALL_PARTS: OnceLock<bool> = OnceLock::new();
                *ALL_PARTS.get_or_init(|| {
                    is_x86_feature_detected!("avx512f")
                        && is_x86_feature_detected!("avx512bw")
                        && is_x86_feature_detected!("avx512vl")
                        && is_x86_feature_detected!("avx512vbmi")
                        && is_x86_feature_detected!("avx512bf16")
                        && is_x86_feature_detected!("bmi2")
                        // What the kernels of AVX2 are compiled for, whose helpers they call.
                        && is_x86_feature_detected!("avx2")
                        && is_x86_feature_detected!("f16c")
                        && is_x86_feature_detected!("fma")
                })
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("f16c")
                    && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Sse2 => true,
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
        }
    }
}

/// Decodes as many whole blocks as both slices hold. Unsafe to call on a processor that lacks the
/// instruction set of its row.
type Decode<T> = unsafe fn(&[u8], &mut [T]);

/// A kernel for one output type.
pub(super) struct Entry<T> {
    /// Stores as usual.
    cached: Decode<T>,
    /// Stores past the cache; as `cached` where `out` is not aligned for that.
    streamed: Decode<T>,
}

/// One row of the table: the kernels of a type, one for each output.
pub(super) struct Kernel {
    isa: Isa,
    f32: Entry<f32>,
    f16: Entry<f16>,
    bf16: Entry<bf16>,
}

/// The tables of this build, the fastest first.
const TABLES: &[fn(DType) -> Option<&'static Kernel>] = &[
    #[cfg(target_arch = "x86_64")]
    avx512::kernel,
    #[cfg(target_arch = "x86_64")]
    avx2::kernel,
    #[cfg(target_arch = "x86_64")]
    sse2::kernel,
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    neon::kernel,
];

/// The rows of a type, whether or not the processor can run them, the fastest first.
#[inline]
fn rows(dtype: DType) -> impl Iterator<Item = &'static Kernel> {
    TABLES.iter().filter_map(move |table| table(dtype))
}

/// The kernel that this processor runs for `dtype`.
#[inline]
pub(super) fn kernel(dtype: DType) -> Option<Available> {
    rows(dtype)
        .find(|kernel| kernel.isa.is_wanted() && kernel.isa.is_available())
        .map(Available)
}

/// Every kernel of `dtype` that this processor can run, the fastest first.
#[cfg(fuzzing)]
pub(super) fn runnable(dtype: DType) -> impl Iterator<Item = Available> {
    rows(dtype)
        .filter(|kernel| kernel.isa.is_available())
        .map(Available)
}

/// A kernel whose instruction set this processor has.
#[derive(Clone, Copy)]
pub(super) struct Available(&'static Kernel);

impl Available {
    /// Decodes as many whole blocks as both slices hold, past the cache if `streamed`.
    #[inline]
    pub(super) fn decode<T: Output>(self, bytes: &[u8], out: &mut [T], streamed: bool) {
        // The casts are from a type to itself.
        match T::KIND {
            Kind::F32 => run(&self.0.f32, bytes, bytemuck::cast_slice_mut(out), streamed),
            Kind::F16 => run(&self.0.f16, bytes, bytemuck::cast_slice_mut(out), streamed),
            Kind::Bf16 => run(&self.0.bf16, bytes, bytemuck::cast_slice_mut(out), streamed),
        }
    }
}

/// Calls a kernel of an `Available` row.
#[inline]
fn run<T>(entry: &Entry<T>, bytes: &[u8], out: &mut [T], streamed: bool) {
    let decode = if streamed {
        entry.streamed
    } else {
        entry.cached
    };
    // SAFETY: the function's one precondition is the instruction set of its row. Rows reach this
    // function through an `Available` only, and only those make one that asked the processor.
    unsafe { decode(bytes, out) }
}
