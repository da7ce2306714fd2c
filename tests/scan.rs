//! Files that would run code, or lead a reader astray: each has its verdict and its finding, none is safe.
//!
//! Nothing here is ever loaded by Python; the functions that the files name are never called.

#![allow(missing_docs, unreachable_pub)]

#[path = "scan/containers.rs"]
mod containers;
#[path = "scan/evasions.rs"]
mod evasions;
#[path = "scan/gadgets.rs"]
mod gadgets;
#[path = "scan/numpy.rs"]
mod numpy;
#[path = "scan/readers.rs"]
mod readers;
mod support;

use std::collections::BTreeSet;

use weighbridge::{Job, Limits, Policy, Scanner, Severity, Verdict};

/// A file that must not be called safe.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
    pub verdict: Verdict,
    /// A finding that must be among those reported.
    pub code: &'static str,
}

pub fn case(name: &str, bytes: Vec<u8>, verdict: Verdict, code: &'static str) -> Case {
    Case {
        name: name.to_owned(),
        bytes,
        verdict,
        code,
    }
}

fn cases() -> Vec<Case> {
    [
        gadgets::cases(),
        evasions::cases(),
        numpy::cases(),
        readers::cases(),
    ]
    .concat()
}

#[test]
fn every_case_has_its_verdict_and_its_finding() {
    let scanner = Scanner::new();
    let cases = cases();
    assert!(cases.len() >= 220, "{}", cases.len());
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "two cases of one name");
    let mut wrong = Vec::new();
    for case in &cases {
        let report = scanner.bytes(&case.bytes);
        let found = report.findings.as_slice();
        let told = found.iter().any(|finding| finding.code == case.code);
        if report.verdict() != case.verdict || !told {
            wrong.push(format!(
                "{}: {} ({}), {:?}; expected {} [{}]",
                case.name,
                report.verdict(),
                report.content,
                found
                    .iter()
                    .map(|finding| (finding.code, &finding.message))
                    .collect::<Vec<_>>(),
                case.verdict,
                case.code,
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An archive without its end still holds what it held, deflated or not.
#[test]
fn what_is_left_of_a_broken_archive_is_looked_at() {
    use support::torch::{call, pickle, text};
    use support::zip::{Zip, deflated, entry};
    let runs = pickle(call("os", "system", &[text("echo never")]));
    for member in [entry("a/data.pkl", &runs), deflated("a/data.pkl", &runs)] {
        let mut file = Zip::of(vec![member]).build();
        file.truncate(file.len() - 30);
        let report = Scanner::new().bytes(&file);
        assert_eq!(report.verdict(), Verdict::Dangerous);
        let found = report.findings.as_slice();
        assert!(
            found
                .iter()
                .any(|finding| finding.message.contains("os.system"))
        );
    }
}

/// A reader that stops early must not be told that a file is fine.
#[test]
fn a_cut_or_limited_file_is_never_safe() {
    let scanner = Scanner::new();
    for case in cases().iter().filter(|case| case.bytes.len() < 2_000) {
        for limit in weighbridge::limits::Limit::ALL {
            let mut limits = Limits::default();
            *limit.of_mut(&mut limits) = 1;
            let report = Scanner::new().limits(limits).bytes(&case.bytes);
            assert_ne!(
                report.verdict(),
                Verdict::Safe,
                "{} with {}",
                case.name,
                limit.name()
            );
        }
        for wrapped in [gzip(&case.bytes), gzip(&gzip(&case.bytes))] {
            assert_ne!(
                scanner.bytes(&wrapped).verdict(),
                Verdict::Safe,
                "{}",
                case.name
            );
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    containers::ALL
        .iter()
        .find(|row| row.0 == "a gzip file")
        .unwrap()
        .1(bytes)
}

#[test]
fn honest_files_are_safe() {
    // Whole modules name the classes of their authors.
    let unrecognised: BTreeSet<&str> = [
        "torch/legacy/module.pt",
        "torch/module.pt",
        "torch/module_in_checkpoint.pt",
        "torch/module_protocol_4.pt",
        "torch/tensor_subclass.pt",
        "torch/unknown_objects.pt",
    ]
    .into();
    let folder = support::file("");
    let mut seen = 0;
    for below in ["safetensors", "gguf", "torch", "old_torch"] {
        for path in support::files_below(&support::file(below)) {
            let name = path
                .strip_prefix(&folder)
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/");
            let report = Scanner::new().file(&path);
            let expected = if unrecognised.contains(name.as_str()) {
                Verdict::Unrecognised
            } else {
                Verdict::Safe
            };
            assert_eq!(report.verdict(), expected, "{name}: {:?}", report.findings);
            seen += 1;
        }
    }
    assert!(seen > 190, "{seen}");
}

#[test]
fn what_opens_has_the_verdict_of_the_scan() {
    for case in cases() {
        let options = weighbridge::OpenOptions::new().allow_dangerous(true);
        if let Ok(model) = options.from_bytes(case.bytes.clone()) {
            let scanned = Scanner::new().bytes(&case.bytes).verdict();
            assert!(
                model.verdict() <= scanned,
                "{}: {} {scanned}",
                case.name,
                model.verdict()
            );
        }
        if let Ok(model) = weighbridge::Checkpoint::from_bytes(case.bytes) {
            assert_ne!(model.verdict(), Verdict::Dangerous, "{}", case.name);
        }
    }
}

/// Found by fuzzing: what breaks off behind a pickle was malformed to `open`, and no pickle to the scan.
#[test]
fn what_breaks_off_behind_a_pickle_counts_only_if_it_asks_for_something() {
    use support::tar::{file, tar};
    let ends_early = b"\x80\x02N.\x80\x02(J\x01\0\0\0X\x03\0\0\0cpu\x80\0";
    let imports = b"\x80\x02N.\x80\x02cmy.config\nSettings\n\x80\x05";
    let runs = b"\x80\x02N.cos\nsystem\n\x80\x05";
    for (bytes, expected) in [
        (&ends_early[..], Verdict::Safe),
        (imports, Verdict::Malformed),
        (runs, Verdict::Dangerous),
    ] {
        for bytes in [bytes.to_vec(), tar(&[file("storages", bytes)])] {
            let options = weighbridge::OpenOptions::new().allow_dangerous(true);
            let model = options.from_bytes(bytes.clone()).unwrap();
            let report = Scanner::new().bytes(&bytes);
            assert_eq!(model.verdict(), expected, "{:?}", report.findings);
            assert_eq!(report.verdict(), expected, "{:?}", report.findings);
        }
    }
}

#[test]
fn a_policy_of_the_callers_decides() {
    let unknown = support::torch::checkpoint(&support::torch::pickle(support::torch::call(
        "my.config",
        "Settings",
        &[],
    )));
    assert_eq!(
        Scanner::new().bytes(&unknown).verdict(),
        Verdict::Unrecognised
    );
    let mut policy = Policy::default();
    policy
        .allow("my.config", "Settings", weighbridge::policy::Tier::Data)
        .unwrap();
    let policy = Policy::from_json(policy.to_json().as_bytes()).unwrap();
    assert_eq!(
        Scanner::new().policy(policy).bytes(&unknown).verdict(),
        Verdict::Safe
    );
    // Functions of known modules that the policy allows have no arguments that we know better.
    let length = support::torch::call("builtins", "len", &[b"]".to_vec()]);
    let length = support::torch::checkpoint(&support::torch::pickle(length));
    assert_ne!(Scanner::new().bytes(&length).verdict(), Verdict::Safe);
    let mut policy = Policy::default();
    policy
        .allow("builtins", "len", weighbridge::policy::Tier::Data)
        .unwrap();
    assert_eq!(
        Scanner::new().policy(policy).bytes(&length).verdict(),
        Verdict::Safe
    );
    let strict = Policy::empty();
    let good = support::torch::checkpoint(&support::torch::good_pickle());
    assert_eq!(
        Scanner::new().policy(strict).bytes(&good).verdict(),
        Verdict::Malformed
    );
}

#[test]
fn a_folder_is_reported_in_order_and_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..600 {
        let bytes = if number == 300 {
            b"cos\nsystem\n.".to_vec()
        } else {
            b"\x80\x02N.".to_vec()
        };
        std::fs::write(folder.path().join(format!("{number:04}.bin")), bytes).unwrap();
    }
    let mut names = Vec::new();
    let job = Job::unwatched();
    let summary = Scanner::new()
        .scan(folder.path(), &job, &mut |report| {
            names.push((report.path.clone(), report.verdict()))
        })
        .unwrap();
    assert_eq!((summary.files, summary.count(Verdict::Safe)), (600, 599));
    assert!(names.is_sorted());
    assert_eq!(names[300].1, Verdict::Dangerous);
    let stop = |_| std::ops::ControlFlow::Break(());
    let job = Job::new("scanning", 0, &stop);
    let error = Scanner::new()
        .scan(folder.path(), &job, &mut |_| {})
        .unwrap_err();
    assert_eq!(error.kind(), weighbridge::ErrorKind::Cancelled);
}

#[cfg(unix)]
#[test]
fn links_and_special_files_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), b"\x80\x02N.").unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link.bin")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("broken.bin")).unwrap();
    std::os::unix::fs::symlink(".", folder.path().join("circle")).unwrap();
    std::fs::write(folder.path().join("modeling.py"), "import os\n").unwrap();
    let reports = weighbridge::scan(folder.path()).unwrap();
    let codes: Vec<_> = reports
        .iter()
        .map(|report| (report.findings.as_slice()[0].code, report.verdict()))
        .collect();
    assert_eq!(
        codes,
        [
            ("unreadable", Verdict::Incomplete),
            ("unreadable", Verdict::Incomplete),
            ("link-outside", Verdict::Safe),
            ("code-file", Verdict::Safe),
        ]
    );
}

#[test]
fn findings_say_what_would_have_run() {
    let report = Scanner::new().bytes(b"\x80\x02cos\nsystem\nX\x02\0\0\0id\x85R.");
    let found: Vec<_> = report
        .findings
        .as_slice()
        .iter()
        .map(|finding| (finding.offset, finding.severity, finding.message.as_str()))
        .collect();
    let severity = Severity::Verdict(Verdict::Dangerous);
    assert_eq!(
        found,
        [
            (
                Some(2),
                severity,
                "loading it would import \"os.system\", which runs commands"
            ),
            (
                Some(21),
                severity,
                "loading it would call os.system(\"id\")"
            ),
        ]
    );
}

/// For `benches/peers/scanners.py`, which shows the same files to other scanners.
#[test]
#[ignore = "writes malicious files into the folder CASES"]
fn write_the_cases() {
    let folder = std::path::PathBuf::from(std::env::var_os("CASES").expect("CASES names a folder"));
    std::fs::create_dir_all(&folder).unwrap();
    for (number, case) in cases().iter().enumerate() {
        // Other scanners go by extensions: each file gets one that they know.
        let extension = match case.bytes.get(..2) {
            Some(b"PK") => "pt",
            Some(b"\x93N") => "npy",
            Some(b"GG") => "gguf",
            Some(b"{\"") => "json",
            _ => "pkl",
        };
        let name = format!("{number:03}-{}.{extension}", case.verdict);
        std::fs::write(folder.join(name), &case.bytes).unwrap();
    }
}
