//! The files below a folder, in the order of their paths, several at a time.

use std::path::{Path, PathBuf};

use super::{Report, Scanner, Summary, unreadable};
use crate::bytes::room;
use crate::error::{Error, Result};
use crate::findings::{Finding, Severity};
use crate::progress::Job;

/// Files that are scanned and kept at a time: enough for every core, few enough for any memory.
const BATCH: usize = 256;

/// Endings of files that a loader would run as Python, if it may.
const CODE: &[&str] = &["py", "pyc", "pyd", "so", "dll", "dylib"];

/// See [`Scanner::scan`].
pub(super) fn scan(
    scanner: &Scanner,
    path: &Path,
    job: &Job<'_>,
    take: &mut dyn FnMut(Report),
) -> Result<Summary> {
    let mut summary = Summary::default();
    let metadata = std::fs::metadata(path).map_err(|error| Error::io(error).in_file(path))?;
    if !metadata.is_dir() {
        job.expect(metadata.len());
        let report = scanner.file(path);
        job.advance(metadata.len())?;
        summary.add(&report);
        take(report);
        return Ok(summary);
    }
    let root = std::fs::canonicalize(path).map_err(|error| Error::io(error).in_file(path))?;
    let mut walk = Walk {
        root: &root,
        rest: vec![path.to_path_buf()],
    };
    loop {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            match walk.next()? {
                Some(found) => batch.push(found),
                None => break,
            }
        }
        if batch.is_empty() {
            return Ok(summary);
        }
        job.expect(batch.iter().map(|found| found.bytes).sum());
        for report in reports(scanner, &batch, job)? {
            summary.add(&report);
            take(report);
        }
    }
}

/// One report for each file of a batch, in its order.
fn reports(scanner: &Scanner, batch: &[Found], job: &Job<'_>) -> Result<Vec<Report>> {
    let look = |found: &Found| {
        job.advance(0)?;
        let mut report = match &found.problem {
            Some(problem) => unreadable(&found.path, problem),
            None => scanner.file(&found.path),
        };
        for note in &found.notes {
            report.findings.push(note.clone());
        }
        job.advance(found.bytes)?;
        Ok(report)
    };
    #[cfg(feature = "rayon")]
    {
        use rayon::prelude::*;
        batch.par_iter().map(look).collect()
    }
    #[cfg(not(feature = "rayon"))]
    {
        batch.iter().map(look).collect()
    }
}

/// A file below the folder.
struct Found {
    path: PathBuf,
    bytes: u64,
    notes: Vec<Finding>,
    problem: Option<String>,
}

/// Folders and files still to come, the next one last.
struct Walk<'r> {
    root: &'r Path,
    rest: Vec<PathBuf>,
}

impl Walk<'_> {
    /// The next file. Links to folders are not followed: a link may lead in a circle.
    fn next(&mut self) -> Result<Option<Found>> {
        while let Some(path) = self.rest.pop() {
            let in_file = |error| Error::io(error).in_file(&path);
            let metadata = std::fs::symlink_metadata(&path).map_err(in_file)?;
            if metadata.is_dir() {
                self.enter(&path)?;
                continue;
            }
            if metadata.is_symlink() {
                return Ok(Some(self.link(path)));
            }
            return Ok(Some(Found {
                notes: code_note(&path),
                problem: (!metadata.is_file()).then(|| String::from("not a regular file")),
                bytes: metadata.len(),
                path,
            }));
        }
        Ok(None)
    }

    fn enter(&mut self, folder: &Path) -> Result<()> {
        let in_folder = |error| Error::io(error).in_file(folder);
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(in_folder)? {
            let path = entry.map_err(in_folder)?.path();
            room::push(&mut inside, path)?;
        }
        inside.sort_unstable();
        room::extend(&mut self.rest, inside.into_iter().rev())
    }

    fn link(&self, path: PathBuf) -> Found {
        let mut notes = code_note(&path);
        let (mut bytes, mut problem) = (0, None);
        match std::fs::canonicalize(&path) {
            Err(error) => problem = Some(format!("a link that leads nowhere: {error}")),
            Ok(target) => {
                if !target.starts_with(self.root) {
                    let message =
                        "a link to a file outside the folder, as caches of hubs have them";
                    notes.push(Finding::new(Severity::Warning, "link-outside", message));
                }
                match std::fs::metadata(&target) {
                    Ok(metadata) if metadata.is_file() => bytes = metadata.len(),
                    Ok(_) => {
                        problem = Some(String::from("a link to a folder, which is not followed"))
                    }
                    Err(error) => problem = Some(error.to_string()),
                }
            }
        }
        Found {
            path,
            bytes,
            notes,
            problem,
        }
    }
}

/// The one place where a name counts, and only for a note: code is what its name says.
fn code_note(path: &Path) -> Vec<Finding> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_code = extension.is_some_and(|extension| CODE.contains(&extension));
    let message = "code beside a model, which a loader may run if it is trusted";
    is_code
        .then(|| Finding::new(Severity::Warning, "code-file", message))
        .into_iter()
        .collect()
}
