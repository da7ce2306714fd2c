//! What a user should know before trusting a file: [`Finding`]s, and the [`Verdict`] they fold to.

#![forbid(unsafe_code)]

use std::fmt;

use crate::error::{shortened, shortened_display};

/// The worst thing found, folded over all findings. Ordered: later is worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Read completely; nothing in it could run code.
    #[default]
    Safe,
    /// Read completely; a pickle names globals outside the policy. Nothing known to be dangerous.
    Unrecognised,
    /// A limit was reached before everything was read.
    Incomplete,
    /// Part of the file breaks its format's rules.
    Malformed,
    /// Loading the file with Python would run code of its author's choosing.
    Dangerous,
}

impl Verdict {
    /// The name used in `--json` output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Unrecognised => "unrecognised",
            Self::Incomplete => "incomplete",
            Self::Malformed => "malformed",
            Self::Dangerous => "dangerous",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How much a finding weighs. Ordered: later is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing, changes no verdict.
    Note,
    /// Sloppy or unusual, changes no verdict.
    Warning,
    /// Changes the verdict to the one given.
    Verdict(Verdict),
}

impl Severity {
    /// The name used in `--json` output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Verdict(verdict) => verdict.name(),
        }
    }
}

/// One thing that a user should know before trusting the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// A stable machine-readable code, for example `misaligned-tensor`.
    pub code: &'static str,
    /// The stream it stands in: an archive member or pickle; empty for the file itself.
    pub stream: String,
    /// The byte offset in that stream, where one is known.
    pub offset: Option<u64>,
    /// One sentence for people; names from the file are escaped and shortened.
    pub message: String,
}

impl Finding {
    /// A finding about the file itself.
    #[must_use]
    pub fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            stream: String::new(),
            offset: None,
            message: message.into(),
        }
    }

    /// Adds the byte offset.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Adds the stream, shortened to 200 characters.
    #[must_use]
    pub fn in_stream(mut self, stream: &str) -> Self {
        self.stream = shortened(stream);
        self
    }
}

/// The findings of one checkpoint, in file order.
///
/// A hostile file could cause a finding per byte: after [`Findings::MOST`] of one code the rest is
/// counted, and the count is reported.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    /// How many of each code are kept: counted, so that a million findings cost a million steps.
    kept: Vec<(&'static str, usize)>,
    dropped: u64,
    verdict: Verdict,
}

impl Findings {
    /// How many findings of one code are kept.
    pub const MOST: usize = 100;

    /// The same findings, of a file that stands inside another one as `stream`.
    #[must_use]
    pub(crate) fn in_stream(&self, stream: &str) -> Self {
        let mut moved = Self::default();
        for finding in &self.list {
            let mut finding = finding.clone();
            finding.stream = match (stream, finding.stream.as_str()) {
                ("", _) => finding.stream,
                (stream, "") => shortened(stream),
                (stream, inner) => shortened_display(format_args!("{stream}: {inner}")),
            };
            moved.push(finding);
        }
        moved.dropped = moved.dropped.saturating_add(self.dropped);
        moved.verdict = moved.verdict.max(self.verdict);
        moved
    }

    /// Adds a finding and folds its verdict.
    pub fn push(&mut self, finding: Finding) {
        if let Severity::Verdict(verdict) = finding.severity {
            self.verdict = self.verdict.max(verdict);
        }
        let slot = self.kept.iter().position(|(code, _)| *code == finding.code);
        let slot = slot.unwrap_or_else(|| {
            self.kept.push((finding.code, 0));
            self.kept.len().saturating_sub(1)
        });
        match self.kept.get_mut(slot) {
            // Without memory for it a finding is counted, as those are that come too often.
            Some((_, count)) if *count < Self::MOST && self.list.try_reserve(1).is_ok() => {
                *count = count.saturating_add(1);
                self.list.push(finding);
            }
            _ => self.dropped = self.dropped.saturating_add(1),
        }
    }

    /// Whether a code has as many findings as are kept: more are counted alone, and need no words.
    pub(crate) fn is_full(&self, code: &str) -> bool {
        let mut kept = self.kept.iter();
        kept.any(|&(known, count)| known == code && count >= Self::MOST)
    }

    /// Adds all of another list.
    pub fn append(&mut self, other: Self) {
        for finding in other.list {
            self.push(finding);
        }
        self.dropped = self.dropped.saturating_add(other.dropped);
        self.verdict = self.verdict.max(other.verdict);
    }

    /// The findings kept, in file order.
    #[must_use]
    pub fn as_slice(&self) -> &[Finding] {
        &self.list
    }

    /// How many more there were.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The worst verdict among all findings, also those dropped.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_is_the_worst_and_survives_dropping() {
        let mut findings = Findings::default();
        for _ in 0..Findings::MOST {
            findings.push(Finding::new(Severity::Warning, "x", "same"));
        }
        findings.push(Finding::new(
            Severity::Verdict(Verdict::Dangerous),
            "x",
            "late",
        ));
        findings.push(Finding::new(
            Severity::Verdict(Verdict::Malformed),
            "y",
            "later",
        ));
        assert_eq!(findings.as_slice().len(), Findings::MOST + 1);
        assert_eq!(findings.dropped(), 1);
        assert_eq!(findings.verdict(), Verdict::Dangerous);
    }

    #[test]
    fn findings_of_an_inner_file_keep_their_count_and_verdict() {
        let mut inner = Findings::default();
        for _ in 0..=Findings::MOST {
            inner.push(Finding::new(
                Severity::Verdict(Verdict::Malformed),
                "x",
                "same",
            ));
        }
        inner.push(Finding::new(Severity::Note, "y", "other").in_stream("pickle"));
        let moved = inner.in_stream(&"n".repeat(199));
        assert_eq!(moved.as_slice().len(), inner.as_slice().len());
        assert_eq!((moved.dropped(), moved.verdict()), (1, Verdict::Malformed));
        assert!(moved.is_full("x") && !moved.is_full("y"));
        let streams = moved.as_slice().iter().map(|finding| &finding.stream);
        let lengths: Vec<usize> = streams.map(|stream| stream.chars().count()).collect();
        assert_eq!(lengths[0], 199);
        assert_eq!(lengths[Findings::MOST], 201, "both names, shortened");
        assert_eq!(inner.in_stream("").as_slice(), inner.as_slice());
    }
}
