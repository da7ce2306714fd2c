//! One file, and everything that is found inside it: a list of parts, each looked at once.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::{Scanner, hdf5, numpy, onnx, pickles, tar, template, text, zip};
use crate::bytes::{Buffer, room, to_u64};
use crate::error::{Error, ErrorKind, Format, shortened};
use crate::findings::{Finding, Findings, Severity, Verdict};
use crate::formats::nested::{Stream, inflate_stream};
use crate::formats::pickle::Surroundings;
use crate::formats::{self, Parsed};
use crate::index::Value;
use crate::limits::{Budget, Strictness};

/// Archives in archives. Honest files have two or three levels.
const MOST_DEPTH: u8 = 8;

/// What is packed in a way that is not opened here: whatever is inside was not seen.
const WRAPPERS: &[&str] = &[
    "7z archive",
    "bzip2 file",
    "xz file",
    "lzma file",
    "lz4 file",
    "zstd file",
    "rar archive",
    "Git LFS pointer (the model itself was not downloaded)",
];

/// The end of a central directory, with nothing before it.
const EMPTY_ZIP_BYTES: usize = 22;

/// Bytes of a part: of the file, or of something inflated from it.
#[derive(Clone)]
pub(super) enum Data<'a> {
    File(&'a [u8]),
    Inflated(Arc<Buffer>, Range<usize>),
}

impl<'a> Data<'a> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::File(bytes) => bytes,
            Self::Inflated(buffer, range) => buffer.bytes().get(range.clone()).unwrap_or_default(),
        }
    }

    /// The bytes from `start` on, at most `length` of them.
    pub(super) fn part(&self, start: usize, length: usize) -> Data<'a> {
        let end = start.saturating_add(length).min(self.bytes().len());
        let start = start.min(end);
        match self {
            Self::File(bytes) => Self::File(bytes.get(start..end).unwrap_or_default()),
            Self::Inflated(buffer, range) => {
                let from = range.start.saturating_add(start);
                let to = range.start.saturating_add(end);
                Self::Inflated(Arc::clone(buffer), from..to)
            }
        }
    }
}

/// Why a part is looked at, which says what may be in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The file itself, or a member of an archive of any kind.
    Whole,
    /// A member that the archive's own loader does not read: only what is dangerous counts.
    Beside,
    /// Bytes that look like a pickle in a place where there should be none.
    Suspected,
}

/// Something to look at.
pub(super) struct Part<'a> {
    /// Where it stands, for people; empty for the file itself.
    pub(super) stream: String,
    /// Offset of its first byte, as findings count.
    pub(super) base: u64,
    pub(super) data: Data<'a>,
    pub(super) depth: u8,
    pub(super) reason: Reason,
    pub(super) surroundings: Surroundings,
}

/// Looks at the bytes of a file: what they are, and what was found.
pub(super) fn at(scanner: &Scanner, bytes: &[u8]) -> (String, Findings) {
    let mut look = Look {
        scanner,
        budget: fresh(scanner),
        found: Findings::default(),
        seen: HashSet::new(),
        parts: VecDeque::new(),
    };
    let content = look.part(&Part {
        stream: String::new(),
        base: 0,
        data: Data::File(bytes),
        depth: 0,
        reason: Reason::Whole,
        surroundings: Surroundings::Anywhere,
    });
    while let Some(part) = look.parts.pop_front() {
        look.part(&part);
    }
    (content, look.found)
}

fn fresh(scanner: &Scanner) -> Budget {
    Budget::new(scanner.limits, Strictness::Strict).with_policy(Arc::clone(&scanner.policy))
}

/// What is known of one file so far.
pub(super) struct Look<'a, 's> {
    pub(super) scanner: &'s Scanner,
    /// For all that is inflated.
    pub(super) budget: Budget,
    pub(super) found: Findings,
    /// Two readers may report the same place.
    seen: HashSet<(&'static str, String, Option<u64>)>,
    parts: VecDeque<Part<'a>>,
}

impl<'a> Look<'a, '_> {
    /// A full budget for one stream.
    pub(super) fn fresh(&self) -> Budget {
        fresh(self.scanner)
    }

