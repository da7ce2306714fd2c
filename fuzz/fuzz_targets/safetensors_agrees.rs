//! What we accept, the official crate accepts, with the same names, shapes and bytes.
//!
//! The written list of disagreements: we open files with dtypes that nobody knows (opaque
//! entries). Where we refuse and the crate accepts, the module documentation of
//! `formats::safetensors` says which rule is broken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge::{Checkpoint, DType, Format};

fuzz_target!(|data: &[u8]| {
    let end = data
        .iter()
        .rposition(|&byte| byte == b'}')
        .map_or(0, |at| at + 1);
    let mut file = (end as u64).to_le_bytes().to_vec();
    file.extend_from_slice(data);
    let Ok(ours) = Checkpoint::from_bytes(file.clone()) else {
        return;
    };
    if ours.format() != Format::Safetensors
        || ours.tensors().any(|tensor| tensor.dtype() == DType::Opaque)
    {
        return;
    }
    let theirs = safetensors::SafeTensors::deserialize(&file).expect("accepted by us");
    assert_eq!(theirs.len(), ours.len());
    for tensor in ours.tensors() {
        let other = theirs.tensor(tensor.name()).expect("same names");
        assert_eq!(other.shape(), tensor.shape());
        assert_eq!(other.dtype().to_string(), tensor.dtype_name());
        assert_eq!(other.data(), tensor.bytes().expect("contiguous"));
    }
});
