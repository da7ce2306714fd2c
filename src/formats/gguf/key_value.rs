//! The key-value pairs: keys are checked and indexed, values are measured and left in the file.
//!
//! ```text
//! | key length | key | value type u32 | value |
//! string: | length | bytes |      array: | element type u32 | count | elements |
//! ```

use byteorder::ByteOrder;

use super::Header;
use crate::bytes::{Cursor, Span, to_u64};
use crate::error::{Error, Malformed, Result, shortened};
use crate::findings::{Finding, Severity};
use crate::index::{Builder, Encoding, ValueType};
use crate::limits::{Budget, Limit};
use crate::shape;

/// The alignment of a file that does not state one (specification, `general.alignment`).
const DEFAULT_ALIGNMENT: u64 = 32;

/// Reads every pair into the builder's metadata.
pub(super) fn read<B: ByteOrder>(
    cursor: &mut Cursor<'_, B>,
    header: Header,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    budget.allow(Limit::MetadataEntries, header.metadata_kv_count)?;
    builder.metadata().set_encoding(header.encoding());
    for _ in 0..header.metadata_kv_count {
        let (key, _) = name(cursor, header, "a key", budget)?;
        let at = cursor.offset();
        let value_type = value_type(cursor.u32("a value type")?, at)?;
        let start = cursor.offset();
        if skip_value(cursor, value_type, header.encoding(), budget)? {
            let message = "an array holds arrays, which llama.cpp refuses";
            builder.finding(Finding::new(Severity::Warning, "nested-array", message).at(at));
        }
        let length = cursor.offset().saturating_sub(start);
        let end = cursor.offset().saturating_add(cursor.remaining());
        let value = Span::new("a value", start, length, end)?;
        builder
            .metadata()
            .push_span(key, value_type, value, budget)?;
    }
    Ok(())
}

/// Reads a key or tensor name: not empty, UTF-8, no NUL, at most [`Limit::NameBytes`] long.
///
/// llama.cpp compares names with their whole length and stores them up to a NUL, so that two
/// different names can become one there: NUL is refused here.
pub(super) fn name<'a, B: ByteOrder>(
    cursor: &mut Cursor<'a, B>,
    header: Header,
    what: &'static str,
    budget: &Budget,
) -> Result<(Span, &'a str)> {
    let at = cursor.offset();
    let length = header.encoding().length(cursor)?;
    let start = cursor.offset();
    let bytes = cursor.take(what, length)?;
    budget
        .allow(Limit::NameBytes, length)
        .map_err(|error| error.at(at))?;
    if bytes.is_empty() {
        return Err(Error::unexpected(what, "empty", "at least one byte").at(at));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = start.saturating_add(to_u64(error.valid_up_to()));
        Error::malformed(Malformed::NotUtf8 { what }).at(at)
    })?;
    if let Some(nul) = text.find('\0') {
        let at = start.saturating_add(to_u64(nul));
        let found = format!("{:?}", shortened(text));
        return Err(Error::unexpected(what, found, "a name without NUL").at(at));
    }
    let end = cursor.offset().saturating_add(cursor.remaining());
    Ok((Span::new(what, start, length, end)?, text))
}

fn value_type(code: u32, at: u64) -> Result<ValueType> {
    ValueType::from_code(code).ok_or_else(|| {
        Error::malformed(Malformed::OutOfRange {
            what: "a value type",
            value: code.into(),
            expected: "0 to 12",
        })
        .at(at)
    })
}

/// Moves past one value; gives whether it is an array of arrays.
fn skip_value<B: ByteOrder>(
    cursor: &mut Cursor<'_, B>,
    value_type: ValueType,
    encoding: Encoding,
    budget: &Budget,
) -> Result<bool> {
    match (value_type.bytes(), value_type) {
        (Some(bytes), _) => {
            cursor.take("a value", bytes)?;
        }
        (None, ValueType::Array) => return skip_arrays(cursor, encoding, budget),
        (None, _) => skip_string(cursor, encoding, budget)?,
    }
    Ok(false)
}

fn skip_string<B: ByteOrder>(
    cursor: &mut Cursor<'_, B>,
    encoding: Encoding,
    budget: &Budget,
) -> Result<()> {
    let at = cursor.offset();
    let length = encoding.length(cursor)?;
    cursor.take("a string", length)?;
    budget
        .allow(Limit::StringBytes, length)
        .map_err(|error| error.at(at))
}

