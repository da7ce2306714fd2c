//! Zip archives: torch's, and any other.

use std::sync::Arc;

use super::look::{Data, Look, Part, Reason, join};
use crate::bytes::{to_u64, to_usize};
use crate::findings::{Finding, Severity};
use crate::formats::pickle::Surroundings;
use crate::formats::zip::{Archive, Member, Method, inflate, salvage};
use crate::formats::{self};

/// What stands in an archive of torch's, behind its first folder.
const TORCH: &[&str] = &[
    "data.pkl",
    "constants.pkl",
    "model.json",
    "attributes.pkl",
    ".data/version",
    ".data/extern_modules",
    "archive_format",
    "byteorder",
];

/// Folders of storages. Elements look like pickles now and then, and no loader takes them for some.
const STORAGES: &[&str] = &["data/", "constants/", "tensors/", "xl."];

/// Bytes of a broken archive's member that are looked at, and of all its members.
const MOST_SALVAGED: usize = 1 << 20;
const MOST_SALVAGED_IN_ALL: usize = 64 << 20;

/// A part that starts as a zip archive does.
pub(super) fn look<'a>(look: &mut Look<'a, '_>, part: &Part<'a>) -> String {
    let data = part.data.clone();
    let bytes = data.bytes();
    let archive = match Archive::read(bytes, &mut look.budget) {
        Ok(archive) => archive,
        Err(_) if concatenated(look, part) => return "archives in a row".into(),
        Err(error) => {
            look.error(&error, part);
            remains(look, part);
            return "zip".into();
        }
    };
    let torch = has_any(&archive, TORCH);
    let script = has_any(&archive, &["constants.pkl", "model.json"]);
    let mut content = String::from("zip");
    if torch {
        match formats::read(bytes, &mut look.fresh()) {
            Ok(parsed) => {
                look.add_all(parsed.index.findings(), part);
                content = parsed.format.name().into();
            }
            Err(error) => look.error(&error, part),
        }
    }
    for member in archive.members() {
        let inner = member.name.split_once('/').map_or("", |(_, inner)| inner);
        if member.is_folder() || (torch && is_storage(inner)) {
            continue;
        }
        let surroundings = if script {
            Surroundings::Script
        } else {
            Surroundings::Anywhere
        };
        let reason = if torch { Reason::Beside } else { Reason::Whole };
        member_of(look, part, member, reason, surroundings);
    }
    look.add_all(&archive.into_findings(), part);
    content
}

/// Whether a name is one of those that torch gives to storages: in a folder of theirs, and without an ending
/// by which another loader would know it.
fn is_storage(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or_default();
    let plain = STORAGES.iter().any(|folder| name.starts_with(folder)) && !last.contains('.');
    plain || last.ends_with(".storage") || (name.starts_with("xl.") && !name.contains('/'))
}

fn has_any(archive: &Archive<'_>, names: &[&str]) -> bool {
    archive.members().iter().any(|member| {
        let inner = member.name.split_once('/').map_or("", |(_, inner)| inner);
        names.iter().any(|name| inner.eq_ignore_ascii_case(name))
    })
}

/// Puts a member on the list.
fn member_of<'a>(
    look: &mut Look<'a, '_>,
    part: &Part<'a>,
    member: &Member<'_>,
    reason: Reason,
    surroundings: Surroundings,
) {
    let stream = join(&part.stream, member.name);
    let (base, data) = if member.method == Method::Stored {
        let start = to_usize(member.data.start()).unwrap_or(usize::MAX);
        let length = to_usize(member.data.length()).unwrap_or_default();
        // Offsets are those in the file, as long as there is nothing between.
        (
            part.base.saturating_add(member.data.start()),
            part.data.part(start, length),
        )
    } else {
        match inflate(part.data.bytes(), member, &mut look.budget) {
            Ok(Some(buffer)) => {
                let length = buffer.bytes().len();
                (0, Data::Inflated(Arc::new(buffer), 0..length))
            }
            Ok(None) => return,
            Err(error) => return look.error(&error, part),
        }
    };
    let inner = Part {
        stream,
        base,
        data,
        depth: part.depth.saturating_add(1),
        reason,
        surroundings,
    };
    look.push(part, inner);
}

/// Several whole archives in a row, as distributed checkpoints write them.
fn concatenated<'a>(look: &mut Look<'a, '_>, part: &Part<'a>) -> bool {
    const END: &[u8] = b"PK\x05\x06";
    const END_BYTES: usize = 22;
    const MOST: usize = 100_000;
    const MOST_FAILURES: u32 = 64;
    let data = part.data.clone();
    let bytes = data.bytes();
    let (mut start, mut at, mut failures) = (0, 0, 0_u32);
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    while start < bytes.len() && ranges.len() < MOST {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(next) = rest.windows(4).position(|window| window == END) else {
            return false;
        };
        let end = at.saturating_add(next).saturating_add(END_BYTES);
        at = at.saturating_add(next).saturating_add(4);
        let Some(archive) = bytes.get(start..end) else {
            return false;
        };
        if Archive::read(archive, &mut look.fresh()).is_ok() {
            if ranges.try_reserve(1).is_err() {
                look.out_of_memory(part);
                return false;
            }
            ranges.push((start, end));
            start = end;
            at = end;
        } else {
            // A signature inside a member, now and then.
            failures = failures.saturating_add(1);
            if failures > MOST_FAILURES {
                return false;
            }
        }
    }
    if ranges.len() < 2 {
        return false;
    }
    let message = format!("{} archives stand in a row", ranges.len());
    look.add(
        Finding::new(Severity::Note, "archives-in-a-row", message),
        part,
    );
    for (start, end) in ranges {
        let inner = Part {
            stream: join(&part.stream, &format!("archive at {start:#x}")),
            base: part.base.saturating_add(to_u64(start)),
            data: part.data.part(start, end.saturating_sub(start)),
            depth: part.depth.saturating_add(1),
            reason: part.reason,
            surroundings: part.surroundings,
        };
        look.push(part, inner);
    }
    true
}

/// Looks for payloads in what is left of a broken archive.
fn remains<'a>(look: &mut Look<'a, '_>, part: &Part<'a>) {
    let data = part.data.clone();
    let mut left = MOST_SALVAGED_IN_ALL;
    for remains in salvage::remains(data.bytes()) {
        let start = to_usize(remains.start).unwrap_or(usize::MAX);
        let most = left.min(MOST_SALVAGED);
        let (base, data) = match remains.method {
            Method::Stored => (
                part.base.saturating_add(remains.start),
                part.data.part(start, most),
            ),
            Method::Deflated => {
                let buffer = match salvage::inflate_prefix(remains.rest, most) {
                    Ok(buffer) => buffer,
                    Err(error) => return look.error(&error, part),
                };
                let length = buffer.bytes().len();
                if look.budget.spend_inflated(to_u64(length)).is_err() {
                    return;
                }
                (0, Data::Inflated(Arc::new(buffer), 0..length))
            }
        };
        left = left.saturating_sub(data.bytes().len());
        let inner = Part {
            stream: join(&part.stream, &remains.name),
            base,
            data,
            depth: part.depth.saturating_add(1),
            reason: Reason::Suspected,
            surroundings: part.surroundings,
        };
        look.push(part, inner);
    }
}
