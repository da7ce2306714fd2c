//! Views beside a model that copies element by element: any dtype and byte order, strided, transposed and
//! broadcast tensors of torch, blocks of GGUF, in memory and read piece by piece; any chain of parts.
//!
//! Each view gives the bytes that the model gives, in every way of asking; where the model cuts a block, the
//! view is an error.
//!
//! Input: what `Case::make` takes, byte by byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge::{Caller, Checkpoint, DType, OpenOptions, ReadAt, TensorView};
use weighbridge_fuzz::builders::gguf::Gguf;
use weighbridge_fuzz::builders::torch::{pickle_of, storage, tensor};
use weighbridge_fuzz::builders::zip::{Zip, entry};
use weighbridge_fuzz::generate::Maker;
use weighbridge_fuzz::naive::Naive;
use weighbridge_fuzz::using::options;

fuzz_target!(|data: &[u8]| {
    let mut maker = Maker::new(data);
    let case = match maker.coin() {
        true => Case::of_torch(&mut maker),
        false => Case::of_gguf(&mut maker),
    };
    let naive = case.naive();
    let model = options()
        .from_bytes(case.file.clone())
        .expect("a right file");
    let lazy = read_lazily(&case.file);
    let steps: Vec<[u8; 3]> = (0..maker.below(5))
        .map(|_| [maker.byte(), maker.byte(), maker.byte()])
        .collect();
    for model in [&model, &lazy] {
        let view = model.tensor("x").expect("the one tensor");
        check(&view, &naive);
        cut(view, naive.clone(), &steps);
    }
});

/// A file with one tensor `x`, and where its elements lie.
struct Case {
    file: Vec<u8>,
    storage: Vec<u8>,
    dtype: DType,
    big_endian: bool,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl Case {
    /// A view of a storage: offset, shape and strides as they come.
    fn of_torch(maker: &mut Maker<'_>) -> Self {
        const CLASSES: &[(&str, DType)] = &[
            ("FloatStorage", DType::F32),
            ("HalfStorage", DType::F16),
            ("ByteStorage", DType::U8),
            ("DoubleStorage", DType::F64),
            ("ComplexDoubleStorage", DType::C128),
        ];
        let &(class, dtype) = maker.pick(CLASSES);
        let rank = maker.below(5);
        let shape: Vec<usize> = (0..rank).map(|_| maker.below(6)).collect();
        let strides: Vec<usize> = (0..rank).map(|_| maker.below(9)).collect();
        let offset = maker.below(5);
        let last = shape.iter().zip(&strides);
        let last: usize = last
            .map(|(length, stride)| length.saturating_sub(1) * stride)
            .sum();
        let elements = offset + last + 1 + maker.below(3);
        let bytes = pattern(maker, elements * dtype.block_bytes());
        let narrow =
            |numbers: &[usize]| -> Vec<i32> { numbers.iter().map(|&n| n as i32).collect() };
        let id = storage(class, "0", elements as i32);
        let rebuilt = tensor(id, offset as i32, &narrow(&shape), &narrow(&strides));
        Self {
            file: Zip::of(vec![
                entry("a/data.pkl", &pickle_of(rebuilt)),
                entry("a/data/0", &bytes),
                entry("a/version", b"3\n"),
            ])
            .build(),
            storage: bytes,
            dtype,
            big_endian: false,
            offset,
            shape,
            strides,
        }
    }

    /// Blocks, either byte order.
    fn of_gguf(maker: &mut Maker<'_>) -> Self {
        let types: Vec<DType> = DType::ALL
            .iter()
            .copied()
            .filter(|dtype| dtype.ggml_id().is_some())
            .collect();
        let dtype = *maker.pick(&types);
        let mut shape: Vec<usize> = (0..maker.below(3)).map(|_| maker.below(5)).collect();
        shape.push(maker.below(4) * dtype.block_elements());
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        let elements: usize = shape.iter().product();
        let bytes = pattern(
            maker,
            elements / dtype.block_elements() * dtype.block_bytes(),
        );
        let dimensions: Vec<u64> = shape.iter().rev().map(|&length| length as u64).collect();
        let big_endian = maker.coin();
        let file = Gguf {
            big_endian,
            ..Gguf::default()
        };
        let id = dtype.ggml_id().unwrap_or_default();
        Self {
            file: file.tensor("x", &dimensions, id, &bytes).build(),
            storage: bytes,
            dtype,
            big_endian,
            offset: 0,
            shape,
            strides,
        }
    }

    fn naive(&self) -> Naive<'_> {
        let naive = Naive::new(
            &self.storage,
            self.dtype,
            self.offset,
            &self.shape,
            &self.strides,
        );
        Naive {
            big_endian: self.big_endian,
            ..naive
        }
    }
}

