//! safetensors: a JSON header, then the tensors side by side.
//!
//! ```text
//! 0        8                      8 + N                                   end of file
//! | N: u64 | {"name":{"dtype":…,"shape":…,"data_offsets":[…]},…}␠␠ | data … |
//! ```
//!
//! Rules: safetensors 0.8.0, README "Format" and `src/tensor.rs`. This reader is stricter than the
//! crate wherever the crate is laxer than its own specification: the header starts with `{`, is
//! padded with spaces only, and no name, key or field stands twice. Lenient mode accepts other
//! white space as padding, unknown fields of a tensor, two names for one range, and bytes after
//! the last tensor; each is reported as a finding.
//!
//! Left to others: opening files, shards, views, the writer.

mod header;
mod tokens;

use crate::bytes::{Cursor, Span, to_u64};
use crate::dtype::DType;
use crate::error::{Context, Error, Format, Malformed, Result, shortened};
use crate::findings::{Finding, Severity};
use crate::formats::Parsed;
use crate::index::{Builder, Draft};
use crate::limits::{Budget, Limit};

/// Reads a whole safetensors file.
///
/// # Errors
/// `Malformed` if a rule of the format is broken, `Limit` if the file needs more than allowed.
///
/// # Example
/// ```
/// use weighbridge::{formats::safetensors, limits::Budget};
/// let mut file = 54_u64.to_le_bytes().to_vec();
/// file.extend(br#"{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}} "#);
/// file.extend([1, 2]);
/// let parsed = safetensors::read(&file, &mut Budget::default()).unwrap();
/// assert_eq!(parsed.index.find("x").unwrap().shape(), [2]);
/// ```
pub fn read(bytes: &[u8], budget: &mut Budget) -> Result<Parsed> {
    read_inner(bytes, budget).in_format(Format::Safetensors)
}

fn read_inner(bytes: &[u8], budget: &mut Budget) -> Result<Parsed> {
    let mut cursor: Cursor<'_> = Cursor::new(bytes);
    let length = cursor.u64("the header length")?;
    let header = cursor.take("the header", length)?;
    budget.allow(Limit::HeaderBytes, length).at(0)?;
    let mut builder = Builder::new();
    let file = File {
        bytes: to_u64(bytes.len()),
        data: cursor.offset(),
    };
    header::read(header, file, &mut builder, budget)?;
    builder.enter_names(budget)?;
    budget.look()?;
    check_tiling(&mut builder, file, budget)?;
    budget.look()?;
    Ok(Parsed {
        format: Format::Safetensors,
        index: builder.finish(bytes, budget)?,
        inflated: Vec::new(),
    })
}

/// What the header's offsets are relative to.
#[derive(Clone, Copy)]
struct File {
    /// Length of the file.
    bytes: u64,
    /// Where the data section starts.
    data: u64,
}

/// One tensor as the header states it.
struct Info<'a> {
    dtype: DType,
    /// The name of the dtype.
    code: &'a str,
    shape: &'a [u64],
    data_offsets: [u64; 2],
    declared_at: u64,
}

fn push(
    name: &str,
    info: &Info<'_>,
    file: File,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    let [begin, end] = info.data_offsets;
    let length = end.checked_sub(begin).ok_or_else(|| {
        Error::malformed(Malformed::OutOfRange {
            what: "the end in data_offsets",
            value: end.into(),
            expected: "at least the start",
        })
    })?;
    let start = file.data.checked_add(begin).ok_or_else(|| {
        let what = "the start in data_offsets";
        Error::malformed(Malformed::Overflow { what })
    })?;
    let draft = Draft {
        name,
        dtype: info.dtype,
        code: match info.dtype {
            DType::Opaque => info.code,
            _ => "",
        },
        shape: info.shape,
        span: Span::new("the tensor", start, length, file.bytes)?,
        declared_at: info.declared_at,
        ..Draft::default()
    };
    builder.push(&draft, budget)?;
    note(name, &draft, builder);
    Ok(())
}

/// Reports what is legal and still worth knowing.
fn note(name: &str, draft: &Draft<'_>, builder: &mut Builder) {
    let declared_at = draft.declared_at;
    if draft.dtype == DType::Opaque {
        builder.finding_at(Severity::Warning, "unknown-dtype", declared_at, || {
            let (name, code) = (shortened(name), shortened(draft.code));
            format!("tensor {name:?} has the unknown dtype {code:?}: only its bytes can be read")
        });
    }
    // Elements that stand alone have sizes that are powers of two.
    let start = draft.span.start();
    let element = draft.dtype.block_bytes();
    if draft.dtype.block_elements() == 1 && start.trailing_zeros() < element.trailing_zeros() {
        builder.finding_at(Severity::Note, "misaligned-tensor", start, || {
            let name = shortened(name);
            format!("tensor {name:?} does not start at a multiple of its element size")
        });
    }
}

/// Every byte of the data section belongs to exactly one tensor.
fn check_tiling(builder: &mut Builder, file: File, budget: &mut Budget) -> Result<()> {
    let lenient = budget.is_lenient();
    let mut previous = Span::new("the data", file.data, 0, file.bytes)?;
    let mut owner = None;
    for position in builder.by_offset(budget)? {
        let Some((span, name, declared_at)) = builder.placed(position) else {
            continue;
        };
        let other = || {
            owner
                .and_then(|owner| builder.placed(owner))
                .map_or("", |(_, name, _)| name)
        };
        if lenient && span == previous && span.length() > 0 {
            let (other, name) = (shortened(other()), shortened(name));
            let message = format!("tensors {other:?} and {name:?} share their bytes");
            let finding = Finding::new(Severity::Warning, "shared-range", message);
            builder.finding(finding.at(declared_at));
            continue;
        }
        check_neighbours(previous, other, span)
            .for_tensor(name)
            .at(declared_at)?;
        previous = span;
        owner = Some(position);
    }
    check_end(previous.end(), file, lenient, builder)
}

fn check_neighbours<'a>(previous: Span, other: impl Fn() -> &'a str, span: Span) -> Result<()> {
    match span.start().checked_sub(previous.end()) {
        Some(0) => Ok(()),
        Some(count) => Err(Error::malformed(Malformed::Gap {
            what: "the tensor",
            count,
        })),
        None => Err(Error::malformed(Malformed::Overlap {
            what: "the tensor",
            other: shortened(other()),
            count: previous.end().saturating_sub(span.start()),
        })),
    }
}

fn check_end(end: u64, file: File, lenient: bool, builder: &mut Builder) -> Result<()> {
    let count = file.bytes.saturating_sub(end);
    if count == 0 {
        return Ok(());
    }
    if !lenient {
        let what = "the last tensor";
        return Err(Error::malformed(Malformed::TrailingBytes { what, count }).at(end));
    }
    let message = format!("{count} bytes follow the last tensor");
    builder.finding(Finding::new(Severity::Warning, "trailing-bytes", message).at(end));
    Ok(())
}
