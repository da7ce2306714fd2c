//! What is wrong with a call.

use super::Format;

/// What a caller asked for that cannot be given. Never caused by the content of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Caller {
    /// The checkpoint has no tensor of that name.
    #[error("no tensor {name:?}")]
    NoSuchTensor {
        /// The name asked for.
        name: String,
    },
    /// An output slice has another length than the tensor needs.
    #[error("the output holds {found} {unit}, the tensor has {expected}")]
    OutputLength {
        /// `elements` or `bytes`.
        unit: &'static str,
        /// Length of the slice given.
        found: u64,
        /// Length needed.
        expected: u64,
    },
    /// A typed view of another type than the tensor's.
    #[error("the tensor holds {found}, not {wanted}")]
    DType {
        /// The tensor's type.
        found: String,
        /// The type asked for.
        wanted: &'static str,
    },
    /// The tensor's bytes do not start at a multiple of the type's alignment.
    #[error("the tensor's bytes are not aligned to {alignment}")]
    Unaligned {
        /// Alignment of the type, in bytes.
        alignment: u64,
    },
    /// The elements do not lie side by side in row-major order.
    #[error("the tensor is strided; copy it with copy_into or dequantize_into")]
    Strided,
    /// The bytes of the file are in the other byte order.
    #[error("the tensor's bytes are big-endian; copy it with copy_into or dequantize_into")]
    ByteOrder,
    /// The values are the bytes with other signs (a conjugated or negated view of torch).
    #[error("the tensor is conjugated or negated; copy it with copy_into or dequantize_into")]
    Signs,
    /// The tensor has no bytes in the file (a meta tensor, for example).
    #[error("the tensor has no data: {reason}")]
    NoData {
        /// Why there are none.
        reason: &'static str,
    },
    /// The tensor's bytes are read when they are asked for, and cannot be borrowed.
    #[error("the tensor is not in memory; load it, or copy it with copy_into or dequantize_into")]
    NotInMemory,
    /// An axis or range outside the tensor's shape.
    #[error("range {start}..{end} on axis {axis} is outside the shape {shape:?}")]
    Range {
        /// The axis, 0 is outermost.
        axis: usize,
        /// Start of the range.
        start: usize,
        /// End of the range, exclusive.
        end: usize,
        /// The tensor's shape.
        shape: Vec<usize>,
    },
    /// A range that would cut a block of a quantized type.
    #[error("range {start}..{end} cuts a block of {block} elements ({dtype})")]
    CutsBlock {
        /// Start of the range.
        start: usize,
        /// End of the range, exclusive.
        end: usize,
        /// Elements of one block.
        block: usize,
        /// The element type.
        dtype: &'static str,
    },
    /// An axis that cannot be shared out evenly.
    #[error("axis {axis} of {length} cannot be shared out: rank {rank} of {world_size}")]
    Ranks {
        /// The axis, 0 is outermost.
        axis: usize,
        /// Its length.
        length: usize,
        /// The rank, from 0.
        rank: usize,
        /// How many ranks there are.
        world_size: usize,
    },
    /// A folder that does not hold exactly one model.
    #[error("the folder holds {} models ({}); name one file", found.len(), found.join(", "))]
    NotOneModel {
        /// The files that could be meant.
        found: Vec<String>,
    },
    /// A tensor of another shape than the caller expects.
    #[error("the shape is {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor's shape.
        found: Vec<usize>,
        /// The shape asked for.
        expected: Vec<usize>,
    },
    /// A metadata value of another type than the accessor's.
    #[error("metadata {key:?} is {found}, not {wanted}")]
    ValueType {
        /// The key.
        key: String,
        /// The type in the file.
        found: &'static str,
        /// The type asked for.
        wanted: &'static str,
    },
    /// The output exists, and was not to be replaced.
    #[error("the output exists; allow overwriting to replace it")]
    OutputExists,
    /// The output is a symbolic link, and was not to be followed.
    #[error("the output is a symbolic link; name its target or allow following it")]
    OutputIsLink,
    /// The output is a folder, pipe or device.
    #[error("the output is not a regular file")]
    OutputIsNoFile,
    /// A tensor, key or value that the output format cannot hold.
    #[error("{what} {value} does not fit a {format} file")]
    DoesNotFit {
        /// What does not fit.
        what: &'static str,
        /// Its value.
        value: String,
        /// The output format.
        format: Format,
    },
    /// A policy that cannot be: a dotted name, or JSON of another form.
    #[error("the policy: {reason}")]
    Policy {
        /// What is wrong with it.
        reason: String,
    },
    /// Another misuse.
    #[error("{0}")]
    Misuse(&'static str),
}
