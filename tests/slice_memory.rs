//! What a slice costs beside its output. Alone in its file: the allocator counts for the whole process.

#![allow(missing_docs, unreachable_pub, unsafe_code)]

mod support;

#[path = "support/allocation.rs"]
mod allocation;

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// A tensor of 10 million rows of 4 floats, of which one column is taken: as a copy, as chunks, decoded.
#[test]
fn a_column_of_ten_million_rows_costs_little_memory() {
    let rows: usize = if cfg!(debug_assertions) {
        1_000_000
    } else {
        10_000_000
    };
    let header = format!(
        r#"{{"x":{{"dtype":"F32","shape":[{rows},4],"data_offsets":[0,{}]}}}}"#,
        rows * 16
    );
    let mut data = vec![0_u8; rows * 16];
    for (number, value) in data.chunks_exact_mut(4).enumerate() {
        value.copy_from_slice(&(number as f32).to_le_bytes());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.safetensors");
    std::fs::write(&path, support::safetensors::build(&header, &data)).unwrap();
    drop(data);
    let model = weighbridge::open(&path).unwrap();
    let column = model.tensor("x").unwrap().narrow(1, 2..3).unwrap();
    let mut bytes = vec![0; rows * 4];
    let mut values = vec![0.0_f32; rows];
    let peak = allocation::peak(|| {
        column.copy_into(&mut bytes).unwrap();
        column.dequantize_into(&mut values).unwrap();
        let mut seen = 0;
        column
            .for_each_chunk(|chunk| {
                seen += chunk.len();
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, rows * 4);
    });
    println!("{rows} rows: {peak} bytes beyond the output");
    assert!(peak < 1_000_000, "{peak} bytes");
    for (number, value) in values.iter().enumerate() {
        let expected = (number * 4 + 2) as f32;
        assert_eq!(*value, expected);
        assert_eq!(bytes[number * 4..][..4], expected.to_le_bytes());
    }
}