    /// Puts a part of a part on the list.
    pub(super) fn push(&mut self, parent: &Part<'a>, part: Part<'a>) {
        if parent.depth >= MOST_DEPTH {
            let message = "archives are nested too deep: what is inside was not seen";
            let severity = Severity::Verdict(Verdict::Incomplete);
            return self.add(Finding::new(severity, "nested-too-deep", message), &part);
        }
        if self.parts.try_reserve(1).is_err() {
            return self.out_of_memory(&part);
        }
        self.parts.push_back(part);
    }

    /// Says that a part was not seen whole.
    pub(super) fn out_of_memory(&mut self, part: &Part<'_>) {
        self.error(&Error::out_of_memory(), part);
    }

    /// Adds a finding about a part.
    pub(super) fn add(&mut self, mut finding: Finding, part: &Part<'_>) {
        if finding.stream.is_empty() {
            finding = finding.in_stream(&part.stream);
        } else if !part.stream.is_empty() && !finding.stream.starts_with(&part.stream) {
            finding.stream = shortened(&format!("{}: {}", part.stream, finding.stream));
        }
        let place = (finding.code, finding.stream.clone(), finding.offset);
        // Beyond what a list keeps, findings are counted, not compared.
        const MOST: usize = 10_000;
        // Without memory to compare it, it counts as new.
        let full = self.seen.len() >= MOST || self.seen.try_reserve(1).is_err();
        if finding.offset.is_none() || full || self.seen.insert(place) {
            self.found.push(finding);
        }
    }

    pub(super) fn add_all(&mut self, findings: &Findings, part: &Part<'_>) {
        for finding in findings.as_slice() {
            self.add(finding.clone(), part);
        }
        // What was dropped from the list has its part in the verdict all the same.
        if findings.verdict() > self.found.verdict() {
            let severity = Severity::Verdict(findings.verdict());
            let message = "one of many findings that are not listed";
            self.add(Finding::new(severity, "not-listed", message), part);
        }
    }

    /// An error of a reader, as a finding: it never lowers a verdict.
    pub(super) fn error(&mut self, error: &Error, part: &Part<'_>) {
        let (verdict, code) = match error.kind() {
            ErrorKind::Malformed => (Verdict::Malformed, "malformed"),
            ErrorKind::Limit => (Verdict::Incomplete, "limit"),
            ErrorKind::Unsupported => (Verdict::Incomplete, "unsupported"),
            _ => (Verdict::Incomplete, "unreadable"),
        };
        let mut finding = Finding::new(Severity::Verdict(verdict), code, error.to_string());
        finding.offset = error.offset();
        if let Some(member) = error.member() {
            finding = finding.in_stream(member);
        }
        self.add(finding, part);
    }

    /// Says that a part is something that is not read here.
    pub(super) fn not_read(&mut self, what: &str, part: &Part<'_>) {
        if part.reason == Reason::Whole {
            let severity = Severity::Verdict(Verdict::Unrecognised);
            let message = format!("{what}: no format that is read here, so nothing is known of it");
            self.add(Finding::new(severity, "unknown-content", message), part);
        }
    }

    /// Looks at one part; gives what it is.
    fn part(&mut self, part: &Part<'a>) -> String {
        let data = part.data.clone();
        let bytes = data.bytes();
        if part.reason == Reason::Suspected {
            return pickles::suspected(self, part).into();
        }
        if bytes.is_empty() {
            return "empty".into();
        }
        let detected = formats::detect(bytes);
        // An opcode that takes all up to the next line makes a pickle of any header. Loaders that do not look
        // at what a file is, or look for other things, run what follows.
        if matches!(
            detected,
            Ok(Format::Safetensors | Format::Gguf | Format::Tar)
        ) {
            pickles::suspected(self, part);
        }
        match detected {
            Ok(Format::Safetensors) if bytes.get(8) == Some(&b'{') => self.model(part),
            Ok(Format::Gguf) => self.model(part),
            Ok(Format::TorchZip) => zip::look(self, part),
            Ok(Format::Tar) => tar::look(self, part),
            Ok(Format::Gzip) => self.inflate(part, Stream::Gzip),
            Ok(Format::Pickle) => pickles::look(self, part),
            Ok(Format::ShardIndex) => text::look(self, part),
            Err(error) if error.kind() == ErrorKind::Malformed => {
                self.error(&error, part);
                // The archive's members are seen by the loaders that take it for one.
                match bytes {
                    [b'P', b'K', ..] => zip::look(self, part),
                    _ => tar::look(self, part),
                };
                "ambiguous".into()
            }
            _ => self.other(part),
        }
    }

