//! What a caller could do with bytes: open them, and use everything that opens.

use weighbridge::{Checkpoint, Limits, OpenOptions, Strictness};

/// Small enough that a run under a sanitizer stays fast.
#[must_use]
pub fn limits() -> Limits {
    let mut limits = Limits::paranoid();
    limits.heap_bytes = 64 << 20;
    limits.inflated_bytes = 16 << 20;
    limits
}

/// Options that open whatever can be opened.
#[must_use]
pub fn options() -> OpenOptions {
    OpenOptions::new().limits(limits()).allow_dangerous(true)
}

/// Opens `data` strictly and leniently, and uses what opens. Strict success implies lenient success.
pub fn open_and_use(data: &[u8]) {
    let options = options();
    let strict = options.from_bytes(data.to_vec());
    let lenient = options
        .clone()
        .strictness(Strictness::Lenient)
        .from_bytes(data.to_vec());
    if let Ok(model) = &strict {
        assert!(
            lenient.is_ok(),
            "strict accepts what lenient refuses: {lenient:?}"
        );
        use_all(model);
    }
    if let Ok(model) = &lenient {
        use_all(model);
    }
    for error in [strict.err(), lenient.err()].into_iter().flatten() {
        assert!(
            !error.to_string().contains('\n'),
            "an error is one line: {error}"
        );
        assert_ne!(error.kind(), weighbridge::ErrorKind::Caller, "{error}");
    }
}

/// Reads all metadata, and copies, decodes and narrows all tensors of a checkpoint.
pub fn use_all(model: &Checkpoint) {
    for (key, value) in model.metadata().iter() {
        let _ = (key.as_str(), value.as_str(), value.as_bool());
        if let Some(array) = value.as_array() {
            let count = array.iter().count() as u64;
            assert_eq!(count, array.len());
        }
    }
    for tensor in model.tensors() {
        let found = model.tensor(tensor.name()).expect("listed, so found");
        assert_eq!(found.shape(), tensor.shape());
        // A view of stride 0 or of an unknown type may have far more elements than bytes.
        if tensor.byte_length().max(tensor.elements() as u64) > 1 << 16 {
            continue;
        }
        let mut bytes = vec![0; tensor.byte_length() as usize];
        let copied = tensor.copy_into(&mut bytes);
        if let (Ok(()), Ok(borrowed)) = (&copied, tensor.bytes()) {
            assert_eq!(borrowed, bytes);
        }
        let mut values = vec![0.0_f32; tensor.elements()];
        let _ = tensor.dequantize_into(&mut values);
        for axis in 0..tensor.shape().len() {
            let half = tensor.shape()[axis] / 2;
            if let Ok(part) = tensor.narrow(axis, half..) {
                let mut values = vec![0.0_f32; part.elements()];
                let _ = part.dequantize_into(&mut values);
            }
        }
    }
    let _ = (model.findings(), model.verdict());
}
