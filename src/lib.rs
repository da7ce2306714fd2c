//! Loads machine-learning model files safely: safetensors, GGUF and PyTorch checkpoints through one
//! tensor view, and runs none of them.

#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::todo,
        clippy::unimplemented,
        clippy::print_stdout,
        clippy::print_stderr,
        clippy::dbg_macro
    )
)]

pub mod bytes;
pub mod checkpoint;
pub mod dtype;
pub mod error;
pub mod findings;
pub mod formats;
pub mod index;
pub mod limits;
pub mod quant;
pub mod shape;
pub mod source;
pub mod tensor;

pub use checkpoint::{Checkpoint, FileInfo, OpenOptions, open};
pub use dtype::{Class, DType};
pub use error::{Error, ErrorKind, Format, Result};
pub use findings::{Finding, Findings, Severity, Verdict};
pub use index::{Array, Metadata, MetadataView, Text, Value, ValueType};
pub use limits::{Limits, Strictness};
pub use source::Access;
pub use tensor::{Element, Location, TensorView};