    /// What is of no format of ours.
    fn other(&mut self, part: &Part<'a>) -> String {
        let data = part.data.clone();
        let bytes = data.bytes();
        match formats::name_of_other(bytes) {
            Some("NumPy array file") => numpy::look(self, part),
            Some("HDF5 file") => hdf5::look(self, part),
            Some("empty zip archive") if bytes.len() == EMPTY_ZIP_BYTES => {
                "empty zip archive".into()
            }
            // Python's reader looks for the directory at the end, whatever stands before it.
            Some("empty zip archive") => zip::look(self, part),
            Some(wrapper) if WRAPPERS.contains(&wrapper) => {
                let severity = Severity::Verdict(Verdict::Incomplete);
                let message =
                    format!("a {wrapper}: not opened, so nothing is known of what is inside");
                self.add(Finding::new(severity, "wrapper", message), part);
                wrapper.into()
            }
            Some(other) => {
                self.not_read(other, part);
                other.into()
            }
            None if matches!(bytes, [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..]) => {
                self.inflate(part, Stream::Zlib)
            }
            None if text::is_text(bytes) => text::look(self, part),
            None if formats::onnx::is_model(bytes) => onnx::look(self, part),
            None => {
                self.not_read("unknown content", part);
                "unknown".into()
            }
        }
    }

    /// A format that holds no code, with a reader of its own.
    fn model(&mut self, part: &Part<'a>) -> String {
        let data = part.data.clone();
        let mut budget = self.fresh();
        match formats::read(data.bytes(), &mut budget) {
            Ok(parsed) => {
                self.add_all(parsed.index.findings(), part);
                self.templates(&parsed, data.bytes(), part);
                parsed.format.name().into()
            }
            Err(error) => {
                self.error(&error, part);
                formats::detect(data.bytes())
                    .map_or("unknown", Format::name)
                    .into()
            }
        }
    }

    /// Chat templates among the metadata, which a Jinja engine runs.
    fn templates(&mut self, parsed: &Parsed, bytes: &[u8], part: &Part<'a>) {
        for (key, value) in parsed.index.metadata().view(bytes).iter() {
            let key = key.to_string_lossy();
            if !key.starts_with("tokenizer.chat_template") {
                continue;
            }
            if let Value::String(text) = value {
                match room::lossy(text.as_bytes()) {
                    Ok(text) => template::check(self, part, &key, &text),
                    Err(error) => self.error(&error, part),
                }
            }
        }
    }

    fn inflate(&mut self, part: &Part<'a>, stream: Stream) -> String {
        let name = match stream {
            Stream::Gzip => "gzip",
            Stream::Zlib => "zlib",
        };
        let inflated = inflate_stream(part.data.bytes(), stream, &mut self.budget);
        let buffer = match inflated {
            Ok(buffer) => buffer,
            // Two bytes are no magic number.
            Err(_) if stream == Stream::Zlib => {
                self.not_read("unknown content", part);
                return "unknown".into();
            }
            Err(error) => {
                self.error(&error.at(part.base), part);
                return name.into();
            }
        };
        let length = buffer.bytes().len();
        let inner = Part {
            stream: join(&part.stream, &format!("{name} content")),
            base: 0,
            data: Data::Inflated(Arc::new(buffer), 0..length),
            depth: part.depth.saturating_add(1),
            reason: part.reason,
            surroundings: part.surroundings,
        };
        self.push(part, inner);
        format!("{name} of {} bytes", to_u64(length))
    }
}

/// The name of a stream inside another.
pub(super) fn join(outer: &str, inner: &str) -> String {
    match outer {
        "" => shortened(inner),
        outer => shortened(&format!("{outer}: {inner}")),
    }
}
