//! One folder per format, and the table of readers.
//!
//! A reader is a pure function from bytes and a [`Budget`] to [`Parsed`]: it never opens a file,
//! never follows a name that stands in the bytes, never decodes a tensor. A new format is a folder
//! and a row here.

#![forbid(unsafe_code)]

mod detect;
pub mod gguf;
mod head;
pub mod json;
pub(crate) mod nested;
pub(crate) mod onnx;
pub mod pickle;
pub mod safetensors;
pub mod tar;
pub mod torch;
pub mod zip;

pub use detect::{detect, name_of_other};
pub(crate) use head::{FIRST_BYTES, Head, format_of_start, head};

use crate::bytes::Buffer;
use crate::error::{Context, Error, Format, Result};
use crate::index::Index;
use crate::limits::Budget;

/// What a reader makes of one file.
#[derive(Debug)]
pub struct Parsed {
    /// The format that was read; a reader may find a narrower one than it was called for.
    pub format: Format,
    /// The tensors, metadata and findings. Source 0 is the file, source 1 + n is `inflated[n]`.
    pub index: Index,
    /// Archive members that had to be inflated.
    pub inflated: Vec<Buffer>,
}

/// One row of the table.
struct Reader {
    format: Format,
    read: fn(&[u8], &mut Budget) -> Result<Parsed>,
}

const READERS: &[Reader] = &[
    Reader {
        format: Format::Safetensors,
        read: safetensors::read,
    },
    Reader {
        format: Format::Gguf,
        read: gguf::read,
    },
    Reader {
        format: Format::TorchZip,
        read: torch::read_zip,
    },
    Reader {
        format: Format::Tar,
        read: nested::read_tar,
    },
    Reader {
        format: Format::Gzip,
        read: nested::read_gzip,
    },
    Reader {
        format: Format::Pickle,
        read: torch::read_pickle,
    },
];

/// Reads a whole file of any format, told apart by its content.
///
/// # Errors
/// `Unsupported` if no reader takes the content, else what the reader says. Every error names the
/// format.
pub fn read(bytes: &[u8], budget: &mut Budget) -> Result<Parsed> {
    let format = detect(bytes)?;
    let reader = READERS
        .iter()
        .find(|reader| reader.format == format)
        .ok_or_else(|| {
            // An index has no tensors of its own, and bytes in memory have no folder.
            let what = "JSON, which may name shards: open it by its path";
            Error::unsupported("content:", what).at(0)
        })?;
    (reader.read)(bytes, budget).in_format(format)
}
