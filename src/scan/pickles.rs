//! Pickles: one or several in a row, those in bytes that a call is given, joblib's with arrays between.

use super::joblib::{Heard, Listener, Loader};
use super::look::{Data, Look, Part, Reason, join};
use super::text;
use crate::bytes::{to_u64, to_usize};
use crate::error::{Error, ErrorKind, shortened};
use crate::findings::{Finding, Findings, Severity, Verdict};
use crate::formats::pickle::{self, Judge, NodeId, Tree, Value};
use crate::formats::{self, torch};

/// What the pickles of a part say.
struct Walked<'a> {
    findings: Findings,
    /// Why the first pickle could not be walked.
    error: Option<Error>,
    /// What was heard of all of them.
    heard: Heard,
    /// Where the last pickle ends.
    end: usize,
    embedded: Vec<Part<'a>>,
}

/// A part that starts as a pickle does.
pub(super) fn look<'a>(look: &mut Look<'a, '_>, part: &Part<'a>) -> String {
    let walked = walk(look, part);
    let data = part.data.clone();
    let bytes = data.bytes();
    let has_magic = matches!(bytes, [0x80, 0..=5, ..]);
    // A text may start like a pickle of protocol 0: "cat" asks for module "at". It is one if it walks to
    // its end or asks for something dangerous.
    let dangerous = walked.findings.verdict() == Verdict::Dangerous;
    let broken = walked
        .error
        .as_ref()
        .is_some_and(|error| error.kind() != ErrorKind::Limit);
    // Something would be called before it breaks: then it is no text, and not just a start that fits.
    let runs = walked.findings.verdict() >= Verdict::Unrecognised
        && walked.heard.imports
        && walked.heard.calls;
    let stops = walked.heard.stops;
    if broken && !dangerous && !runs && !stops {
        if !has_magic && text::is_text(bytes) {
            return text::look(look, part);
        }
        if !has_magic || part.reason == Reason::Beside {
            look.not_read("unknown content", part);
            return "unknown".into();
        }
    }
    let distributed = walked.findings.verdict() == Verdict::Unrecognised;
    if let (true, Ok(plan)) = (
        distributed,
        torch::distributed::read(bytes, &mut look.fresh()),
    ) {
        look.add_all(&plan.findings, part);
        return "torch-distributed".into();
    }
    look.add_all(&walked.findings, part);
    for embedded in walked.embedded {
        look.push(part, embedded);
    }
    if let Some(error) = walked.error {
        look.error(&error, part);
        return "pickle".into();
    }
    if walked.heard.arrays {
        note_rest(look, part, walked.end);
        return "joblib".into();
    }
    // A part of a file has its tensors read with the file, if at all.
    if part.reason == Reason::Beside || part.base != 0 {
        return "pickle".into();
    }
    read(look, part)
}

/// Reads the tensors, so that a storage or an array that is not what it claims is found too.
fn read<'a>(look: &mut Look<'a, '_>, part: &Part<'a>) -> String {
    match formats::read(part.data.bytes(), &mut look.fresh()) {
        Ok(parsed) => {
            look.add_all(parsed.index.findings(), part);
            parsed.format.name().into()
        }
        Err(error) => {
            look.error(&error, part);
            "pickle".into()
        }
    }
}

fn note_rest(look: &mut Look<'_, '_>, part: &Part<'_>, end: usize) {
    let count = part.data.bytes().len().saturating_sub(end);
    if count > 0 {
        let message = format!("{count} bytes follow the pickle");
        let finding = Finding::new(Severity::Warning, "trailing-bytes", message);
        look.add(finding.at(part.base.saturating_add(to_u64(end))), part);
    }
}

/// Bytes where no pickle should be: only one that imports something counts.
pub(super) fn suspected<'a>(look: &mut Look<'a, '_>, part: &Part<'a>) -> &'static str {
    let walked = walk(look, part);
    if let Some(error) = walked
        .error
        .as_ref()
        .filter(|error| error.kind() == ErrorKind::Limit)
    {
        look.error(error, part);
    }
    if walked.findings.verdict() < Verdict::Unrecognised {
        return "data";
    }
    if !walked.heard.imports {
        return "data";
    }
    let message = "a pickle stands where data should be";
    let finding = Finding::new(Severity::Warning, "hidden-pickle", message);
    look.add(finding.at(part.base), part);
    look.add_all(&walked.findings, part);
    for embedded in walked.embedded {
        look.push(part, embedded);
    }
    "pickle"
}

