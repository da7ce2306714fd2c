//! The central directory: one header per member (APPNOTE 4.3.12).
//!
//! ```text
//! | "PK\1\2" | made by u16 | needed u16 | flags u16 | method u16 | time u16 | date u16 | crc u32
//! | compressed u32 | size u32 | name length u16 | extra length u16 | comment length u16
//! | disk u16 | internal u16 | external u32 | header offset u32 | name | extra | comment |
//! ```

use super::end_of_central_directory::End;
use super::local_file_header;
use crate::bytes::{Cursor, Span, to_usize};
use crate::error::{Context, Error, Malformed, Result, shortened};
use crate::limits::{Budget, Limit};

const SIGNATURE: &[u8] = b"PK\x01\x02";
/// Bytes of a header without name, extra fields and comment.
const SHORTEST: u64 = 46;
/// Encrypted, patched, strongly encrypted, masked headers.
const REFUSED_FLAGS: u16 = 0x0001 | 0x0020 | 0x0040 | 0x2000;
/// Crc and sizes follow the data.
pub(super) const DESCRIPTOR: u16 = 0x0008;
/// The extra field that holds sizes and offset of 64 bits.
const ZIP64_EXTRA: u16 = 0x0001;
/// The extra field that holds another name, which some readers prefer.
const UNICODE_PATH_EXTRA: u16 = 0x7075;

/// How a member's bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// As they are.
    Stored,
    /// Compressed by deflate.
    Deflated,
}

/// One member of an archive.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Member<'a> {
    /// The name: plain components joined by `/`, a final `/` for a folder.
    pub name: &'a str,
    /// How the bytes are stored.
    pub method: Method,
    /// The bytes as they are stored.
    pub data: Span,
    /// How many bytes they are when read.
    pub size: u64,
    /// The checksum of those, 0 where the writer was told not to compute it.
    pub crc32: u32,
    pub(super) flags: u16,
    pub(super) header_at: u64,
    pub(super) declared_at: u64,
}

/// Reads every header, and the local header of each.
pub(super) fn read<'a>(bytes: &'a [u8], end: End, budget: &mut Budget) -> Result<Vec<Member<'a>>> {
    let directory = end.directory.slice(bytes).unwrap_or_default();
    let mut cursor: Cursor<'_> = Cursor::at(directory, end.directory.start());
    let mut members = Vec::new();
    // What the directory claims, as far as its bytes allow.
    let most = end.directory.length().checked_div(SHORTEST).unwrap_or(0);
    let most = to_usize(end.entries.min(most)).unwrap_or(0);
    budget.reserve(&mut members, most)?;
    while cursor.remaining() > 0 {
        let declared_at = cursor.offset();
        let member = read_one(&mut cursor, bytes).at(declared_at)?;
        budget.allow(Limit::NameBytes, crate::bytes::to_u64(member.name.len()))?;
        budget.grow(&mut members)?;
        members.push(member);
    }
    let found = crate::bytes::to_u64(members.len());
    if found != end.entries {
        return Err(Error::malformed(Malformed::Mismatch {
            what: "the number of entries",
            found: end.entries,
            expected: found,
        })
        .at(end.directory.end()));
    }
    Ok(members)
}

fn read_one<'a>(cursor: &mut Cursor<'a>, bytes: &'a [u8]) -> Result<Member<'a>> {
    let declared_at = cursor.offset();
    let signature = cursor.take("a central directory header", 4)?;
    if signature != SIGNATURE {
        let found = format!("{:?}", String::from_utf8_lossy(signature));
        return Err(Error::unexpected(
            "a signature",
            found,
            "a central directory header",
        ));
    }
    cursor.take("the versions", 4)?;
    let flags = cursor.u16("the flags")?;
    let method = method(cursor.u16("the method")?)?;
    cursor.take("time and date", 4)?;
    let crc32 = cursor.u32("the crc")?;
    let compressed = cursor.u32("the compressed size")?;
    let size = cursor.u32("the size")?;
    let name_length = cursor.u16("the name length")?;
    let extra_length = cursor.u16("the extra length")?;
    let comment_length = cursor.u16("the comment length")?;
    let disk = cursor.u16("the disk")?;
    cursor.take("the attributes", 6)?;
    let header_at = cursor.u32("the header offset")?;
    let name = name(cursor.take("the name", name_length.into())?)?;
    let extra = cursor.take("the extra fields", extra_length.into())?;
    cursor.take("the comment", comment_length.into())?;
    if flags & REFUSED_FLAGS != 0 {
        let flags = format!("{flags:#06x} (encrypted or patched)");
        return Err(Error::unsupported("zip flags", flags).in_member(name));
    }
    let wide = wide([size, compressed, header_at], disk, extra).in_member(name)?;
    let [size, compressed, header_at] = wide;
    let member = Member {
        name,
        method,
        data: Span::default(),
        size,
        crc32,
        flags,
        header_at,
        declared_at,
    };
    if method == Method::Stored && size != compressed {
        return Err(Error::malformed(Malformed::Mismatch {
            what: "the compressed size of a stored member",
            found: compressed,
            expected: size,
        })
        .in_member(name));
    }
    let data = local_file_header::read(bytes, &member, compressed).in_member(name)?;
    Ok(Member { data, ..member })
}

