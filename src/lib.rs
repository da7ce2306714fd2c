//! Opens machine-learning model files that you did not make (safetensors, GGUF, PyTorch) through one
//! tensor view, and runs nothing in them.
//!
//! # Example
//! ```
//! let model = weighbridge::open("tests/files/gguf/network.gguf")?;
//! for tensor in model.tensors() {
//!     println!("{} {} {:?}", tensor.name(), tensor.dtype(), tensor.shape());
//! }
//! let weight = model.tensor("embed.weight")?;
//! let mut values = vec![0.0_f32; weight.elements()];
//! weight.dequantize_into(&mut values)?;
//! # Ok::<(), weighbridge::Error>(())
//! ```
//!
//! # Levels
//!
//! - [`open`] and [`Checkpoint`]: a file of any format, told apart by its content, as named
//!   [`TensorView`]s, metadata and findings. Most callers need no more.
//! - [`OpenOptions`]: read instead of map ([`Access`]), a source of your own ([`ReadAt`]), [`Limits`],
//!   [`Strictness`], dangerous pickles, [`Links`], progress.
//! - [`Tensor`]: a view that keeps its file alive, for other threads and later; [`Job`]: progress of long work,
//!   and how to stop it.
//! - [`formats`]: the readers as pure functions over bytes, and the pickle machine
//!   ([`formats::pickle::load`]) with its events, for inspectors and scanners.
//! - [`convert`]: any opened checkpoint as safetensors or GGUF, streamed, whole or not at all.
//!
//! # Formats
//!
//! | format | read | refused for now |
//! |---|---|---|
//! | safetensors | all 22 dtypes, unknown ones as opaque entries | – |
//! | GGUF | versions 1 to 3, either byte order, all 35 live ggml types, split models | – |
//! | PyTorch | zip, legacy stream, tar, TorchScript, `torch.package`, PT2, bare and stacked pickles, distributed folders, shard indexes; any of them in a tar or tar.gz (NeMo) | – |
//!
//! # Promises
//!
//! Nothing in a file runs. No panic, no hang, no access outside the file; memory within [`Limits`]; one
//! meaning per file. What mapping cannot promise stands at [`open`]. The [`guide`] says more.
//!
//! # Features
//!
//! `mmap` (default): map files instead of reading them. `rayon` (default): decode large tensors, read files and
//! open shards on several threads. `convert` (default): write model files. `bytes`: [`Tensor`] into
//! `bytes::Bytes`. `safetensors`: tensors as the safetensors crate's `View`. Without the first two every file is
//! read into memory and decoded on one thread.

#![deny(unsafe_code)]
#![warn(unreachable_pub)]
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
#[cfg(feature = "convert")]
pub mod convert;
#[cfg(feature = "digest")]
pub mod digest;
pub mod dtype;
pub mod error;
pub mod findings;
pub mod formats;
pub mod guide;
pub mod index;
pub mod limits;
pub mod policy;
pub mod progress;
pub mod quant;
pub mod scan;
pub mod shape;
pub mod source;
pub mod tensor;

pub use checkpoint::{
    Checkpoint, Content, Expected, FileInfo, Links, LoadReport, Mismatch, OpenOptions, Region, open,
};
pub use dtype::{Class, DType};
pub use error::{Caller, Error, ErrorKind, Format, Malformed, Result};
pub use findings::{Finding, Findings, Severity, Verdict};
pub use index::{Array, Attributes, Metadata, MetadataView, Text, Value, ValueType};
pub use limits::{Limits, Strictness};
pub use policy::Policy;
pub use progress::{Job, Progress};
pub use scan::{Scanner, scan};
pub use source::{Access, Advice, ReadAt};
pub use tensor::{Difference, Element, Location, Tensor, TensorView, Validity};
