//! Says what loading a file would do, for files of any kind, folders and archives; runs nothing.
//!
//! A [`Scanner`] looks at every stream that a loader could reach: the pickles of every container, pickles
//! in bytes that a call is given, archives in archives, joblib's files with arrays between the opcodes;
//! and at what is no pickle and runs all the same: chat templates, Keras' Lambda layers, the code that a
//! model's configuration names. A [`Report`] has one [`Verdict`] for each file: the worst [`Finding`],
//! folded. What a verdict promises stands in the [guide](crate::guide::threat_model).
//!
//! Verdicts depend on the content, the [`Policy`] and the [`Limits`]: not on names, extensions or the
//! machine.
//!
//! [`Finding`]: crate::Finding

#![forbid(unsafe_code)]

mod hdf5;
mod joblib;
mod json;
mod look;
mod numpy;
mod onnx;
mod paths;
mod pickles;
mod tar;
mod template;
mod text;
mod zip;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bytes::room;
use crate::error::Result;
use crate::findings::{Finding, Findings, Severity, Verdict};
use crate::limits::Limits;
use crate::policy::Policy;
use crate::progress::Job;
use crate::source::{Access, Source};

/// What was found in one file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// What it is, by its content: `torch-zip`, `text`, `7z archive`.
    pub content: String,
    /// What was found, in the order of the streams and their bytes.
    pub findings: Findings,
}

impl Report {
    /// The worst finding, folded.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.findings.verdict()
    }
}

/// How many files of each verdict there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Files looked at.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The worst verdict.
    pub verdict: Verdict,
    counts: [u64; 5],
}

impl Summary {
    /// How many files have a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> u64 {
        let place = self.place(verdict);
        self.counts.get(place).copied().unwrap_or_default()
    }

    fn add(&mut self, report: &Report) {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(report.bytes);
        self.verdict = self.verdict.max(report.verdict());
        let place = self.place(report.verdict());
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
        }
    }

    const fn place(&self, verdict: Verdict) -> usize {
        match verdict {
            Verdict::Safe => 0,
            Verdict::Unrecognised => 1,
            Verdict::Incomplete => 2,
            Verdict::Malformed => 3,
            Verdict::Dangerous => 4,
        }
    }
}

/// Scans a file, or every file below a folder, with the default policy and limits.
///
/// # Errors
/// `Io` if there is no such path. A file that cannot be read is a report with the verdict `incomplete`.
///
/// # Example
/// ```
/// let reports = weighbridge::scan("tests/files/torch/network.pt")?;
/// assert_eq!(reports[0].verdict(), weighbridge::Verdict::Safe);
/// # Ok::<(), weighbridge::Error>(())
/// ```
pub fn scan(path: impl AsRef<Path>) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    let job = Job::unwatched();
    let mut failed = Ok(());
    Scanner::new().scan(path, &job, &mut |report| {
        if failed.is_ok() {
            failed = room::push(&mut reports, report);
        }
    })?;
    failed.map(|()| reports)
}

/// How to scan.
///
/// # Example
/// ```
/// use weighbridge::{Scanner, Verdict};
/// let scanner = Scanner::new();
/// let findings = scanner.bytes(b"cos\nsystem\n(S'id'\ntR.").findings;
/// assert_eq!(findings.verdict(), Verdict::Dangerous);
/// assert_eq!(findings.as_slice()[1].message, "loading it would call os.system(\"id\")");
/// ```
#[derive(Clone, Debug)]
pub struct Scanner {
    policy: Arc<Policy>,
    limits: Limits,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// The default policy and limits.
    #[must_use]
    pub fn new() -> Self {
        Self {
            policy: Policy::shared(),
            limits: Limits::default(),
        }
    }

    /// Which globals a pickle may name.
    #[must_use]
    pub fn policy(mut self, policy: impl Into<Arc<Policy>>) -> Self {
        self.policy = policy.into();
        self
    }

    /// How much a file may ask for; what needs more is `incomplete`.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Looks at bytes in memory; the report's path is empty.
    #[must_use]
    pub fn bytes(&self, bytes: &[u8]) -> Report {
        let (content, findings) = look::at(self, bytes);
        Report {
            path: PathBuf::new(),
            bytes: crate::bytes::to_u64(bytes.len()),
            content,
            findings,
        }
    }

    /// Looks at one file. Never fails: a file that cannot be read is `incomplete`.
    #[must_use]
    pub fn file(&self, path: &Path) -> Report {
        match Source::open(path, Access::Map) {
            Ok(source) => Report {
                path: path.to_path_buf(),
                ..self.bytes(source.bytes())
            },
            Err(error) => unreadable(path, &error.to_string()),
        }
    }

    /// Looks at a file, or at every file below a folder: several at a time, a few hundred in memory, the
    /// reports in the order of the paths. The job counts bytes, and can be stopped between two files.
    ///
    /// # Errors
    /// `Io` if the path or a folder below it cannot be listed, `Cancelled` if the job was stopped.
    pub fn scan(
        &self,
        path: impl AsRef<Path>,
        job: &Job<'_>,
        take: &mut dyn FnMut(Report),
    ) -> Result<Summary> {
        paths::scan(self, path.as_ref(), job, take)
    }
}

fn unreadable(path: &Path, why: &str) -> Report {
    let severity = Severity::Verdict(Verdict::Incomplete);
    let mut findings = Findings::default();
    findings.push(Finding::new(severity, "unreadable", why));
    Report {
        path: path.to_path_buf(),
        bytes: 0,
        content: String::from("unreadable"),
        findings,
    }
}
