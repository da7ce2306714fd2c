//! Figures of the last run that was recorded, beside which a new one stands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A table in `benches`: where a job ran, the job, its figure, rustc and commit.
pub struct Record {
    path: PathBuf,
    head: String,
    rows: BTreeMap<(String, String), (f64, String)>,
}

impl Record {
    /// Reads a table; `place` and `figure` head its first and third column.
    pub fn read(file: &str, place: &str, figure: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("benches")
            .join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let rows = text.lines().filter_map(|line| {
            let mut columns = line.splitn(4, '\t').map(str::to_owned);
            let key = (columns.next()?, columns.next()?);
            Some((key, (columns.next()?.parse().ok()?, columns.next()?)))
        });
        Self {
            path,
            head: format!("{place}\tjob\t{figure}\trustc\tcommit"),
            rows: rows.collect(),
        }
    }

    /// How many times the recorded figure a new one is.
    pub fn ratio(&self, place: &str, job: &str, figure: f64) -> Option<f64> {
        let key = (place.to_owned(), job.to_owned());
        self.rows.get(&key).map(|row| figure / row.0)
    }

    /// Takes the new figure.
    pub fn set(&mut self, place: &str, job: &str, figure: f64) {
        let key = (place.to_owned(), job.to_owned());
        let commit = line_of("git", &["rev-parse", "--short", "HEAD"]);
        let origin = format!("{}\t{commit}", line_of("rustc", &["--version"]));
        self.rows.insert(key, (figure, origin));
    }

    /// Writes the table.
    pub fn write(&self) {
        let mut text = format!("{}\n", self.head);
        for ((place, job), (figure, origin)) in &self.rows {
            let _ = writeln!(text, "{place}\t{job}\t{figure}\t{origin}");
        }
        std::fs::write(&self.path, text).unwrap();
    }
}

/// Ratios of times of this machine, in `benches/times.tsv`: written where `record` is among the arguments.
pub struct Ratios {
    record: Record,
    machine: String,
    recording: bool,
}

impl Ratios {
    pub fn of_this_machine(arguments: &[String]) -> Self {
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let value = |key: &str| {
            let line = cpus.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let name = value("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let number = value("model\t").map_or(String::new(), |number| format!(", model {number}"));
        let build = match () {
            () if cfg!(weighbridge_scalar) => ", scalar",
            () if cfg!(weighbridge_baseline) => ", baseline",
            () if cfg!(weighbridge_avx2) => ", AVX2",
            () => "",
        };
        Self {
            record: Record::read("times.tsv", "machine and build", "ratio"),
            machine: format!("{name}{number}{build}"),
            recording: arguments.iter().any(|argument| argument == "record"),
        }
    }

    /// What to print behind a ratio: how many times the recorded one it is.
    pub fn beside_the_last(&mut self, job: &str, ratio: f64) -> String {
        let beside = self.record.ratio(&self.machine, job, ratio);
        if self.recording {
            // A thousandth is less than any of them is known to.
            let ratio = (ratio * 1e3).round() / 1e3;
            self.record.set(&self.machine, job, ratio);
            self.record.write();
        }
        beside.map_or("new".to_owned(), |beside| {
            format!("{beside:.2} of the last")
        })
    }
}

/// The first line that a program prints.
pub fn line_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map_or_else(|_| Vec::new(), |output| output.stdout);
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().next().unwrap_or("unknown").to_owned()
}
