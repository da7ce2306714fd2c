//! One header block.

use super::{block, text};
use crate::bytes::to_u64;
use crate::error::{Error, Malformed, Result};

/// Bytes of a block.
pub(super) const BLOCK: u64 = 512;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// Records for the next member.
    Pax,
    PaxGlobal,
    /// GNU: the name of the next member.
    LongName,
    /// Links, devices, pipes, sparse files.
    Other(u8),
}

#[derive(Debug)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) size: u64,
}

impl Header {
    /// The header at `at`; `None` where the archive ends: at a block of zeros, or with the file.
    pub(super) fn read(bytes: &[u8], at: u64) -> Result<Option<Self>> {
        let rest = block(bytes, at).unwrap_or_default();
        let Some(header) = rest.first_chunk::<512>() else {
            if rest.iter().all(|&byte| byte == 0) {
                return Ok(None);
            }
            return Err(Error::malformed(Malformed::Truncated {
                what: "a tar header",
                needed: BLOCK,
                available: to_u64(rest.len()),
            })
            .at(at));
        };
        if header.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if !is_header(header) {
            let found = "unlike the sum of its bytes";
            let error = Error::unexpected("the checksum of a tar header", found, "the sum");
            return Err(error.at(at));
        }
        let kind = match header.get(156) {
            Some(b'0' | b'\0' | b'7') => Kind::File,
            Some(b'5') => Kind::Folder,
            Some(b'x' | b'X') => Kind::Pax,
            Some(b'g') => Kind::PaxGlobal,
            Some(b'L') => Kind::LongName,
            Some(&other) => Kind::Other(other),
            None => Kind::Other(0),
        };
        let size = number(field(header, 124, 12)).ok_or_else(|| {
            Error::malformed(Malformed::Invalid {
                what: "the size of a tar member",
                reason: String::from("it is no octal number"),
            })
            .at(at)
        })?;
        // A folder, link or device has no data, whatever its size says.
        let size = match kind {
            Kind::Folder | Kind::Other(b'1'..=b'6') => 0,
            _ => size,
        };
        let mut name = text(field(header, 0, 100), at)?;
        let is_posix = field(header, 257, 6) == b"ustar\0";
        let prefix = text(
            if is_posix {
                field(header, 345, 155)
            } else {
                b""
            },
            at,
        )?;
        if !prefix.is_empty() {
            name = format!("{prefix}/{name}");
        }
        // Before ustar, which gave files the type `0`, a folder was a file whose name ends in a slash.
        let is_old = field(header, 156, 1) == b"\0";
        let kind = match kind {
            Kind::File if is_old && name.ends_with('/') => Kind::Folder,
            kind => kind,
        };
        Ok(Some(Self { name, kind, size }))
    }
}

/// Whether bytes start with a tar header: its checksum is right. That is how `tarfile` tells, and torch
/// with it, whatever else the bytes could be.
#[must_use]
pub fn is_header(bytes: &[u8]) -> bool {
    let Some(header) = bytes.first_chunk::<512>() else {
        return false;
    };
    if header.first() == Some(&0) {
        return false;
    }
    // Most files have no number there: then there is nothing to add up.
    let stated = number(field(header, 148, 8)).and_then(|stated| i64::try_from(stated).ok());
    let Some(stated) = stated else {
        return false;
    };
    // The field itself counts as eight spaces. Old writers summed signed bytes.
    let counted = |at: usize| !(148..156).contains(&at);
    let spaces: i64 = 8 * 32;
    let mut unsigned = spaces;
    let mut signed = spaces;
    for (at, &byte) in header.iter().enumerate() {
        if counted(at) {
            unsigned = unsigned.saturating_add(i64::from(byte));
            signed = signed.saturating_add(i64::from(byte.cast_signed()));
        }
    }
    stated == unsigned || stated == signed
}

fn field(header: &[u8; 512], start: usize, length: usize) -> &[u8] {
    start
        .checked_add(length)
        .and_then(|end| header.get(start..end))
        .unwrap_or_default()
}

/// Octal digits, or GNU's binary form: 0x80, then a big-endian number.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((0x80, digits)) = field.split_first() {
        return digits.iter().try_fold(0, |number: u64, &digit| {
            number.checked_mul(256)?.checked_add(digit.into())
        });
    }
    let end = field.iter().position(|&byte| byte == 0);
    let text = std::str::from_utf8(field.get(..end.unwrap_or(field.len()))?).ok()?;
    let digits = text.trim_matches(' ');
    match digits {
        "" => Some(0),
        digits if digits.starts_with('+') => None,
        digits => u64::from_str_radix(digits, 8).ok(),
    }
}
