//! Tar archives: torch's oldest format, and those that hold checkpoints or anything else.

use super::look::{Look, Part, join};
use crate::bytes::to_usize;
use crate::findings::{Finding, Severity, Verdict};
use crate::formats::{self, tar, torch};

/// A part that starts as a tar archive does.
pub(super) fn look<'a>(look: &mut Look<'a, '_>, part: &Part<'a>) -> String {
    let data = part.data.clone();
    let bytes = data.bytes();
    let mut archive = match tar::Archive::read(bytes, &mut look.budget) {
        Ok(archive) => archive,
        Err(error) => {
            look.error(&error, part);
            return "tar".into();
        }
    };
    if let Err(error) = archive.expect_end(bytes, &look.budget) {
        look.error(&error, part);
    }
    if torch::is_legacy_tar(&archive) {
        match formats::read(bytes, &mut look.fresh()) {
            Ok(parsed) => look.add_all(parsed.index.findings(), part),
            Err(error) => look.error(&error, part),
        }
    }
    for member in archive.members() {
        let start = to_usize(member.data.start()).unwrap_or(usize::MAX);
        let length = to_usize(member.data.length()).unwrap_or_default();
        let inner = Part {
            stream: join(&part.stream, &member.name),
            base: part.base.saturating_add(member.data.start()),
            data: part.data.part(start, length),
            depth: part.depth.saturating_add(1),
            reason: part.reason,
            surroundings: part.surroundings,
        };
        look.push(part, inner);
    }
    let findings = archive.into_findings();
    let mut odd = findings.as_slice().iter();
    if let Some(odd) = odd.find(|finding| finding.code == "special-member") {
        // A link gives another member a name that a loader asks for, and not all types are known here.
        let severity = Severity::Verdict(Verdict::Unrecognised);
        let message = "links and members of other types: a loader may read what they lead to";
        let mut finding = Finding::new(severity, "special-member", message);
        finding.offset = odd.offset;
        look.add(finding, part);
    }
    look.add_all(&findings, part);
    "tar".into()
}
