//! Kernels for AVX2 with F16C and fused multiplication.
//!
//! Each unpacks a block to integers of 8 bits, and leaves widening, scaling, rounding to the output type
//! and storing to `vector`: so a kernel is written once for f32, f16 and bf16, and for both ways of
//! storing. A scale times an integer is exact, so that fused multiplication rounds as the scalar code does: once, at
//! the addition.

mod plain;
mod tables;
pub(super) mod vector;

use super::{Entry, Isa, Kernel, slot, streamed};
use crate::dtype::DType;
use crate::quant::Output;

/// The row of a type: the loops around its `decode`, in each output and both ways of storing.
macro_rules! row {
    ($decode:path, $tail:expr) => {
        x86_row!(Isa::Avx2, "avx2,f16c,fma", 8, $decode, $tail)
    };
}

// Each type with its module, or, for types without blocks, its function in `plain` and the bytes of a run.
kernels! {
    lanes 8
    blocks {
        Q4_0 q4_0,
        Q4_1 q4_1,
        Q5_0 q5_0,
        Q5_1 q5_1,
        Q8_0 q8_0,
        Q8_1 q8_1,
        Q2_K q2_k,
        Q3_K q3_k,
        Q4_K q4_k,
        Q5_K q5_k,
        Q6_K q6_k,
        Q8_K q8_k,
        IQ1_S iq1_s,
        IQ1_M iq1_m,
        IQ2_XXS iq2_xxs,
        IQ2_XS iq2_xs,
        IQ2_S iq2_s,
        IQ3_XXS iq3_xxs,
        IQ3_S iq3_s,
        IQ4_NL iq4_nl,
        IQ4_XS iq4_xs,
        TQ1_0 tq1_0,
        TQ2_0 tq2_0,
        MXFP4 mxfp4,
        NVFP4 nvfp4,
        Q1_0 q1_0,
        Q2_0 q2_0,
    }
    elements {
        F32 f32 128,
        F16 f16 64,
        BF16 bf16 64,
        F64 f64 256,
        I8 i8 32,
        I16 i16 64,
        I32 i32 128,
        U8 u8 32,
        U16 u16 64,
        BOOL bool 32,
        F8_E4M3 f8_e4m3 32,
        F8_E5M2 f8_e5m2 32,
        F8_E4M3FNUZ f8_e4m3fnuz 32,
        F8_E5M2FNUZ f8_e5m2fnuz 32,
        F8_E8M0 f8_e8m0 32,
        F4 f4 16,
    }
}
