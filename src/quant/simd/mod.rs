//! Kernels for one instruction set each, chosen at run time.
//!
//! The scalar files of [`crate::quant`] are the truth; a kernel gives the same bits, faster. One folder
//! per instruction set, one file per type, one row per kernel in the table of the folder's `mod.rs`. The
//! table drives the choice at run time, the tests (every kernel beside its scalar code) and the
//! benchmarks.
//!
//! A kernel is a safe function with `#[target_feature]`: the features it is compiled for are pinned,
//! so that a build for a newer processor cannot change its code. `unsafe` stands in two files: here, for
//! the call after the processor was asked, and in `avx2/streamed.rs`, for stores past the cache.

#![cfg_attr(
    not(any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_endian = "little")
    )),
    allow(dead_code, reason = "the other instruction sets have no kernel")
)]
#![expect(unsafe_code, reason = "the call into a kernel after the CPU check")]

/// The table: each type with its module, or, for types without blocks, its function in `plain` and the
/// bytes of a run of 32. Each instruction set says with a `row!` of its own how a kernel is called.
#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little")
))]
macro_rules! kernels {
    (
        blocks { $($dtype:ident $module:ident,)* }
        elements { $($plain:ident $function:ident $bytes:literal,)* }
    ) => {
        $(mod $module;)*

        /// The row of `dtype`.
        #[inline]
        pub(super) fn kernel(dtype: DType) -> Option<&'static Kernel> {
            match dtype {
                // Blocks leave no tail: the slices hold whole ones.
                $(DType::$dtype => row!($module::decode, |_: &[u8], _: &mut [T]| ()),)*
                $(DType::$plain => row!(plain::$function, |bytes: &[u8], out: &mut [T]| {
                    slot::tail::<T, $bytes>(bytes, out, |run, out| plain::$function(run, out));
                }),)*
                _ => None,
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
mod slot;
#[cfg(test)]
mod tests;

use half::{bf16, f16};

use super::output::{Kind, Output};
use crate::dtype::DType;

/// An instruction set that kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isa {
    /// AVX2 with F16C: every x86-64 server since 2015.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Advanced SIMD, which every 64-bit Arm processor has unless its makers left out floating point.
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Neon,
}

impl Isa {
    /// Whether this processor has it. The answer is cached by the standard library.
    #[inline]
    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c"),
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

/// Every row of this build.
#[cfg(test)]
fn all() -> impl Iterator<Item = (DType, &'static Kernel)> {
    DType::ALL
        .iter()
        .filter_map(|&dtype| Some((dtype, row(dtype)?)))
}

/// The row of a type, whether or not the processor can run it.
#[cfg(target_arch = "x86_64")]
use avx2::kernel as row;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
use neon::kernel as row;
#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little")
)))]
fn row(_: DType) -> Option<&'static Kernel> {
    None
}

/// The kernel that this processor runs for `dtype`.
#[inline]
pub(super) fn kernel(dtype: DType) -> Option<Available> {
    // `RUSTFLAGS="--cfg weighbridge_scalar"` measures, and tests, the code of other processors.
    if cfg!(weighbridge_scalar) {
        return None;
    }
    row(dtype)
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
    // function through an `Available` only, and only `kernel` makes one, after it asked the processor.
    unsafe { decode(bytes, out) }
}