pub(super) fn method(code: u16) -> Result<Method> {
    match code {
        0 => Ok(Method::Stored),
        8 => Ok(Method::Deflated),
        _ => Err(Error::unsupported("zip compression method", code)),
    }
}

/// A name that means the same to every reader and file system: plain components, no way out.
fn name(bytes: &[u8]) -> Result<&str> {
    let Ok(name) = std::str::from_utf8(bytes) else {
        let what = "a member's name";
        return Err(Error::malformed(Malformed::NotUtf8 { what }));
    };
    if is_plain(bytes) {
        return Ok(name);
    }
    let path = name.strip_suffix('/').unwrap_or(name);
    let plain = path
        .split('/')
        .all(|component| !matches!(component, "" | "." | ".."));
    let odd = name.contains(['\\', ':']) || name.chars().any(char::is_control);
    if !plain || odd {
        let found = format!("{:?}", shortened(name));
        return Err(Error::unexpected(
            "a member's name",
            found,
            "plain path components",
        ));
    }
    Ok(name)
}

/// Whether a name is one of those that torch writes: letters, digits and a few signs, each component with
/// something beside dots. Others are looked at again.
fn is_plain(bytes: &[u8]) -> bool {
    let mut has_letter = false;
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => has_letter = true,
            b'.' => {}
            b'/' if has_letter => has_letter = false,
            _ => return false,
        }
    }
    has_letter
}

/// Size, compressed size and header offset, from the zip64 field where the header has no room.
fn wide(short: [u32; 3], disk: u16, extra: &[u8]) -> Result<[u64; 3]> {
    let mut wide = short.map(u64::from);
    let mut disk_is_wide = false;
    let mut seen = false;
    let mut cursor: Cursor<'_> = Cursor::new(extra);
    while cursor.remaining() > 0 {
        let id = cursor.u16("an extra field")?;
        let length = cursor.u16("an extra field")?;
        let field = cursor.take("an extra field", length.into())?;
        if id == UNICODE_PATH_EXTRA {
            let found = "a second name (Unicode path)";
            return Err(Error::unexpected(
                "an extra field",
                found,
                "one name per member",
            ));
        }
        if id != ZIP64_EXTRA {
            continue;
        }
        if std::mem::replace(&mut seen, true) {
            return Err(Error::duplicate("extra field", "zip64"));
        }
        let mut field: Cursor<'_> = Cursor::new(field);
        for number in &mut wide {
            if *number == u64::from(u32::MAX) {
                *number = field.u64("a zip64 number")?;
            }
        }
        if disk == u16::MAX {
            disk_is_wide = field.u32("the zip64 disk")? == 0;
        }
    }
    if disk != 0 && !disk_is_wide {
        return Err(Error::unsupported("a zip of several", "disks"));
    }
    Ok(wide)
}

/// The uncompressed and compressed size in the zip64 field of a local header.
pub(super) fn local_sizes(short: [u32; 2], extra: &[u8]) -> Result<[u64; 2]> {
    let [size, compressed] = short;
    let [size, compressed, _] = wide([size, compressed, 0], 0, extra)?;
    Ok([size, compressed])
}

impl Member<'_> {
    /// The bytes as they are stored.
    #[must_use]
    pub fn stored<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        self.data.slice(bytes).unwrap_or_default()
    }

    /// Whether the entry is a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.name.ends_with('/')
    }

    pub(super) fn has_descriptor(&self) -> bool {
        self.flags & DESCRIPTOR != 0
    }

    /// The size as memory; `None` if it does not fit this machine.
    pub(super) fn size_in_memory(&self) -> Option<usize> {
        to_usize(self.size)
    }
}
