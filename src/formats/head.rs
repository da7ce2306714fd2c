//! How much of a file a reader must see before it knows every tensor's place.

use super::pickle::may_be_pickle;
use super::{detect, gguf};
use crate::bytes::{Cursor, to_u64};
use crate::error::{Context, Error, Format, Malformed, Result};
use crate::limits::{Budget, Limit};

/// Enough to tell a format: the header of a tar archive is the longest that is looked for.
pub(crate) const FIRST_BYTES: u64 = 512;
/// The least that is read next when nobody knows how far an index reaches.
const WINDOW_BYTES: u64 = 64 * 1024;

/// What has to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// This many bytes from the start of the file.
    Bytes(u64),
    /// Everything: an archive's index stands at its end, and its members' headers are all over the file.
    Whole,
}

/// How much of a file of `length` bytes has to be read, given its start. The answer is final once it is no
/// more than what is given; the start can be empty.
///
/// # Errors
/// `Limit` if the index is longer than allowed; as [`detect`] for content of no format.
pub(crate) fn head(start: &[u8], length: u64, budget: &mut Budget) -> Result<Head> {
    let given = to_u64(start.len());
    if given < FIRST_BYTES.min(length) {
        return Ok(Head::Bytes(FIRST_BYTES.min(length)));
    }
    let format = match format_of_start(start) {
        // Pickles of protocol 0 and 1 have no magic: they are known by their opcodes, which may go on.
        Err(_) if given < length && may_be_pickle(start, length) => return Ok(Head::Whole),
        format => format?,
    };
    match format {
        Format::Safetensors => safetensors(start, length, budget).in_format(Format::Safetensors),
        Format::Gguf if given < length => match gguf::head(start, budget) {
            Ok(end) => Ok(Head::Bytes(end.min(length))),
            Err(error) => {
                let next = wanted(&error, given, budget).in_format(Format::Gguf)?;
                let next = next.ok_or_else(|| error.in_format(Format::Gguf))?;
                Ok(Head::Bytes(next.min(length)))
            }
        },
        Format::Gguf => Ok(Head::Bytes(given)),
        _ => Ok(Head::Whole),
    }
}

fn safetensors(start: &[u8], length: u64, budget: &Budget) -> Result<Head> {
    let mut cursor: Cursor<'_> = Cursor::new(start);
    let header = cursor.u64("the header length")?;
    let end = cursor.offset().saturating_add(header);
    if end > length {
        // A broken file is not read to its end. Another format may start with such bytes, or none: whoever
        // sees all of it says which.
        return match detect(start) {
            Ok(Format::Safetensors) => Err(Error::malformed(Malformed::Truncated {
                what: "the header",
                needed: header,
                available: length.saturating_sub(cursor.offset()),
            })
            .at(cursor.offset())),
            _ => Ok(Head::Whole),
        };
    }
    budget.allow(Limit::HeaderBytes, header).at(0)?;
    Ok(Head::Bytes(end))
}

/// The format by the start alone. A header length is right only beside the file's own length, which is not
/// given here: a length that the start cannot hold is no reason to call the file something else.
pub(crate) fn format_of_start(start: &[u8]) -> Result<Format> {
    let is_open = start.get(8) == Some(&b'{');
    match detect(start) {
        Ok(format @ (Format::TorchZip | Format::Tar | Format::Gguf)) => Ok(format),
        _ if is_open => Ok(Format::Safetensors),
        detected => detected,
    }
}

/// How much to read next, if more could help: four times as much, or what the reader missed.
fn wanted(error: &Error, given: u64, budget: &Budget) -> Result<Option<u64>> {
    let Some(&Malformed::Truncated { needed, .. }) = error.as_malformed() else {
        return Ok(None);
    };
    budget.allow(Limit::HeaderBytes, given)?;
    let next = given.saturating_mul(4).max(WINDOW_BYTES);
    let missed = error.offset().unwrap_or(given).saturating_add(needed);
    let most = Limit::HeaderBytes.of(budget.limits());
    Ok(Some(next.max(missed.min(most)).max(given)))
}
