//! What happens to files when a conversion is refused, stopped, or fails half-way.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use weighbridge::convert::{ConvertOptions, convert};
use weighbridge::{Caller, Checkpoint, ErrorKind};

fn network() -> Checkpoint {
    weighbridge::open(support::file("torch/network.pt")).unwrap()
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// A safetensors file of `megabytes` in one tensor.
fn large(megabytes: usize) -> Vec<u8> {
    let bytes: Vec<u8> = (0..megabytes << 20).map(|at| (at % 251) as u8).collect();
    let shape = vec![bytes.len()];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::U8, shape, &bytes);
    safetensors::serialize([("x", view.unwrap())], None).unwrap()
}

#[test]
fn an_old_file_is_replaced_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, b"old").unwrap();
    let error = convert(&network(), &path).unwrap_err();
    assert_eq!(error.as_caller(), Some(&Caller::OutputExists));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    let options = ConvertOptions::new().overwrite(true);
    options.convert(&network(), &path, None).unwrap();
    assert!(std::fs::read(&path).unwrap().len() > 3);
    assert_eq!(count(folder.path()), 1);
    let error = options.convert(&network(), folder.path(), None);
    let error = error.unwrap_err();
    assert_eq!(error.as_caller(), Some(&Caller::OutputIsNoFile));
}

#[test]
fn a_file_can_be_converted_onto_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::copy(support::file("torch/network.pt"), &path).unwrap();
    let model = weighbridge::open(&path).unwrap();
    let options = ConvertOptions::new().overwrite(true);
    options.convert(&model, &path, None).unwrap();
    let again = weighbridge::open(&path).unwrap();
    assert_eq!(again.format().name(), "safetensors");
    for tensor in again.tensors() {
        let source = model.tensor(tensor.name()).unwrap();
        assert_eq!(tensor.bytes().unwrap(), source.bytes().unwrap());
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let link = folder.path().join("link.safetensors");
    std::fs::write(&path, b"old").unwrap();
    std::os::unix::fs::symlink("model.safetensors", &link).unwrap();
    let options = ConvertOptions::new().overwrite(true);
    let error = options.convert(&network(), &link, None).unwrap_err();
    assert_eq!(error.as_caller(), Some(&Caller::OutputIsLink));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    let options = options.follow_links(true);
    options.convert(&network(), &link, None).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(std::fs::read(&path).unwrap().len() > 3);
    assert_eq!(count(folder.path()), 2);
}

#[cfg(unix)]
#[test]
fn permissions_are_the_old_ones_or_those_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, b"").unwrap();
    for name in ["model.safetensors", "model.gguf"] {
        let path = folder.path().join(name);
        convert(&network(), &path).unwrap();
        assert_eq!(mode(&path), mode(&plain));
        let odd = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&path, odd).unwrap();
        let options = ConvertOptions::new().overwrite(true);
        options.convert(&network(), &path, None).unwrap();
        assert_eq!(mode(&path), 0o640);
    }
}

#[test]
fn a_stopped_job_leaves_nothing() {
    let model = Checkpoint::from_bytes(large(24)).unwrap();
    for name in ["model.safetensors", "model.gguf"] {
        // 6 pieces are written and 6 compared: stopped at the first, in the middle, at the last.
        for stop_at in [1, 3, 7, 12] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            std::fs::write(&path, b"old").unwrap();
            let heard = AtomicU64::new(0);
            let watch = |progress: weighbridge::Progress| {
                assert!(progress.done <= progress.total);
                match heard.fetch_add(1, Ordering::Relaxed) + 1 >= stop_at {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            };
            let options = ConvertOptions::new().overwrite(true);
            let stopped = options.convert(&model, &path, Some(&watch));
            if name.ends_with("gguf") {
                // U8 has no place in GGUF.
                assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Unsupported);
            } else {
                let error = stopped.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Cancelled);
                assert!(heard.into_inner() >= stop_at);
            }
            assert_eq!(std::fs::read(&path).unwrap(), b"old");
            assert_eq!(count(folder.path()), 1);
        }
    }
}

