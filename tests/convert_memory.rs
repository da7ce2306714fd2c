//! Memory of a conversion: bounded, whatever the tensors' size.

#![allow(missing_docs, unreachable_pub)]
#![allow(unsafe_code, reason = "an allocator that counts")]

#[path = "support/allocation.rs"]
mod allocation;

use weighbridge::convert::{ConvertOptions, DTypePolicy};
use weighbridge::{Checkpoint, DType};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

const ROWS: usize = 3072;
const COLUMNS: usize = 2048;

/// One tensor of 24 MiB.
fn model() -> Checkpoint {
    let values = (0..ROWS * COLUMNS).map(|at| (at % 1000) as f32);
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    let shape = vec![ROWS, COLUMNS];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &bytes);
    Checkpoint::from_bytes(safetensors::serialize([("x", view.unwrap())], None).unwrap()).unwrap()
}

#[test]
fn a_conversion_holds_at_most_16_megabytes() {
    const MOST: usize = 16_000_000;
    let model = model();
    let folder = tempfile::tempdir().unwrap();
    let plain = ConvertOptions::new().overwrite(true);
    let half = plain.clone().dtype(DTypePolicy::F16);
    let quantized = plain.clone().quantize(Some(DType::Q8_0));
    for (name, options) in [
        ("plain.safetensors", &plain),
        ("half.safetensors", &half),
        ("plain.gguf", &plain),
        ("quantized.gguf", &quantized),
    ] {
        let path = folder.path().join(name);
        let peak = allocation::peak(|| drop(options.convert(&model, &path, None).unwrap()));
        assert!(peak < MOST, "{name}: {peak} bytes");
    }
    // Columns do not lie side by side.
    let path = folder.path().join("columns.safetensors");
    let columns = model.tensor("x").unwrap().narrow(1, 1..).unwrap();
    let peak = allocation::peak(|| {
        let converted = half.convert_views(&model, [columns], &path, None);
        assert_eq!(converted.unwrap().tensors, 1);
    });
    assert!(peak < MOST, "columns: {peak} bytes");
}
