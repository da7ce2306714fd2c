//! Every way of looking at a file sees the same: from memory, read piece by piece, mapped and read from a path,
//! scanned, planned for conversion.
//!
//! The ways of opening list the same tensors, metadata, findings and verdict, or all fail with the same error.
//! The scanner, which looks at more, finds at least what opening finds and judges (offsets aside: those of a
//! checkpoint in a tar archive count from its own start); a file that it calls safe is safe to open. A
//! conversion takes every tensor listed, no other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge::convert::{ConvertOptions, DTypePolicy};
use weighbridge::{Access, Checkpoint, Error, Finding, ReadAt, Scanner, Severity, Verdict};
use weighbridge_fuzz::{files, listing, using};

fuzz_target!(|data: &[u8]| {
    let options = using::options().single_file(true);
    let opened = options.from_bytes(data.to_vec());
    let lazy = options.from_reader(Bytes(data.to_vec()));
    same("piece by piece", &opened, &lazy);
    let path = files::write("model", data);
    for access in [Access::Map, Access::Read, Access::Lazy] {
        let from_path = options.clone().access(access).open(&path);
        same("from a path", &opened, &from_path);
    }
    let report = Scanner::new().limits(using::limits()).bytes(data);
    let Ok(model) = opened else {
        return;
    };
    // The description of a distributed checkpoint opens as a folder, not alone.
    if report.content != "torch-distributed" {
        check_report(&model, &report);
    }
    check_plan(&model);
});

struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn length(&self) -> std::io::Result<u64> {
        Ok(self.0.len() as u64)
    }
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> std::io::Result<()> {
        let part = self
            .0
            .get(offset as usize..)
            .and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(part.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

fn same(how: &str, first: &Result<Checkpoint, Error>, other: &Result<Checkpoint, Error>) {
    match (first, other) {
        (Ok(first), Ok(other)) => assert_eq!(listing::of(first), listing::of(other), "{how}"),
        (Err(first), Err(other)) => {
            let of = |error: &Error| (error.kind(), error.format(), error.offset());
            // Without the path.
            assert_eq!(of(first), of(other), "{how}: {first}, {other}");
        }
        (Ok(_), Err(error)) => panic!("{how}: {error}, in memory it opens"),
        (Err(error), Ok(_)) => panic!("{how} it opens, in memory: {error}"),
    }
}

fn check_report(model: &Checkpoint, report: &weighbridge::scan::Report) {
    assert!(model.verdict() <= report.verdict());
    if report.findings.dropped() > 0 || model.dropped_findings() > 0 {
        return;
    }
    let judged = |finding: &&Finding| matches!(finding.severity, Severity::Verdict(_));
    for finding in model.findings().filter(judged) {
        let mut same = report.findings.as_slice().iter();
        assert!(
            same.any(|other| other.code == finding.code && other.message == finding.message),
            "the scan lacks {finding:?}"
        );
    }
    if report.verdict() == Verdict::Safe {
        assert_eq!(model.verdict(), Verdict::Safe);
    }
}

fn check_plan(model: &Checkpoint) {
    let bytes = model.tensors().map(|tensor| tensor.byte_length());
    if bytes.fold(0, u64::saturating_add) > 1 << 18 {
        return;
    }
    let options = ConvertOptions::new()
        .dtype(DTypePolicy::F32)
        .overwrite(true)
        .allow_dangerous(true)
        .skip_absent(true)
        .verify(false);
    let path = files::folder().join("planned.safetensors");
    if let Ok(converted) = options.convert(model, path, None) {
        let mut left_out = model.tensors().filter(|tensor| {
            let name = tensor.name();
            converted.left_out.iter().any(|left| left == name)
        });
        let taken = converted.tensors + converted.aliases.len();
        assert!(taken <= model.len());
        assert!(taken == model.len() || left_out.next().is_some());
    }
}
