//! Tensors as the types of other crates, nothing copied.

#![allow(missing_docs, unreachable_pub)]

mod support;

use bytes::Bytes;
use safetensors::View;
use weighbridge::{Access, Caller, ErrorKind, OpenOptions, Tensor, TensorView};

fn assert_shared<T: Send + Sync + Clone + 'static>() {}

#[test]
fn a_tensor_is_static_shared_and_outlives_its_checkpoint() {
    assert_shared::<Tensor>();
    for access in [Access::Map, Access::Read, Access::Lazy] {
        for name in [
            "safetensors/network.safetensors",
            "gguf/quantized.gguf",
            "torch/distributed/two_ranks",
        ] {
            let model = OpenOptions::new()
                .access(access)
                .open(support::file(name))
                .unwrap();
            let copy = |tensor: &TensorView<'_>| {
                let mut bytes = vec![0; tensor.byte_length() as usize];
                tensor.copy_into(&mut bytes).unwrap();
                bytes
            };
            let expected: Vec<Vec<u8>> = model.tensors().map(|tensor| copy(&tensor)).collect();
            let kept: Vec<Tensor> = model.tensors().map(|tensor| tensor.to_shared()).collect();
            drop(model);
            std::thread::scope(|scope| {
                for (tensor, expected) in kept.iter().zip(&expected) {
                    let tensor = tensor.clone();
                    scope.spawn(move || assert_eq!(&copy(&tensor.view()), expected, "{tensor:?}"));
                }
            });
        }
    }
}

#[test]
fn bytes_are_those_of_the_file_and_keep_it() {
    let model = weighbridge::open(support::file("gguf/quantized.gguf")).unwrap();
    for tensor in model.tensors() {
        let shared = Bytes::try_from(tensor.to_shared()).unwrap();
        let own = tensor.bytes().unwrap();
        assert_eq!(shared.as_ptr(), own.as_ptr(), "copied: {tensor:?}");
        assert_eq!(shared, own);
        if tensor.shape()[0] > 1 && tensor.shape().len() > 1 {
            let row = tensor.to_shared().narrow(0, 1..2).unwrap();
            let row = Bytes::try_from(row).unwrap();
            assert_eq!(row, own[row.len()..2 * row.len()]);
        }
    }
    let tensor = model.tensors().next().unwrap();
    let (expected, shared) = (
        tensor.bytes().unwrap().to_vec(),
        Bytes::try_from(tensor.to_shared()).unwrap(),
    );
    drop(model);
    assert_eq!(shared, expected);
}

#[test]
fn what_cannot_be_borrowed_is_an_error_of_each() {
    let model = weighbridge::open(support::file("torch/transposed.pt")).unwrap();
    let strided = model
        .tensors()
        .find(|tensor| !tensor.is_contiguous())
        .unwrap();
    let error = Bytes::try_from(strided.to_shared()).unwrap_err();
    assert_eq!(error.as_caller(), Some(&Caller::Strided));
    assert_eq!(
        strided.to_safetensors().unwrap_err().as_caller(),
        Some(&Caller::Strided)
    );
    let blocks = weighbridge::open(support::file("gguf/quantized.gguf")).unwrap();
    let quantized = blocks
        .tensors()
        .find(|tensor| tensor.dtype().block_elements() > 1)
        .unwrap();
    let error = quantized.to_safetensors().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn the_official_writer_takes_every_type_of_its_own() {
    let mut types = 0;
    for path in support::files_below(&support::file("safetensors/dtypes")) {
        let model = weighbridge::open(&path).unwrap();
        let views: Vec<_> = model
            .tensors()
            .map(|tensor| (tensor.name().to_owned(), tensor.to_safetensors().unwrap()))
            .collect();
        for ((_, view), tensor) in views.iter().zip(model.tensors()) {
            assert_eq!(
                view.data().as_ptr(),
                tensor.bytes().unwrap().as_ptr(),
                "copied: {tensor:?}"
            );
            types += 1;
        }
        let file = safetensors::serialize(views, None).unwrap();
        let official = safetensors::SafeTensors::deserialize(&file).unwrap();
        for tensor in model.tensors() {
            let found = official.tensor(tensor.name()).unwrap();
            assert_eq!(found.shape(), tensor.shape());
            assert_eq!(format!("{:?}", found.dtype()), tensor.dtype_name());
            assert_eq!(found.data(), tensor.bytes().unwrap());
        }
    }
    assert!(types >= 20, "only {types} types");
}