#[test]
fn progress_ends_at_its_total() {
    let model = Checkpoint::from_bytes(large(9)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for verify in [true, false] {
        let path = folder.path().join(format!("{verify}.safetensors"));
        let last = Mutex::new(weighbridge::Progress::default());
        let watch = |progress: weighbridge::Progress| {
            // Threads may be heard out of order.
            let mut last = last.lock().unwrap();
            if progress.done > last.done {
                *last = progress;
            }
            ControlFlow::Continue(())
        };
        let options = ConvertOptions::new().verify(verify);
        let converted = options.convert(&model, &path, Some(&watch)).unwrap();
        let last = last.into_inner().unwrap();
        assert_eq!(last.done, last.total);
        let times = if verify { 2 } else { 1 };
        assert_eq!(last.total, times * converted.tensor_bytes);
    }
}

/// A source that gives fewer or other bytes from some read on.
struct Failing {
    bytes: Vec<u8>,
    other: Vec<u8>,
    reads: AtomicUsize,
    good: usize,
}

impl AsRef<[u8]> for Failing {
    fn as_ref(&self) -> &[u8] {
        if self.reads.fetch_add(1, Ordering::Relaxed) < self.good {
            &self.bytes
        } else {
            &self.other
        }
    }
}

/// Converts from a source that fails at each of its reads in turn.
fn fails_at_every_read(other: &[u8], expected: impl Fn(&weighbridge::Error)) {
    let bytes = large(2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, b"old").unwrap();
    let mut failed = 0;
    for good in 0..1_000 {
        let source = Failing {
            bytes: bytes.clone(),
            other: other.to_vec(),
            reads: AtomicUsize::new(0),
            good,
        };
        let Ok(model) = Checkpoint::from_bytes(source) else {
            continue;
        };
        let options = ConvertOptions::new().overwrite(true).provenance(false);
        match options.convert(&model, &path, None) {
            Err(error) => {
                expected(&error);
                assert_eq!(std::fs::read(&path).unwrap(), b"old");
                assert_eq!(count(folder.path()), 1);
                failed += 1;
            }
            Ok(_) if failed > 0 => break,
            Ok(_) => std::fs::write(&path, b"old").unwrap(),
        }
    }
    assert!(failed > 0, "no read failed");
}

#[test]
fn a_source_that_cannot_be_read_leaves_the_old_file() {
    fails_at_every_read(b"", |error| assert_eq!(error.kind(), ErrorKind::Io));
}

/// The file is mapped: another program changes it between writing and comparing.
#[cfg(feature = "mmap")]
#[test]
fn verification_sees_a_source_that_changed() {
    use std::io::{Seek, SeekFrom, Write};
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.safetensors");
    std::fs::write(&source, large(9)).unwrap();
    let model = weighbridge::open(&source).unwrap();
    let change = |byte: u8| {
        let mut file = std::fs::File::options().write(true).open(&source).unwrap();
        file.seek(SeekFrom::End(-1)).unwrap();
        file.write_all(&[byte]).unwrap();
    };
    for first in [0, 1] {
        let path = folder.path().join("model.safetensors");
        change(first);
        let watch = |progress: weighbridge::Progress| {
            if progress.done == progress.total / 2 {
                change(2);
            }
            ControlFlow::Continue(())
        };
        let options = ConvertOptions::new();
        let error = options.convert(&model, &path, Some(&watch));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("differs"), "{error}");
        assert_eq!(count(folder.path()), 1);
    }
}

#[test]
fn a_source_that_is_not_in_memory_converts_to_the_same_file() {
    use weighbridge::{Access, OpenOptions};
    let folder = tempfile::tempdir().unwrap();
    for name in ["safetensors/network.safetensors", "gguf/network.gguf"] {
        let source = support::file(name);
        let written = [Access::Map, Access::Read, Access::Lazy].map(|access| {
            let model = OpenOptions::new().access(access).open(&source).unwrap();
            let path = folder.path().join(format!("{access:?}.safetensors"));
            let options = ConvertOptions::new().overwrite(true);
            options.convert(&model, &path, None).unwrap();
            std::fs::read(path).unwrap()
        });
        assert!(
            written[0] == written[1] && written[0] == written[2],
            "{name}"
        );
    }
}

/// The header is written twice, before and after the digest of the source is known: the same keys must win.
#[test]
fn a_caller_s_key_wins_over_where_the_file_comes_from_and_what_companions_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.safetensors");
    let source = support::file("torch/quantized_per_tensor.pt");
    let model = weighbridge::open(&source).unwrap();
    let plain = ConvertOptions::new().companions(true).overwrite(true);
    plain.convert(&model, &path, None).unwrap();
    let metadata = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        metadata.metadata().clone().unwrap()
    };
    let before = metadata(&path);
    let companion = before
        .keys()
        .find(|key| key.starts_with("weighbridge.dtype."))
        .unwrap();
    let mine = "a text that is longer than the name of any dtype";
    for key in [companion.as_str(), "weighbridge.version", "format"] {
        plain
            .clone()
            .metadata(key, mine)
            .convert(&model, &path, None)
            .unwrap();
        let after = metadata(&path);
        assert_eq!(after[key], mine);
        assert_eq!(after.len(), before.len());
    }
}
