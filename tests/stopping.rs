//! Long work on a tensor: watched to its end, and stopped at every step.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use weighbridge::{Access, ErrorKind, Job, OpenOptions, Result, TensorView};

const ROWS: usize = 3 << 10;
const COLUMNS: usize = 1 << 10;

type Work = fn(&TensorView<'_>) -> Result<()>;

const WORK: &[(&str, Work)] = &[
    ("copy_into", |tensor| {
        tensor.copy_into(&mut vec![0; tensor.byte_length() as usize])
    }),
    ("for_each_chunk", |tensor| tensor.for_each_chunk(|_| Ok(()))),
    ("dequantize_into", |tensor| {
        tensor.dequantize_into(&mut vec![0.0_f32; tensor.elements()])
    }),
    ("load", |tensor| tensor.load().map(|_| ())),
    ("prefetch", |tensor| tensor.prefetch()),
    ("validate", |tensor| tensor.validate().map(|_| ())),
    ("difference", |tensor| tensor.difference(tensor).map(|_| ())),
];

/// A matrix of 12 MiB, through every access, whole, transposed by its columns, and by its rows.
#[test]
fn all_work_is_heard_and_can_be_stopped_at_every_step() {
    let bytes = ROWS * COLUMNS * 4;
    let header = format!(
        r#"{{"x":{{"dtype":"F32","shape":[{ROWS},{COLUMNS}],"data_offsets":[0,{bytes}]}}}}"#
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, support::safetensors::build(&header, &vec![0; bytes])).unwrap();
    for access in [Access::Map, Access::Read, Access::Lazy] {
        let model = OpenOptions::new().access(access).open(&path).unwrap();
        let whole = model.tensor("x").unwrap();
        let parts = [
            whole.clone(),
            whole.narrow(0, 1..).unwrap(),
            whole.narrow(1, ..COLUMNS / 2).unwrap(),
        ];
        for (part, tensor) in parts.iter().enumerate() {
            for (what, work) in WORK {
                let what = format!("{what} of part {part} with {access:?}");
                let calls = AtomicU64::new(0);
                let count = |progress: weighbridge::Progress| {
                    assert!(progress.done <= progress.total);
                    calls.fetch_add(1, Ordering::Relaxed);
                    ControlFlow::Continue(())
                };
                let job = Job::new("testing", tensor.byte_length(), &count);
                work(&tensor.watched(&job)).unwrap_or_else(|error| panic!("{what}: {error}"));
                let calls = calls.load(Ordering::Relaxed);
                let done = job.progress().done;
                assert!(done >= tensor.byte_length(), "{what}: {done} bytes");
                // Nothing is prefetched but what is mapped.
                let at_once = what.starts_with("prefetch") && access != Access::Map;
                assert!(calls > 3 || at_once, "{what}: {calls} calls");
                for stop in [0, 1.min(calls - 1), calls / 2, calls - 1] {
                    let left = AtomicU64::new(stop);
                    let callback = |_| {
                        let less = |left: u64| left.checked_sub(1);
                        match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
                            Ok(_) => ControlFlow::Continue(()),
                            Err(_) => ControlFlow::Break(()),
                        }
                    };
                    let job = Job::new("testing", tensor.byte_length(), &callback);
                    let error = work(&tensor.watched(&job)).expect_err(&what);
                    assert_eq!(error.kind(), ErrorKind::Cancelled, "{what}: {error}");
                    assert_eq!(error.as_cancelled().unwrap().0, "testing");
                }
            }
        }
    }
}
