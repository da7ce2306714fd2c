//! Writes model files from any opened checkpoint.
//!
//! [`convert`] and [`ConvertOptions`] turn a checkpoint of any format into safetensors (one file, or shards
//! with an index) or GGUF. [`GgufWriter`] puts a GGUF file together tensor by tensor. Both stream: memory
//! does not depend on the model's size; and both give a file its name only when it is whole.
//!
//! What goes where: `options` what a caller chooses; `plan` which tensors as what, `shared` tied weights,
//! `metadata` the texts; `to_safetensors` with `header`, `to_gguf` with `gguf` and `value` the two formats;
//! `job`, `transfer`, `item` and `crew` move the bytes on several threads; `atomic` the files.

#![forbid(unsafe_code)]

mod atomic;
mod crew;
mod gguf;
mod header;
mod item;
mod job;
mod json;
mod metadata;
mod options;
mod plan;
mod shared;
mod to_gguf;
mod to_safetensors;
mod transfer;
mod value;

pub use gguf::GgufWriter;
pub use options::{ConvertOptions, Converted, DTypePolicy, convert};
pub use value::OutputValue;
