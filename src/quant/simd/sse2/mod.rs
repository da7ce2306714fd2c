//! Kernels for SSE2, which every x86-64 processor has, for the types that it makes much faster.
//!
//! Without SSSE3 a table is no shuffle, and without F16C a scale is converted by integers: the other types
//! gain little over what the compiler makes of the scalar code.

mod vector;

use super::{Entry, Isa, Kernel, slot, streamed};
use crate::dtype::DType;
use crate::quant::Output;

/// The row of a type: the loops around its `decode`, in each output and both ways of storing.
macro_rules! row {
    ($decode:path, $tail:expr) => {
        x86_row!(Isa::Sse2, "sse2", 8, $decode, $tail)
    };
}

kernels! {
    lanes 8
    blocks {
        Q4_0 q4_0,
        Q4_1 q4_1,
        Q8_0 q8_0,
        Q2_K q2_k,
        Q3_K q3_k,
        Q4_K q4_k,
        Q5_K q5_k,
        Q6_K q6_k,
        Q8_K q8_k,
        TQ1_0 tq1_0,
        TQ2_0 tq2_0,
    }
    elements {
    }
}
