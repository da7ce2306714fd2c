//! What the examples share: arguments, errors, progress, digests, JSON.

#![allow(dead_code, reason = "each example uses a part")]

use std::fmt::Write as _;
use std::io::{self, Write as _};
#[cfg(feature = "digest")]
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
#[cfg(feature = "digest")]
use weighbridge::digest::Algorithm;
use weighbridge::{Error, Finding, TensorView};

/// Exit status: could not do it.
pub const FAILED: u8 = 2;

/// An argument list with one path and some switches.
pub struct Arguments {
    pub paths: Vec<PathBuf>,
    pub switches: Vec<String>,
    pub values: Vec<(String, String)>,
}

impl Arguments {
    /// Parses the command line. `switches` stand alone, `values` take an argument.
    pub fn parse(help: &str, switches: &[&str], values: &[&str]) -> Result<Self, String> {
        use lexopt::prelude::*;
        let mut parser = lexopt::Parser::from_env();
        let mut arguments = Self {
            paths: Vec::new(),
            switches: Vec::new(),
            values: Vec::new(),
        };
        while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
            match argument {
                Long("help") | Short('h') => {
                    print(help);
                    std::process::exit(0);
                }
                Long(name) if switches.contains(&name) => arguments.switches.push(name.to_owned()),
                Long(name) if values.contains(&name) => {
                    let name = name.to_owned();
                    let value = parser.value().map_err(|error| error.to_string())?;
                    let value = value.string().map_err(|error| error.to_string())?;
                    arguments.values.push((name, value));
                }
                Value(path) => arguments.paths.push(path.into()),
                other => return Err(other.unexpected().to_string()),
            }
        }
        Ok(arguments)
    }

    pub fn has(&self, switch: &str) -> bool {
        self.switches.iter().any(|given| given == switch)
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        let given = self.values.iter().rev().find(|(given, _)| given == name);
        given.map(|(_, value)| value.as_str())
    }
}

/// Writes to standard output; a reader that has seen enough is no failure.
pub fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// Prints one line on standard error and gives the exit status.
pub fn fail(message: impl std::fmt::Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "error: {message}");
    ExitCode::from(FAILED)
}

/// The object that `--json` prints on failure.
#[derive(Serialize)]
struct Failure<'a> {
    schema: u32,
    path: &'a Path,
    error: FailureDetails<'a>,
}

#[derive(Serialize)]
struct FailureDetails<'a> {
    kind: &'a str,
    message: String,
    offset: Option<u64>,
}

/// A finding as `--json` prints it.
#[derive(Serialize)]
pub struct FindingLine<'a> {
    severity: &'a str,
    code: &'a str,
    stream: &'a str,
    offset: Option<u64>,
    message: &'a str,
}

impl<'a> FindingLine<'a> {
    pub fn new(finding: &'a Finding) -> Self {
        Self {
            severity: finding.severity.name(),
            code: finding.code,
            stream: &finding.stream,
            offset: finding.offset,
            message: &finding.message,
        }
    }
}

/// Reports an error of the library, as JSON or as a line on standard error.
pub fn report(path: &Path, error: &Error, json: bool) -> ExitCode {
    if !json {
        return fail(error);
    }
    let failure = Failure {
        schema: 1,
        path,
        error: FailureDetails {
            kind: error.kind().name(),
            message: error.to_string(),
            offset: error.offset(),
        },
    };
    print(&(serde_json::to_string(&failure).unwrap_or_default() + "\n"));
    ExitCode::from(FAILED)
}

/// A progress bar over bytes, on a terminal only.
pub fn progress_bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

/// sha256 of each tensor's elements: row-major, little-endian, blocks for block types. `None` for
/// a tensor without data.
#[cfg(feature = "digest")]
pub fn digests(tensors: &[TensorView<'_>]) -> Vec<Option<String>> {
    let bar = progress_bar(tensors.iter().map(TensorView::byte_length).sum());
    let draw = |progress: weighbridge::Progress| {
        bar.set_position(progress.done);
        ControlFlow::Continue(())
    };
    let digests = Algorithm::Sha256.of_tensors(tensors, Some(&draw));
    bar.finish_and_clear();
    let digests = digests.into_iter();
    digests
        .map(|digest| digest.ok().map(|digest| digest.to_string()))
        .collect()
}

/// One digest of a whole model, from the digests of its tensors: names, dtypes, shapes and values count,
/// metadata, order and container do not.
#[cfg(feature = "digest")]
pub fn model_digest(tensors: &[TensorView<'_>], digests: &[Option<String>]) -> Option<String> {
    let mut lines = Vec::new();
    for (tensor, digest) in tensors.iter().zip(digests) {
        let name = hex(tensor.name().as_bytes());
        let dtype = tensor.dtype_name();
        lines.push(format!(
            "{name} {dtype} {:?} {}\n",
            tensor.shape(),
            digest.as_ref()?
        ));
    }
    lines.sort();
    (!lines.is_empty()).then(|| {
        Algorithm::Sha256
            .of_bytes(lines.concat().as_bytes())
            .to_string()
    })
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A name from a file, safe to print: control and invisible characters escaped, cut in the middle if it
/// is long.
pub fn printable(name: &str, most: usize) -> String {
    let visible = |character: char| {
        let hidden = matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if hidden || character.is_control() {
            character.escape_debug().collect()
        } else {
            String::from(character)
        }
    };
    let escaped: String = name.chars().map(visible).collect();
    let length = escaped.chars().count();
    if length <= most {
        return escaped;
    }
    let head = most / 2;
    let tail = most.saturating_sub(head + 1);
    let start: String = escaped.chars().take(head).collect();
    let end: String = escaped.chars().skip(length - tail).collect();
    format!("{start}…{end}")
}

/// `1234567` as `1.2 MB`.
pub fn human_bytes(bytes: u64) -> String {
    human(bytes, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// `1234567` as `1.2 M`.
pub fn human_count(count: u64) -> String {
    human(count, &["", "K", "M", "B", "T", "P", "E"])
        .trim_end()
        .to_owned()
}

fn human(number: u64, units: &[&str]) -> String {
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{number} {}", units[0])
    } else {
        format!("{value:.1} {}", units[unit])
    }
}
