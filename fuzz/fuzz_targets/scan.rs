//! Any bytes through the scanner, beside what opening them says.
//!
//! The report is the same every time. What is called safe has no findings that say otherwise, and opens, or
//! is no model at all; a payload behind it stays found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge::{Scanner, Severity, Verdict};
use weighbridge_fuzz::using::{limits, options};

fuzz_target!(|data: &[u8]| {
    let scanner = Scanner::new().limits(limits());
    let report = scanner.bytes(data);
    let again = scanner.bytes(data);
    assert_eq!(report.findings.as_slice(), again.findings.as_slice());
    let worst = report
        .findings
        .as_slice()
        .iter()
        .filter_map(|finding| match finding.severity {
            Severity::Verdict(verdict) => Some(verdict),
            _ => None,
        });
    assert_eq!(report.verdict(), worst.max().unwrap_or_default());
    let options = options();
    // The description of a distributed checkpoint opens as a folder, not alone.
    let distributed = report.content == "torch-distributed";
    if let Ok(model) = options.from_bytes(data.to_vec()) {
        assert!(model.verdict() <= report.verdict() || distributed);
    } else if report.verdict() == Verdict::Safe {
        let content = report.content.as_str();
        let formats = [
            "safetensors",
            "gguf",
            "torch-zip",
            "torch-legacy",
            "torchscript",
        ];
        assert!(
            !formats.contains(&content),
            "{content} is safe and does not open"
        );
    }
});
