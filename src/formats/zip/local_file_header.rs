//! The local header before a member's data, and the descriptor after it (APPNOTE 4.3.7, 4.3.9).
//!
//! ```text
//! | "PK\3\4" | needed u16 | flags u16 | method u16 | time u16 | date u16 | crc u32
//! | compressed u32 | size u32 | name length u16 | extra length u16 | name | extra | data |
//! | "PK\7\8" | crc u32 | compressed u32 or u64 | size u32 or u64 |
//! ```
//!
//! torch writes 0 for crc and sizes here, and the real ones in the descriptor and the directory.

use super::central_directory::{Member, local_sizes, method};
use crate::bytes::{Cursor, Span, to_u64, to_usize};
use crate::error::{Error, Malformed, Result, shortened_bytes};

const SIGNATURE: &[u8] = b"PK\x03\x04";
const DESCRIPTOR_SIGNATURE: &[u8] = b"PK\x07\x08";

/// Checks the local header against the directory and gives the span of the data.
pub(super) fn read(bytes: &[u8], member: &Member<'_>, compressed: u64) -> Result<Span> {
    let start = to_usize(member.header_at).unwrap_or(usize::MAX);
    let rest = bytes.get(start..).unwrap_or_default();
    let mut cursor: Cursor<'_> = Cursor::at(rest, member.header_at);
    if cursor.take("a local header", 4)? != SIGNATURE {
        let found = "another record";
        return Err(Error::unexpected("a local header", found, "PK\\3\\4").at(member.header_at));
    }
    cursor.take("the version", 2)?;
    let flags = cursor.u16("the flags")?;
    let method_code = cursor.u16("the method")?;
    cursor.take("time and date", 4)?;
    let crc32 = cursor.u32("the crc")?;
    let local_compressed = cursor.u32("the compressed size")?;
    let local_size = cursor.u32("the size")?;
    let name_length = cursor.u16("the name length")?;
    let extra_length = cursor.u16("the extra length")?;
    let name = cursor.take("the name", name_length.into())?;
    let extra = cursor.take("the extra fields", extra_length.into())?;
    if name != member.name.as_bytes() {
        let found = format!("{:?}", shortened_bytes(name));
        let expected = "the directory's name";
        return Err(Error::unexpected("the local name", found, expected).at(member.header_at));
    }
    agree("the local flags", flags.into(), member.flags.into(), member)?;
    if method(method_code)? != member.method {
        return Err(mismatch("the local method", method_code.into(), 0, member));
    }
    let [size, local_compressed] = local_sizes([local_size, local_compressed], extra)?;
    let numbers = [
        ("the local crc", u64::from(crc32), u64::from(member.crc32)),
        ("the local size", size, member.size),
        ("the local compressed size", local_compressed, compressed),
    ];
    for (what, local, central) in numbers {
        // With a descriptor, the local header may leave the number open.
        if !(member.has_descriptor() && local == 0) {
            agree(what, local, central, member)?;
        }
    }
    Span::new("a member", cursor.offset(), compressed, to_u64(bytes.len()))
}

/// Where a member ends, descriptor included, when the next part starts at `next`.
pub(super) fn end(bytes: &[u8], member: Option<&Member<'_>>, end: u64, next: u64) -> Result<u64> {
    let Some(member) = member.filter(|member| member.has_descriptor()) else {
        return Ok(end);
    };
    let Some(length) = next.checked_sub(end) else {
        return Ok(end);
    };
    if !matches!(length, 12 | 16 | 20 | 24) {
        return Ok(end);
    }
    let span = Span::new("a data descriptor", end, length, to_u64(bytes.len()))?;
    let mut cursor: Cursor<'_> = Cursor::at(span.slice(bytes).unwrap_or_default(), end);
    if matches!(length, 16 | 24) && cursor.take("the signature", 4)? != DESCRIPTOR_SIGNATURE {
        let found = "without its signature";
        return Err(Error::unexpected("a data descriptor", found, "PK\\7\\8").at(end));
    }
    let crc32 = cursor.u32("the crc")?;
    let (compressed, size) = if length >= 20 {
        (cursor.u64("the compressed size")?, cursor.u64("the size")?)
    } else {
        (
            cursor.u32("the compressed size")?.into(),
            cursor.u32("the size")?.into(),
        )
    };
    let numbers = [
        (
            "the descriptor's crc",
            u64::from(crc32),
            u64::from(member.crc32),
        ),
        (
            "the descriptor's compressed size",
            compressed,
            member.data.length(),
        ),
        ("the descriptor's size", size, member.size),
    ];
    for (what, found, expected) in numbers {
        if found != expected {
            return Err(Error::malformed(Malformed::Mismatch {
                what,
                found,
                expected,
            })
            .at(end));
        }
    }
    Ok(next)
}

fn agree(what: &'static str, found: u64, expected: u64, member: &Member<'_>) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(mismatch(what, found, expected, member))
}

#[cold]
fn mismatch(what: &'static str, found: u64, expected: u64, member: &Member<'_>) -> Error {
    Error::malformed(Malformed::Mismatch {
        what,
        found,
        expected,
    })
    .at(member.header_at)
}
