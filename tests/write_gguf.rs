//! GGUF files that we write: read back, compared with their source and with the official quantizer.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use weighbridge::convert::{GgufWriter, OutputValue};
use weighbridge::quant::{QUANTIZABLE, quantize};
use weighbridge::{Checkpoint, DType, ErrorKind, Result};

fn values(model: &Checkpoint, name: &str) -> Vec<f32> {
    let tensor = model.tensor(name).unwrap();
    let mut values = vec![0.0; tensor.elements()];
    tensor.dequantize_into(&mut values).unwrap();
    values
}

#[test]
fn a_copy_of_every_gguf_file_holds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.gguf");
    let mut files = 0;
    for source in support::files_below(&support::file("gguf")) {
        let options = weighbridge::OpenOptions::new().single_file(true);
        let model = options.open(&source).unwrap();
        let mut writer = GgufWriter::new();
        writer.copy_metadata(&model).unwrap();
        let written: Result<()> = model
            .tensors()
            .try_for_each(|tensor| writer.tensor(tensor.clone(), tensor.dtype()));
        written.unwrap();
        writer.write(&path, None).unwrap();
        let copy = weighbridge::open(&path).unwrap();
        assert_eq!(copy.len(), model.len(), "{}", source.display());
        for tensor in model.tensors() {
            let copied = copy.tensor(tensor.name()).unwrap();
            assert_eq!(
                (copied.dtype(), copied.shape()),
                (tensor.dtype(), tensor.shape())
            );
            let mut bytes = vec![0; tensor.byte_length() as usize];
            tensor.copy_into(&mut bytes).unwrap();
            assert_eq!(copied.bytes().unwrap(), bytes, "{}", source.display());
        }
        for (key, value) in model.metadata().iter() {
            let key = key.as_str().unwrap();
            if key == "general.alignment" || key.starts_with("split.") {
                continue;
            }
            let copied = copy.metadata().get(key).unwrap();
            assert_eq!(copied.value_type(), value.value_type(), "{key}");
            assert_eq!(format!("{copied:?}"), format!("{value:?}"), "{key}");
            if let (Some(copied), Some(value)) = (copied.as_array(), value.as_array()) {
                assert!(
                    copied
                        .iter()
                        .map(|v| format!("{v:?}"))
                        .eq(value.iter().map(|v| format!("{v:?}")))
                );
            }
        }
        files += 1;
    }
    assert!(files > 50, "{files} files");
}

#[test]
fn quantized_tensors_are_those_of_the_quantizer() {
    let folder = tempfile::tempdir().unwrap();
    let model = weighbridge::open(support::file("gguf/network.gguf")).unwrap();
    for &dtype in QUANTIZABLE {
        let path = folder.path().join("out.gguf");
        let mut writer = GgufWriter::new();
        writer
            .metadata("general.architecture", OutputValue::String("test"))
            .unwrap();
        let fits = |shape: &[usize]| shape.last().unwrap().is_multiple_of(dtype.block_elements());
        let chosen: Vec<_> = model
            .tensors()
            .filter(|tensor| fits(tensor.shape()))
            .collect();
        for tensor in &chosen {
            writer.tensor(tensor.clone(), dtype).unwrap();
        }
        writer.write(&path, None).unwrap();
        let out = weighbridge::open(&path).unwrap();
        assert_eq!(out.len(), chosen.len());
        for tensor in &chosen {
            let source = values(&model, tensor.name());
            let mut expected = vec![0; dtype.bytes_for(source.len() as u64).unwrap() as usize];
            quantize(dtype, &source, &mut expected).unwrap();
            let written = out.tensor(tensor.name()).unwrap();
            assert_eq!((written.dtype(), written.shape()), (dtype, tensor.shape()));
            assert_eq!(written.bytes().unwrap(), expected, "{dtype}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let model = weighbridge::open(support::file("safetensors/network.safetensors")).unwrap();
    let tensor = model
        .tensors()
        .find(|tensor| tensor.shape().len() == 2)
        .unwrap();
    let mut writer = GgufWriter::new();
    writer.tensor(tensor.clone(), DType::F32).unwrap();
    assert!(writer.tensor(tensor.clone(), DType::F32).is_err(), "twice");
    assert!(
        GgufWriter::new()
            .tensor(tensor.clone(), DType::Q4_K)
            .is_err(),
        "no quantizer"
    );
    assert!(
        GgufWriter::new().tensor(tensor.clone(), DType::U8).is_err(),
        "no ggml type"
    );
    assert!(
        GgufWriter::new()
            .tensor(tensor.narrow(1, ..31).unwrap(), DType::Q4_0)
            .is_err(),
        "blocks"
    );
    writer.metadata("k", OutputValue::U32(1)).unwrap();
    assert!(writer.metadata("k", OutputValue::U32(2)).is_err());
    assert!(writer.metadata("", OutputValue::U32(2)).is_err());
}

#[test]
fn a_stopped_job_leaves_the_old_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, b"old").unwrap();
    let model = weighbridge::open(support::file("gguf/network.gguf")).unwrap();
    let mut writer = GgufWriter::new();
    for tensor in model.tensors() {
        writer.tensor(tensor, DType::F16).unwrap();
    }
    let heard = AtomicU64::new(0);
    let stop = |progress: weighbridge::Progress| {
        assert!(progress.done <= progress.total);
        if heard.fetch_add(1, Ordering::Relaxed) == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let error = writer.write(&path, Some(&stop)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let last = AtomicU64::new(0);
    let watch = |progress: weighbridge::Progress| {
        last.store(progress.done, Ordering::Relaxed);
        assert!(progress.done <= progress.total);
        ControlFlow::Continue(())
    };
    writer.write(&path, Some(&watch)).unwrap();
    let bytes: u64 = model.tensors().map(|t| 2 * t.elements() as u64).sum();
    assert_eq!(last.into_inner(), bytes);
    assert_eq!(weighbridge::open(&path).unwrap().len(), model.len());
}

#[test]
fn a_pair_that_is_refused_leaves_the_writer_as_it_was() {
    use support::gguf::{ARRAY, Gguf, U8};
    let inner = [U8.to_le_bytes().as_slice(), &1_u64.to_le_bytes(), &[7]].concat();
    let nested = Gguf::default().pair_array("a", ARRAY, 1, &inner).build();
    let options = weighbridge::OpenOptions::new().strictness(weighbridge::Strictness::Lenient);
    let nested = options.from_bytes(nested).unwrap();
    let value = nested.metadata().get("a").unwrap();

    let mut writer = GgufWriter::new();
    writer.metadata("first", OutputValue::U32(1)).unwrap();
    let refused = writer.metadata("second", OutputValue::Copied(value));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Caller);
    writer.metadata("second", OutputValue::U32(2)).unwrap();
    let repeated = writer.metadata("second", OutputValue::U32(3));
    assert_eq!(repeated.unwrap_err().kind(), ErrorKind::Caller);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pairs.gguf");
    writer.write(&path, None).unwrap();
    let written = weighbridge::open(&path).unwrap();
    let number = |key| written.metadata().get(key).unwrap().as_integer();
    assert_eq!((number("first"), number("second")), (Some(1), Some(2)));
    assert_eq!(written.metadata().len(), 2);
}
