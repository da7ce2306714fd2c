//! Says what loading files would do. Runs nothing in them.
//!
//! `cargo run --release --example scan -- tests/files/torch`

#![allow(missing_docs, unreachable_pub)]

mod common;

use std::io::{IsTerminal, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use common::{Arguments, human_bytes, printable};
use serde::Serialize;
use serde_json::{Value, json};
use weighbridge::scan::{Report, Summary};
use weighbridge::{Finding, Job, Policy, Scanner, Severity, Verdict};

const HELP: &str = "\
Says what loading files would do, for files, folders and archives. Runs nothing in them.

usage: scan PATH... [--json] [--sarif FILE] [--policy FILE] [--print-policy] [--all]

  --json          print one JSON object per file and line
  --sarif FILE    also write the findings as SARIF 2.1.0, for code hosts
  --policy FILE   judge by this list of globals instead of the built-in one
  --print-policy  print the list of globals as JSON, to change it
  --all           list safe files and notes too

exit status: 0 all safe; 1 something dangerous, malformed or incomplete; 2 could not do it;
             3 nothing worse than content that is not recognised
";

fn main() -> ExitCode {
    let switches = ["json", "print-policy", "all"];
    let arguments = match Arguments::parse(HELP, &switches, &["sarif", "policy"]) {
        Ok(arguments) => arguments,
        Err(message) => return common::fail(message),
    };
    let policy = match arguments.value("policy").map(read_policy).transpose() {
        Ok(policy) => policy.unwrap_or_default(),
        Err(message) => return common::fail(message),
    };
    if arguments.has("print-policy") {
        common::print(&(policy.to_json() + "\n"));
        return ExitCode::SUCCESS;
    }
    if arguments.paths.is_empty() {
        return common::fail("give a path; --help says more");
    }
    let scanner = Scanner::new().policy(policy);
    match run(&scanner, &arguments) {
        Ok(verdict) => ExitCode::from(match verdict {
            Verdict::Safe => 0,
            Verdict::Unrecognised => 3,
            _ => 1,
        }),
        Err(code) => code,
    }
}

fn read_policy(path: &str) -> Result<Policy, String> {
    let text = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    Policy::from_json(&text).map_err(|error| format!("{path}: {error}"))
}

/// Scans every path; the worst verdict.
fn run(scanner: &Scanner, arguments: &Arguments) -> Result<Verdict, ExitCode> {
    let json = arguments.has("json");
    let mut sarif = match arguments.value("sarif").map(Sarif::create).transpose() {
        Ok(sarif) => sarif,
        Err(message) => return Err(common::fail(message)),
    };
    let bar = common::progress_bar(0);
    let draw = |progress: weighbridge::Progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        ControlFlow::Continue(())
    };
    let mut total = Vec::new();
    for path in &arguments.paths {
        let job = Job::new("scanning", 0, &draw);
        let summary = scanner.scan(path, &job, &mut |report| {
            let text = if json {
                as_json(&report)
            } else {
                as_text(&report, arguments.has("all"))
            };
            bar.suspend(|| common::print(&text));
            if let Some(sarif) = &mut sarif {
                sarif.add(&report);
            }
        });
        match summary {
            Ok(summary) => total.push(summary),
            Err(error) => return Err(common::report(path, &error, json)),
        }
    }
    bar.finish_and_clear();
    if let Some(sarif) = sarif {
        sarif.finish().map_err(common::fail)?;
    }
    if !json {
        common::print(&totals(&total));
    }
    Ok(total
        .iter()
        .map(|summary| summary.verdict)
        .max()
        .unwrap_or_default())
}

fn totals(summaries: &[Summary]) -> String {
    let sum = |count: &dyn Fn(&Summary) -> u64| summaries.iter().map(count).sum::<u64>();
    let mut text = format!(
        "{} files, {}:",
        sum(&|summary| summary.files),
        human_bytes(sum(&|summary| summary.bytes))
    );
    for verdict in [
        Verdict::Dangerous,
        Verdict::Malformed,
        Verdict::Incomplete,
        Verdict::Unrecognised,
        Verdict::Safe,
    ] {
        let count = sum(&|summary| summary.count(verdict));
        if count > 0 {
            text.push_str(&format!(" {count} {verdict}"));
        }
    }
    text + "\n"
}

