//! Kernels for Advanced SIMD (NEON), of the common types.
//!
//! Each unpacks a block to signed bytes and leaves widening, scaling, rounding to the output type and
//! storing to `vector`. None uses fused multiplication. There is one way of storing: the compiler has no
//! safe name for stores past the cache.

mod plain;
mod vector;

use super::slot;
use super::{Entry, Isa, Kernel};
use crate::dtype::DType;
use crate::quant::Output;

/// The row of a type: the loop around its `decode`, in each output.
macro_rules! row {
    ($decode:path, $tail:expr) => {{
        #[target_feature(enable = "neon")]
        fn cached<T: Output>(bytes: &[u8], out: &mut [T]) {
            let (outs, _) = out.as_chunks_mut::<8>().0.as_chunks_mut();
            for (block, out) in bytes.as_chunks().0.iter().zip(outs) {
                $decode(block, out);
            }
            $tail(bytes, out);
        }
        static ROW: Kernel = Kernel {
            isa: Isa::Neon,
            f32: Entry {
                cached: cached::<f32>,
                streamed: cached::<f32>,
            },
            f16: Entry {
                cached: cached::<half::f16>,
                streamed: cached::<half::f16>,
            },
            bf16: Entry {
                cached: cached::<half::bf16>,
                streamed: cached::<half::bf16>,
            },
        };
        Some(&ROW)
    }};
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
        Q4_K q4_k,
        Q5_K q5_k,
        Q6_K q6_k,
        IQ4_NL iq4_nl,
    }
    elements {
        F32 f32 128,
        F16 f16 64,
        BF16 bf16 64,
    }
}
