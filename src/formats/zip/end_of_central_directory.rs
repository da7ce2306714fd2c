//! The end of central directory record, and its zip64 form (APPNOTE 4.3.14 to 4.3.16).
//!
//! ```text
//! | "PK\5\6" | disk u16 | directory disk u16 | entries here u16 | entries u16
//! | directory size u32 | directory offset u32 | comment length u16 | comment |
//! ```

use super::note_comment;
use crate::bytes::{Cursor, Span, to_u64, to_usize};
use crate::error::{Error, Malformed, Result};
use crate::findings::Findings;
use crate::limits::Budget;

const SIGNATURE: &[u8] = b"PK\x05\x06";
const ZIP64_SIGNATURE: &[u8] = b"PK\x06\x06";
const LOCATOR_SIGNATURE: &[u8] = b"PK\x06\x07";
/// Bytes of the record without its comment.
const RECORD: usize = 22;
const LOCATOR: u64 = 20;
/// Bytes of the zip64 record before its extensible part.
const ZIP64_RECORD: u64 = 56;

/// Where the central directory lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) entries: u64,
    pub(super) directory: Span,
}

/// The five fields that both records hold.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fields {
    disk: u64,
    directory_disk: u64,
    entries_here: u64,
    entries: u64,
    directory_bytes: u64,
    directory_offset: u64,
}

/// Finds and reads the record.
pub(super) fn read(bytes: &[u8], budget: &Budget, findings: &mut Findings) -> Result<End> {
    let at = find(bytes)?;
    let mut cursor: Cursor<'_> = Cursor::at(bytes.get(at..).unwrap_or_default(), to_u64(at));
    cursor.take("the signature", 4)?;
    let classic = Fields {
        disk: cursor.u16("the disk number")?.into(),
        directory_disk: cursor.u16("the directory's disk")?.into(),
        entries_here: cursor.u16("the entries on this disk")?.into(),
        entries: cursor.u16("the number of entries")?.into(),
        directory_bytes: cursor.u32("the directory size")?.into(),
        directory_offset: cursor.u32("the directory offset")?.into(),
    };
    let length = cursor.u16("the comment length")?;
    let comment_at = cursor.offset();
    let comment = cursor.take("the comment", length.into())?;
    if cursor.remaining() > 0 {
        return Err(Error::malformed(Malformed::TrailingBytes {
            what: "the end of the central directory",
            count: cursor.remaining(),
        })
        .at(cursor.offset()));
    }
    note_comment(comment, comment_at, budget, findings)?;
    let (fields, end) = match zip64(bytes, to_u64(at))? {
        Some((zip64, start)) => (agree(classic, zip64, to_u64(at))?, start),
        None => (classic, to_u64(at)),
    };
    if fields.disk != 0 || fields.directory_disk != 0 {
        return Err(Error::unsupported("a zip of several", "disks").at(to_u64(at)));
    }
    if fields.entries_here != fields.entries {
        return Err(mismatch(
            "the entries on this disk",
            fields.entries_here,
            fields.entries,
            at,
        ));
    }
    // The directory ends where the records start: nothing before, between or after.
    let directory_end = fields.directory_offset.checked_add(fields.directory_bytes);
    if directory_end != Some(end) {
        let found = directory_end.unwrap_or(u64::MAX);
        return Err(mismatch("the end of the central directory", found, end, at));
    }
    let directory = Span::new(
        "the central directory",
        fields.directory_offset,
        fields.directory_bytes,
        to_u64(bytes.len()),
    )?;
    Ok(End {
        entries: fields.entries,
        directory,
    })
}

/// The last record in the file; refused if a second one could be taken for it.
fn find(bytes: &[u8]) -> Result<usize> {
    let longest = RECORD.saturating_add(usize::from(u16::MAX));
    let start = bytes.len().saturating_sub(longest);
    let tail = bytes.get(start..).unwrap_or_default();
    let mut found = tail
        .windows(SIGNATURE.len())
        .enumerate()
        .rev()
        .filter(|(_, window)| *window == SIGNATURE)
        .map(|(at, _)| start.saturating_add(at));
    let last = found.next().ok_or_else(|| {
        let name = "end of central directory";
        Error::missing("record", name).at(to_u64(bytes.len()))
    })?;
    // Another one counts only if its comment, too, would reach the end of the file.
    let rival = found.find(|&at| {
        let length = bytes
            .get(at.saturating_add(20)..)
            .and_then(|rest| rest.first_chunk::<2>());
        length.is_some_and(|length| {
            let end = at.saturating_add(RECORD);
            end.saturating_add(u16::from_le_bytes(*length).into()) == bytes.len()
        })
    });
    match rival {
        Some(rival) => {
            Err(Error::duplicate("record", "end of central directory").at(to_u64(rival)))
        }
        None => Ok(last),
    }
}