/// Walks the pickles that follow each other from the start of a part.
fn walk<'a>(look: &mut Look<'a, '_>, part: &Part<'a>) -> Walked<'a> {
    let data = part.data.clone();
    let bytes = data.bytes();
    let mut walked = Walked {
        findings: Findings::default(),
        error: None,
        heard: Heard::default(),
        end: 0,
        embedded: Vec::new(),
    };
    let mut number: u32 = 0;
    while walked.end < bytes.len() {
        let rest = bytes.get(walked.end..).unwrap_or_default();
        let base = part.base.saturating_add(to_u64(walked.end));
        let mut budget = look.fresh();
        let judge = Judge::new("", budget.policy()).within(part.surroundings);
        let mut listener = Listener::new(judge, base, look.fresh(), Loader::Joblib);
        let loaded = pickle::load(rest, base, &mut listener, &mut budget);
        let (heard, judge, inner) = listener.into_parts();
        walked.heard.arrays |= heard.arrays;
        walked.heard.imports |= heard.imports;
        walked.heard.calls |= heard.calls;
        walked.heard.stops |= heard.stops;
        if heard.arrays {
            walked
                .findings
                .append(others(look, part, rest, base, heard));
        }
        if let Ok(loaded) = &loaded {
            for &id in judge.embedded() {
                if let Some(inner) = embedded(&loaded.tree, id, part) {
                    match walked.embedded.try_reserve(1) {
                        Ok(()) => walked.embedded.push(inner),
                        Err(_) => look.out_of_memory(part),
                    }
                }
            }
        }
        let found = judge.into_findings();
        match loaded {
            Ok(loaded) => {
                walked.findings.append(found);
                walked.end = walked.end.saturating_add(loaded.length);
            }
            Err(error) if number == 0 => {
                walked.findings.append(found);
                walked.findings.append(inner);
                walked.error = Some(error);
                return walked;
            }
            Err(_) => {
                // What follows is no pickle, unless it asks for something before it breaks.
                if found.verdict() == Verdict::Dangerous || heard.imports {
                    walked.findings.append(found);
                }
                return walked;
            }
        }
        walked.findings.append(inner);
        number = number.saturating_add(1);
    }
    walked
}

/// What loaders that do not know joblib's arrays, or not their padding, would do where they leave its way.
fn others(look: &Look<'_, '_>, part: &Part<'_>, rest: &[u8], base: u64, joblib: Heard) -> Findings {
    let mut findings = Findings::default();
    for loader in [Loader::Plain, Loader::Unpadded] {
        if loader == Loader::Unpadded && !joblib.padding {
            continue;
        }
        let mut budget = look.fresh();
        let judge = Judge::new("", budget.policy()).within(part.surroundings);
        let mut listener = Listener::new(judge, base, look.fresh(), loader);
        // It breaks in the middle of an array, mostly: only what it would have done before counts.
        let loaded = pickle::load(rest, base, &mut listener, &mut budget);
        let (heard, judge, _) = listener.into_parts();
        if heard.imports || heard.calls {
            findings.append(judge.into_findings());
        }
        if let Some(error) = loaded
            .err()
            .filter(|error| error.kind() == ErrorKind::Limit)
        {
            let severity = Severity::Verdict(Verdict::Incomplete);
            findings.push(Finding::new(severity, "limit", error.to_string()).at(base));
        }
    }
    findings
}

/// Bytes that a call was given, as a part of their own.
fn embedded<'a>(tree: &Tree<'_>, id: NodeId, part: &Part<'a>) -> Option<Part<'a>> {
    let (Value::Bytes(bytes) | Value::ByteArray(bytes)) = tree.value(id) else {
        return None;
    };
    let at = tree.bytes_offset(id)?;
    let start = to_usize(at.checked_sub(part.base)?)?;
    let data: Data<'a> = part.data.part(start, bytes.len());
    let stream = join(&part.stream, &shortened(&format!("bytes at {at:#x}")));
    Some(Part {
        stream,
        base: at,
        data,
        depth: part.depth.saturating_add(1),
        reason: Reason::Suspected,
        surroundings: part.surroundings,
    })
}
