//! Kernels for AVX-512 as Sapphire Rapids and Zen 4 have it: with VBMI, bfloat16 and BMI2.
//!
//! Nibbles are looked up among the sixteen values that a block can have, which are scaled and rounded once; all else
//! is unpacked to integers of 8 bits, 64 at a time, and widened, scaled and rounded sixteen at a time. A scale times an
//! integer is exact, so that fused multiplication rounds as the scalar code does: once, at the addition.
//!
//! A type has a row here where that measured faster than its kernel for AVX2.

mod codebook;
mod plain;
mod vector;

use super::{Entry, Isa, Kernel, slot, streamed};
use crate::dtype::DType;
use crate::quant::Output;

/// The row of a type: the loops around its `decode`, in each output and both ways of storing.
macro_rules! row {
    ($decode:path, $tail:expr) => {
        x86_row!(
            Isa::Avx512,
            "avx512vbmi,avx512vl,avx512bf16,bmi2",
            16,
            $decode,
            $tail
        )
    };
}

kernels! {
    lanes 16
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
    }
}
