//! GGUF: header, key-value pairs, tensor infos, padding, tensor data.
//!
//! ```text
//! | "GGUF" | version u32 | tensor count | key-value count | key-value pairs | tensor infos | 0… | data |
//! ```
//!
//! Rules: ggml `docs/gguf.md`, and llama.cpp's `ggml/src/gguf.cpp` (ggml 0.25.3) where it is
//! stricter. Read here are versions 1, 2 and 3 in either byte order. Beyond llama.cpp's checks, a
//! key or tensor name must be UTF-8 without NUL, a tensor must lie inside the file, and no tensor
//! name is empty. A file may end without the padding of its last tensor, or without any data
//! section if it has no tensors. A type code that nobody knows makes an opaque entry. Bytes after
//! the last tensor are a finding. Lenient mode accepts gaps, other orders of the tensor data,
//! nested arrays, longer names and higher ranks.
//!
//! Metadata stays in the file: keys are indexed, values are read when they are asked for.
//!
//! Left to others: opening files, split models, dequantization.

mod fork_types;
mod header;
mod key_value;
mod layout;
mod model;
mod tensor_info;

pub use header::Header;
pub use model::{Model, PerLayer, Tokenizer};

use byteorder::{BigEndian, ByteOrder, LittleEndian};

use crate::bytes::{Cursor, Endian, align_up};
use crate::error::{Context, Format, Result};
use crate::formats::Parsed;
use crate::index::Builder;
use crate::limits::Budget;

/// Reads a whole GGUF file.
///
/// # Errors
/// `Malformed` if a rule of the format is broken, `Unsupported` for a version that we do not
/// know, `Limit` if the file needs more than allowed.
pub fn read(bytes: &[u8], budget: &mut Budget) -> Result<Parsed> {
    let parsed = match header::endian(bytes) {
        Endian::Little => read_in_order::<LittleEndian>(bytes, budget),
        Endian::Big => read_in_order::<BigEndian>(bytes, budget),
    };
    parsed.in_format(Format::Gguf)
}

/// Where the tensor infos end, given the start of a file: everything before it is what [`read`] looks at.
///
/// # Errors
/// As [`read`]; `Malformed` (`Truncated`) if the start is too short.
pub(super) fn head(start: &[u8], budget: &mut Budget) -> Result<u64> {
    match header::endian(start) {
        Endian::Little => head_in_order::<LittleEndian>(start, budget),
        Endian::Big => head_in_order::<BigEndian>(start, budget),
    }
}

fn head_in_order<B: ByteOrder>(start: &[u8], budget: &mut Budget) -> Result<u64> {
    let mut cursor = Cursor::<B>::new(start);
    let header = Header::read(&mut cursor, header::endian(start))?;
    let mut builder = Builder::new();
    key_value::read(&mut cursor, header, &mut builder, budget)?;
    let alignment = key_value::alignment(start, &mut builder, budget)?;
    tensor_info::read(start, &mut cursor, header, budget)?;
    // The padding is looked at too.
    let end = cursor.offset();
    Ok(align_up(end, alignment).unwrap_or(end))
}

fn read_in_order<B: ByteOrder>(bytes: &[u8], budget: &mut Budget) -> Result<Parsed> {
    let mut cursor = Cursor::<B>::new(bytes);
    let header = Header::read(&mut cursor, header::endian(bytes))?;
    let mut builder = Builder::new();
    key_value::read(&mut cursor, header, &mut builder, budget)?;
    let alignment = key_value::alignment(bytes, &mut builder, budget)?;
    let infos = tensor_info::read(bytes, &mut cursor, header, budget)?;
    let data = layout::Data::new(bytes, cursor.offset(), alignment, &infos, &mut builder)?;
    layout::place(header, data, &infos, &mut builder, budget)?;
    drop(infos);
    Ok(Parsed {
        format: Format::Gguf,
        index: builder.finish(bytes, budget)?,
        inflated: Vec::new(),
    })
}
