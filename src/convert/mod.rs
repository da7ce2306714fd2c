//! Writes model files from any opened checkpoint, tensor by tensor.

#![forbid(unsafe_code)]

mod atomic;
mod gguf;
mod value;

pub use gguf::GgufWriter;
pub use value::OutputValue;
