//! The bytes of a member: as they are, or inflated within the limits.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::central_directory::{Member, Method};
use crate::bytes::{Buffer, to_u64};
use crate::error::{Context, Error, Malformed, Result};
use crate::limits::{Budget, Limit};

/// Inflates a deflated member; `None` for a stored one, whose bytes can be borrowed.
///
/// # Errors
/// `Limit` before anything is allocated if the member claims more than the limits allow,
/// `Malformed` if it does not inflate to exactly the size and checksum that the directory states.
pub fn inflate(bytes: &[u8], member: &Member<'_>, budget: &mut Budget) -> Result<Option<Buffer>> {
    if member.method == Method::Stored {
        return Ok(None);
    }
    inflate_inner(bytes, member, budget)
        .map(Some)
        .in_member(member.name)
        .at(member.data.start())
}

fn inflate_inner(bytes: &[u8], member: &Member<'_>, budget: &mut Budget) -> Result<Buffer> {
    let stored = member.stored(bytes);
    let ratio = member
        .size
        .checked_div(member.data.length())
        .unwrap_or(member.size);
    budget.allow(Limit::InflateRatio, ratio)?;
    budget.spend_inflated(member.size)?;
    let size = member.size_in_memory().ok_or_else(Error::out_of_memory)?;
    let mut buffer = Buffer::zeroed(size)?;
    let mut decompress = Decompress::new(false);
    let status = decompress
        .decompress(stored, buffer.bytes_mut(), FlushDecompress::Finish)
        .map_err(|error| invalid(&error.to_string()))?;
    if status != Status::StreamEnd {
        return Err(invalid("it is longer than the directory says, or cut off"));
    }
    let sizes = [
        ("the inflated size", decompress.total_out(), member.size),
        (
            "the deflated size",
            decompress.total_in(),
            to_u64(stored.len()),
        ),
    ];
    for (what, found, expected) in sizes {
        if found != expected {
            return Err(Error::malformed(Malformed::Mismatch {
                what,
                found,
                expected,
            }));
        }
    }
    compare_crc(buffer.bytes(), member)?;
    Ok(buffer)
}

/// Compares the checksum of a member's bytes with the directory's; a checksum of 0 says that the
/// writer did not compute one.
///
/// # Errors
/// `Malformed` if they differ.
pub fn check_crc(contents: &[u8], member: &Member<'_>) -> Result<()> {
    compare_crc(contents, member)
        .in_member(member.name)
        .at(member.data.start())
}

fn compare_crc(contents: &[u8], member: &Member<'_>) -> Result<()> {
    if member.crc32 == 0 {
        return Ok(());
    }
    let mut crc = Crc::new();
    crc.update(contents);
    if crc.sum() == member.crc32 {
        return Ok(());
    }
    Err(Error::malformed(Malformed::Mismatch {
        what: "the checksum of the data",
        found: crc.sum().into(),
        expected: member.crc32.into(),
    }))
}

#[cold]
fn invalid(reason: &str) -> Error {
    Error::malformed(Malformed::Invalid {
        what: "the deflated data",
        reason: reason.to_owned(),
    })
}