/// A line for the file and one for each finding; nothing for a safe file unless all are wanted.
fn as_text(report: &Report, all: bool) -> String {
    let verdict = report.verdict();
    if verdict == Verdict::Safe && !all {
        return String::new();
    }
    let path = printable(&report.path.display().to_string(), 200);
    let mut text = format!("{}: {path} ({})\n", paint(verdict), report.content);
    for finding in report.findings.as_slice() {
        let counts = matches!(finding.severity, Severity::Verdict(_));
        if !counts && !all {
            continue;
        }
        let mut place = printable(&finding.stream, 100);
        if let Some(offset) = finding.offset {
            place = format!(
                "{place}{}byte {offset:#x}",
                if place.is_empty() { "" } else { ", " }
            );
        }
        let message = printable(&finding.message, 400);
        let code = finding.code;
        text.push_str(&format!(
            "  {} [{code}] {place}: {message}\n",
            finding.severity.name()
        ));
    }
    if report.findings.dropped() > 0 {
        text.push_str(&format!("  and {} more\n", report.findings.dropped()));
    }
    text
}

fn paint(verdict: Verdict) -> String {
    if !std::io::stdout().is_terminal() {
        return verdict.name().into();
    }
    let colour = match verdict {
        Verdict::Safe => 32,
        Verdict::Unrecognised => 33,
        _ => 31,
    };
    format!("\u{1b}[{colour}m{verdict}\u{1b}[0m")
}

#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    path: &'a Path,
    format: &'a str,
    files: [File<'a>; 1],
    verdict: &'a str,
    findings: Vec<common::FindingLine<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a Path,
    bytes: u64,
}

fn as_json(report: &Report) -> String {
    let line = Line {
        schema: 1,
        path: &report.path,
        format: &report.content,
        files: [File {
            path: &report.path,
            bytes: report.bytes,
        }],
        verdict: report.verdict().name(),
        findings: report
            .findings
            .as_slice()
            .iter()
            .map(common::FindingLine::new)
            .collect(),
    };
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}

/// Writes results as they come, so that a folder of any size needs no memory.
struct Sarif {
    path: PathBuf,
    file: std::io::BufWriter<std::fs::File>,
    first: bool,
    error: Option<std::io::Error>,
}

impl Sarif {
    fn create(path: &str) -> Result<Self, String> {
        let file = std::fs::File::create(path).map_err(|error| format!("{path}: {error}"))?;
        let mut sarif = Self {
            path: path.into(),
            file: std::io::BufWriter::new(file),
            first: true,
            error: None,
        };
        let driver = json!({
            "name": "weighbridge",
            "version": env!("CARGO_PKG_VERSION"),
        });
        sarif.write(&format!(
            "{{\"$schema\":\"https://json.schemastore.org/sarif-2.1.0.json\",\"version\":\"2.1.0\",\
             \"runs\":[{{\"tool\":{{\"driver\":{driver}}},\"results\":[\n"
        ));
        Ok(sarif)
    }

    fn write(&mut self, text: &str) {
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            self.error.get_or_insert(error);
        }
    }

    fn add(&mut self, report: &Report) {
        for finding in report.findings.as_slice() {
            let separator = if std::mem::take(&mut self.first) {
                ""
            } else {
                ",\n"
            };
            let result = result(&report.path, finding);
            self.write(&format!("{separator}{result}"));
        }
    }

    fn finish(mut self) -> Result<(), String> {
        self.write("\n]}]}\n");
        let flushed = self.file.flush();
        match self.error.map_or(flushed, Err) {
            Ok(()) => Ok(()),
            Err(error) => Err(format!("{}: {error}", self.path.display())),
        }
    }
}

fn result(path: &Path, finding: &Finding) -> Value {
    let level = match finding.severity {
        Severity::Verdict(Verdict::Dangerous | Verdict::Malformed) => "error",
        Severity::Verdict(_) | Severity::Warning => "warning",
        Severity::Note => "note",
    };
    // A URI has `/` between the parts of a path.
    let uri = path.display().to_string().replace('\\', "/");
    let mut location = json!({"physicalLocation": {"artifactLocation": {"uri": uri}}});
    if let Some(offset) = finding.offset {
        location["physicalLocation"]["region"] = json!({"byteOffset": offset, "byteLength": 1});
    }
    if !finding.stream.is_empty() {
        location["logicalLocations"] = json!([{"fullyQualifiedName": finding.stream}]);
    }
    json!({
        "ruleId": finding.code,
        "level": level,
        "message": {"text": finding.message},
        "locations": [location],
    })
}