/// The zip64 record before the classic one at `at`, and where it starts.
fn zip64(bytes: &[u8], at: u64) -> Result<Option<(Fields, u64)>> {
    let Some(locator_at) = at.checked_sub(LOCATOR) else {
        return Ok(None);
    };
    let locator = Span::new("the zip64 locator", locator_at, LOCATOR, at)?;
    let locator = locator.slice(bytes).unwrap_or_default();
    if !locator.starts_with(LOCATOR_SIGNATURE) {
        return Ok(None);
    }
    let mut cursor: Cursor<'_> = Cursor::at(locator, locator_at);
    cursor.take("the signature", 4)?;
    let disk = cursor.u32("the zip64 record's disk")?;
    let start = cursor.u64("the zip64 record's offset")?;
    let disks = cursor.u32("the number of disks")?;
    if disk != 0 || disks > 1 {
        return Err(Error::unsupported("a zip of several", "disks").at(locator_at));
    }
    let length = locator_at.saturating_sub(start);
    let record = Span::new(
        "the zip64 record",
        start,
        length.max(ZIP64_RECORD),
        locator_at,
    )?;
    let mut cursor: Cursor<'_> = Cursor::at(record.slice(bytes).unwrap_or_default(), start);
    if cursor.take("the signature", 4)? != ZIP64_SIGNATURE {
        return Err(Error::missing("record", "zip64 end of central directory").at(start));
    }
    let size = cursor.u64("the size of the zip64 record")?;
    // The size counts what follows it, and the record must end at the locator.
    if size != cursor.remaining() {
        let at = to_usize(start).unwrap_or_default();
        return Err(mismatch(
            "the size of the zip64 record",
            size,
            cursor.remaining(),
            at,
        ));
    }
    cursor.u16("the version made by")?;
    cursor.u16("the version needed")?;
    let fields = Fields {
        disk: cursor.u32("the disk number")?.into(),
        directory_disk: cursor.u32("the directory's disk")?.into(),
        entries_here: cursor.u64("the entries on this disk")?,
        entries: cursor.u64("the number of entries")?,
        directory_bytes: cursor.u64("the directory size")?,
        directory_offset: cursor.u64("the directory offset")?,
    };
    Ok(Some((fields, start)))
}

/// Each classic field is saturated or says what the zip64 field says: readers differ in which of
/// the two they take.
fn agree(classic: Fields, zip64: Fields, at: u64) -> Result<Fields> {
    let (short, long) = (u64::from(u16::MAX), u64::from(u32::MAX));
    let pairs = [
        ("the disk number", classic.disk, zip64.disk, short),
        (
            "the directory's disk",
            classic.directory_disk,
            zip64.directory_disk,
            short,
        ),
        (
            "the entries on this disk",
            classic.entries_here,
            zip64.entries_here,
            short,
        ),
        (
            "the number of entries",
            classic.entries,
            zip64.entries,
            short,
        ),
        (
            "the directory size",
            classic.directory_bytes,
            zip64.directory_bytes,
            long,
        ),
        (
            "the directory offset",
            classic.directory_offset,
            zip64.directory_offset,
            long,
        ),
    ];
    for (what, classic, zip64, saturated) in pairs {
        if classic != zip64 && classic != saturated {
            return Err(mismatch(
                what,
                classic,
                zip64,
                to_usize(at).unwrap_or_default(),
            ));
        }
    }
    Ok(zip64)
}

#[cold]
fn mismatch(what: &'static str, found: u64, expected: u64, at: usize) -> Error {
    Error::malformed(Malformed::Mismatch {
        what,
        found,
        expected,
    })
    .at(to_u64(at))
}
