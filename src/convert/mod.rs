//! Writes model files from any opened checkpoint, tensor by tensor.

#![forbid(unsafe_code)]

mod atomic;
mod gguf;
mod value;

pub use gguf::GgufWriter;
pub use value::OutputValue;

use std::ops::ControlFlow;

/// How far a long job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of tensor data written.
    pub done: u64,
    /// Bytes of tensor data to write.
    pub total: u64,
}

/// Called with the progress of a job; `Break` stops it, and nothing stays behind.
pub type ProgressCallback<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;