/// Bytes of which neighbours differ.
fn pattern(maker: &mut Maker<'_>, length: usize) -> Vec<u8> {
    let first = maker.byte();
    (0..length)
        .map(|at| first.wrapping_add((at * 7 + at / 256) as u8))
        .collect()
}

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

fn read_lazily(file: &[u8]) -> Checkpoint {
    let options: OpenOptions = options();
    options
        .from_reader(Bytes(file.to_vec()))
        .expect("a right file")
}

/// Cuts the view and the model step by step.
fn cut(mut view: TensorView<'_>, mut naive: Naive<'_>, steps: &[[u8; 3]]) {
    for &[axis, start, end] in steps {
        if naive.shape.is_empty() {
            return;
        }
        let axis = usize::from(axis) % naive.shape.len();
        let length = naive.shape[axis];
        let start = usize::from(start) % (length + 1);
        let end = start + usize::from(end) % (length - start + 1);
        let part = naive.narrow(axis, start, end);
        match view.narrow(axis, start..end) {
            Ok(narrowed) => view = narrowed,
            Err(error) => {
                let cuts = matches!(error.as_caller(), Some(Caller::CutsBlock { .. }));
                assert!(
                    cuts && part.bytes().is_none(),
                    "{view:?} {axis} {start}..{end}: {error}"
                );
                return;
            }
        }
        naive = part;
        check(&view, &naive);
    }
}

/// Every way of asking for the bytes.
fn check(view: &TensorView<'_>, naive: &Naive<'_>) {
    assert_eq!(view.shape(), naive.shape);
    assert_eq!(view.elements(), naive.elements.len());
    let expected = naive.bytes().expect("a view cuts no block");
    let mut copied = vec![0; view.byte_length() as usize];
    view.copy_into(&mut copied).expect("copied");
    assert_eq!(copied, expected, "{view:?}");
    let mut chunks = Vec::new();
    let seen = view.for_each_chunk(|chunk| {
        chunks.extend_from_slice(chunk);
        Ok(())
    });
    seen.expect("shown in chunks");
    assert_eq!(chunks, expected);
    if let Ok(bytes) = view.bytes() {
        assert_eq!(bytes, expected);
    }
    let loaded = view.load().expect("loaded");
    let mut copied = vec![0; loaded.byte_length() as usize];
    loaded.copy_into(&mut copied).expect("copied from memory");
    assert_eq!(copied, expected);
    check_values(view, &expected);
}

/// Decoding the view is decoding its bytes.
fn check_values(view: &TensorView<'_>, bytes: &[u8]) {
    if !view.can_dequantize() {
        return;
    }
    let decode = |view: &TensorView<'_>| {
        let mut values = vec![0.0_f32; view.elements()];
        view.dequantize_into(&mut values).expect("decodable");
        values
            .iter()
            .map(|value| value.to_bits())
            .collect::<Vec<_>>()
    };
    let found = decode(view);
    let id = view.dtype().ggml_id();
    if let Some(id) = id.filter(|_| !view.shape().is_empty()) {
        let all = [view.elements() as u64];
        let file = Gguf::default().tensor("x", &all, id, bytes).build();
        let model = options().from_bytes(file).expect("a right file");
        assert_eq!(found, decode(&model.tensor("x").expect("the one tensor")));
    }
    let Some(&rows) = view.shape().first().filter(|&&rows| rows > 0) else {
        return;
    };
    let row = view.elements() / rows;
    let mut values = vec![0.0_f32; row];
    for at in [0, rows - 1] {
        if view.dequantize_rows_into(at..at + 1, &mut values).is_ok() {
            let values: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
            assert_eq!(values, found[at * row..(at + 1) * row]);
        }
    }
}
