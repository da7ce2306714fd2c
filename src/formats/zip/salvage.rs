//! What can still be seen of an archive that breaks the rules: whatever follows a local header.
//!
//! For those who look for payloads only. Where a loader is more forgiving than [`Archive::read`], what it
//! would load is still looked at; nothing that is found here makes an archive readable.
//!
//! [`Archive::read`]: super::Archive::read

use std::io::Read;

use super::Method;
use crate::bytes::{Buffer, Cursor, to_u64, to_usize};
use crate::error::{Error, Result, shortened_bytes};

const SIGNATURE: &[u8] = b"PK\x03\x04";

/// Local headers looked at; each costs a walk.
const MOST_HEADERS: usize = 10_000;

/// A local header that was found, and what follows it: more than the member's bytes, if it is stored.
#[derive(Debug)]
#[non_exhaustive]
pub struct Remains<'a> {
    /// The name in the local header, shortened to 200 characters.
    pub name: String,
    /// How the bytes are stored.
    pub method: Method,
    /// Where they start.
    pub start: u64,
    /// Everything from there on.
    pub rest: &'a [u8],
}

/// Every place that looks like a member.
pub fn remains(bytes: &[u8]) -> impl Iterator<Item = Remains<'_>> {
    let mut at = 0_usize;
    let found = std::iter::from_fn(move || {
        loop {
            let rest = bytes.get(at..)?;
            let next = rest.windows(4).position(|window| window == SIGNATURE)?;
            let start = at.saturating_add(next);
            at = start.saturating_add(4);
            if let Some(remains) = header(bytes, start) {
                return Some(remains);
            }
        }
    });
    found.take(MOST_HEADERS)
}

fn header(bytes: &[u8], start: usize) -> Option<Remains<'_>> {
    let mut cursor: Cursor<'_> = Cursor::at(bytes.get(start..)?, to_u64(start));
    cursor.take("signature, version and flags", 8).ok()?;
    let method = match cursor.u16("the method").ok()? {
        8 => Method::Deflated,
        // What is called compressed in another way may be stored all the same.
        _ => Method::Stored,
    };
    cursor.take("time, date, crc and sizes", 16).ok()?;
    let name_length = cursor.u16("the name length").ok()?;
    let extra_length = cursor.u16("the extra length").ok()?;
    let name = cursor.take("the name", name_length.into()).ok()?;
    let name = shortened_bytes(name);
    cursor.take("the extra fields", extra_length.into()).ok()?;
    let rest = bytes.get(to_usize(cursor.offset())?..)?;
    Some(Remains {
        name,
        method,
        start: cursor.offset(),
        rest,
    })
}

/// Inflates as much as there is, at most `most` bytes.
///
/// # Errors
/// `Io` if the machine has no memory left.
pub fn inflate_prefix(rest: &[u8], most: usize) -> Result<Buffer> {
    let mut inflated = Vec::new();
    let mut decoder = flate2::bufread::DeflateDecoder::new(rest).take(to_u64(most));
    // Broken data ends it: what came before counts.
    let mut step = vec![0; 4096];
    while let Ok(read @ 1..) = decoder.read(&mut step) {
        inflated
            .try_reserve(read)
            .map_err(|_| Error::out_of_memory())?;
        inflated.extend_from_slice(step.get(..read).unwrap_or_default());
    }
    let mut buffer = Buffer::zeroed(inflated.len())?;
    buffer.bytes_mut().copy_from_slice(&inflated);
    Ok(buffer)
}