/// Moves past the strings of an array: many at a time, and one by one where one is wrong.
fn skip_strings<B: ByteOrder>(
    cursor: &mut Cursor<'_, B>,
    encoding: Encoding,
    count: u64,
    budget: &Budget,
) -> Result<()> {
    /// Strings between two looks at whether opening is still wanted.
    const STEP: u64 = 16 * 1024;
    let most = Limit::StringBytes.of(budget.limits());
    let mut left = count;
    while left > 0 {
        budget.look()?;
        let now = left.min(STEP);
        let skipped = cursor.skip_parts(now, encoding.short_lengths, most);
        left = left.saturating_sub(skipped);
        if skipped < now {
            skip_string(cursor, encoding, budget)?;
            left = left.saturating_sub(1);
        }
    }
    Ok(())
}

/// Arrays of arrays are walked with a list of open counts, not by recursion.
fn skip_arrays<B: ByteOrder>(
    cursor: &mut Cursor<'_, B>,
    encoding: Encoding,
    budget: &Budget,
) -> Result<bool> {
    // How many arrays are still to come at each open level; its length is the depth.
    let mut open: Vec<u64> = vec![1];
    let mut nested = false;
    while let Some(left) = open.last_mut() {
        let Some(next) = left.checked_sub(1) else {
            open.pop();
            continue;
        };
        *left = next;
        let at = cursor.offset();
        let element_type = value_type(cursor.u32("an array's element type")?, at)?;
        let count_at = cursor.offset();
        let count = encoding.length(cursor)?;
        check_count(cursor, element_type, count, encoding).map_err(|error| error.at(count_at))?;
        budget
            .allow(Limit::ArrayElements, count)
            .map_err(|error| error.at(count_at))?;
        match (element_type.bytes(), element_type) {
            (Some(each), _) => {
                cursor.take("an array", each.saturating_mul(count))?;
            }
            (None, ValueType::Array) => {
                if !budget.is_lenient() {
                    let expected = "no array of arrays";
                    return Err(Error::unexpected("an array", "nested", expected).at(at));
                }
                let depth = to_u64(open.len()).saturating_add(1);
                budget
                    .allow(Limit::ArrayDepth, depth)
                    .map_err(|error| error.at(at))?;
                nested = true;
                open.try_reserve(1)
                    .map_err(|_| Error::out_of_memory().at(at))?;
                open.push(count);
            }
            (None, _) => {
                skip_strings(cursor, encoding, count, budget)?;
            }
        }
    }
    Ok(nested)
}

/// The smallest array of this count must fit what is left, before anything loops over the count.
fn check_count<B: ByteOrder>(
    cursor: &Cursor<'_, B>,
    element_type: ValueType,
    count: u64,
    encoding: Encoding,
) -> Result<()> {
    let length_bytes = if encoding.short_lengths { 4 } else { 8 };
    let each = match (element_type.bytes(), element_type) {
        (Some(bytes), _) => bytes,
        (None, ValueType::Array) => 4_u64.saturating_add(length_bytes),
        (None, _) => length_bytes,
    };
    let needed = shape::bytes_of("the size of an array", count, each)?;
    if needed > cursor.remaining() {
        return Err(Error::malformed(Malformed::Truncated {
            what: "an array",
            needed,
            available: cursor.remaining(),
        }));
    }
    Ok(())
}

/// `general.alignment`: a uint32 that is a power of two, as llama.cpp demands.
pub(super) fn alignment(bytes: &[u8], builder: &mut Builder, budget: &mut Budget) -> Result<u64> {
    builder.metadata().finish(bytes, budget)?;
    let metadata = builder.metadata().view(bytes);
    let Some(value) = metadata.get("general.alignment") else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    let at = metadata.offset_of("general.alignment").unwrap_or_default();
    let crate::index::Value::U32(alignment) = value else {
        let found = value.value_type().name();
        return Err(Error::unexpected("general.alignment", found, "uint32").at(at));
    };
    if !alignment.is_power_of_two() {
        let malformed = Malformed::OutOfRange {
            what: "general.alignment",
            value: alignment.into(),
            expected: "a power of two",
        };
        return Err(Error::malformed(malformed).at(at));
    }
    let alignment = u64::from(alignment);
    budget
        .allow(Limit::Alignment, alignment)
        .map_err(|error| error.at(at))?;
    Ok(alignment)
}
