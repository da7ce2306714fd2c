//! No decoder reads outside its blocks or writes outside its output: both stand at the very end of a
//! mapping, then at its very start, beside a page that nobody may touch. One byte too far ends this program
//! with `SIGSEGV`.
//!
//! Every type, every output, every length around the steps of the kernels; the kernels of this processor,
//! and with `RUSTFLAGS="--cfg weighbridge_scalar"` the scalar code.
#![cfg(target_os = "linux")]
#![allow(missing_docs, unreachable_pub)]
#![allow(unsafe_code, reason = "pages without access")]

mod support;

use std::ptr;

use half::{bf16, f16};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use support::gguf::Gguf;
use weighbridge::{Checkpoint, DType, TensorView, quant};

/// The largest pages of a Linux system that runs tests.
const PAGE: usize = 64 * 1024;

/// Which end of the accessible pages bytes stand at.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Start,
    End,
}

/// Accessible pages between two that are not.
struct Guarded {
    whole: *mut u8,
    inner: usize,
    length: usize,
    at: At,
}

// SAFETY: the pages belong to this value alone, as those of a `Vec` would.
unsafe impl Send for Guarded {}
// SAFETY: as above; a shared reference gives shared bytes only.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn new(length: usize, at: At) -> Self {
        let inner = length.next_multiple_of(PAGE);
        // SAFETY: a new mapping where the system likes, of which nobody else knows.
        let whole = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                inner + 2 * PAGE,
                ProtFlags::empty(),
                MapFlags::PRIVATE,
            )
        };
        let whole = whole.unwrap().cast::<u8>();
        // SAFETY: the pages between the first and the last of the mapping made above.
        let opened = unsafe {
            let pages = whole.add(PAGE).cast();
            mprotect(pages, inner, MprotectFlags::READ | MprotectFlags::WRITE)
        };
        opened.unwrap();
        Self {
            whole,
            inner,
            length,
            at,
        }
    }

    fn holding(bytes: &[u8], at: At) -> Self {
        let mut guarded = Self::new(bytes.len(), at);
        guarded.bytes_mut().copy_from_slice(bytes);
        guarded
    }

    fn start(&self) -> *mut u8 {
        let shift = if self.at == At::End {
            self.inner - self.length
        } else {
            0
        };
        // SAFETY: inside the mapping, which is two pages longer than `inner`.
        unsafe { self.whole.add(PAGE + shift) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `length` bytes that are readable, writable, zeroed by the system, and borrowed with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.length) }
    }
}

impl AsRef<[u8]> for Guarded {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: as in `bytes_mut`.
        unsafe { std::slice::from_raw_parts(self.start(), self.length) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, of which no reference is left.
        unsafe { munmap(self.whole.cast(), self.inner + 2 * PAGE) }.unwrap();
    }
}

/// Bytes without a pattern, the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect()
}

/// A file that ends with the last byte of its one tensor `x`, of one dimension.
fn ending_with(dtype: DType, elements: usize) -> Option<Vec<u8>> {
    let data = noise(usize::try_from(dtype.bytes_for(elements as u64)?).unwrap());
    if let Some(id) = dtype.ggml_id() {
        let head = Gguf::default()
            .info(b"x", &[elements as u64], id, 0)
            .build();
        return Some([head, data].concat());
    }
    let name = dtype.safetensors_name()?;
    let header = format!(
        r#"{{"x":{{"dtype":"{name}","shape":[{elements}],"data_offsets":[0,{}]}}}}"#,
        data.len()
    );
    Some(support::safetensors::build(&header, &data))
}

/// Decodes into memory that ends, or starts, at a page without access.
fn decode<T: quant::Output + bytemuck::Pod>(tensor: &TensorView<'_>, at: At) -> Vec<u8> {
    let mut out = Guarded::new(tensor.elements() * size_of::<T>(), at);
    let values: &mut [T] = bytemuck::cast_slice_mut(out.bytes_mut());
    tensor.dequantize_into(values).unwrap();
    out.as_ref().to_vec()
}

/// The same in memory of which more than is needed may be touched.
fn expected<T: quant::Output + bytemuck::Pod>(tensor: &TensorView<'_>) -> Vec<u8> {
    let mut out = vec![T::zeroed(); tensor.elements()];
    tensor.dequantize_into(&mut out).unwrap();
    bytemuck::cast_slice(&out).to_vec()
}

/// Every output of one tensor.
fn check(dtype: DType, elements: usize) -> bool {
    let Some(file) = ending_with(dtype, elements) else {
        return false;
    };
    let plain = Checkpoint::from_bytes(file.clone()).unwrap();
    let plain = plain.tensor("x").unwrap();
    if !plain.can_dequantize() {
        return false;
    }
    // The file's last byte is the tensor's; what stands before its first is the file's head.
    let guarded = Checkpoint::from_bytes(Guarded::holding(&file, At::End)).unwrap();
    let tensor = guarded.tensor("x").unwrap();
    assert_eq!(tensor.bytes().unwrap(), plain.bytes().unwrap());
    for at in [At::End, At::Start] {
        assert_eq!(
            decode::<f32>(&tensor, at),
            expected::<f32>(&plain),
            "{dtype} {elements}"
        );
        assert_eq!(
            decode::<f16>(&tensor, at),
            expected::<f16>(&plain),
            "{dtype} {elements}"
        );
        assert_eq!(
            decode::<bf16>(&tensor, at),
            expected::<bf16>(&plain),
            "{dtype} {elements}"
        );
    }
    true
}

#[test]
fn no_type_reads_past_its_blocks_or_writes_past_its_output() {
    let mut types = 0;
    for &dtype in DType::ALL {
        let block = dtype.block_elements();
        // Around the run of 32 and the vectors of 8; whole blocks of 32 to 256 for the others.
        let lengths: Vec<usize> = match block {
            1 | 2 => (0..=70).chain([95, 96, 97, 1023, 1024, 1025]).collect(),
            _ => (0..=9)
                .chain([32, 33])
                .map(|blocks| blocks * block)
                .collect(),
        };
        let decoded = lengths
            .into_iter()
            .filter(|&elements| check(dtype, elements))
            .count();
        types += usize::from(decoded > 0);
    }
    assert!(types >= 45, "only {types} types");
}

/// An output of 16 MiB, stored past the cache and split over threads; then one with a block more, which is not
/// aligned as those stores ask.
fn check_large<T: quant::Output + bytemuck::Pod>(dtype: DType) {
    for tail in [0, 1] {
        let elements = (16 << 20) / size_of::<T>() + tail * dtype.block_elements();
        let Some(file) = ending_with(dtype, elements) else {
            return;
        };
        let model = Checkpoint::from_bytes(Guarded::holding(&file, At::End)).unwrap();
        let tensor = model.tensor("x").unwrap();
        if tensor.can_dequantize() {
            let found = decode::<T>(&tensor, At::End);
            assert!(found == expected::<T>(&tensor), "{dtype} {elements}");
        }
    }
}

#[test]
fn a_large_output_ends_where_it_should() {
    check_large::<f32>(DType::Q4_0);
}

#[test]
#[ignore = "minutes without optimization"]
fn large_outputs_of_every_type_end_where_they_should() {
    for &dtype in DType::ALL {
        check_large::<f32>(dtype);
        check_large::<f16>(dtype);
        check_large::<bf16>(dtype);
    }
}

#[test]
fn rows_copies_and_chunks_stay_inside_too() {
    for &dtype in DType::ALL {
        let (block, block_bytes) = (dtype.block_elements(), dtype.block_bytes());
        let Some(id) = dtype.ggml_id() else { continue };
        let data = noise(5 * block_bytes);
        let head = Gguf::default()
            .info(b"x", &[block as u64, 5], id, 0)
            .build();
        let file = Guarded::holding(&[head, data.clone()].concat(), At::End);
        let model = Checkpoint::from_bytes(file).unwrap();
        let tensor = model.tensor("x").unwrap();
        for rows in [0..5, 4..5, 3..5] {
            let part = tensor.narrow(0, rows.clone()).unwrap();
            let expected = &data[rows.start * block_bytes..rows.end * block_bytes];
            for at in [At::End, At::Start] {
                let mut out = Guarded::new(expected.len(), at);
                part.copy_into(out.bytes_mut()).unwrap();
                assert_eq!(out.as_ref(), expected, "{dtype}");
                let mut values = Guarded::new(part.elements() * 4, at);
                let values: &mut [f32] = bytemuck::cast_slice_mut(values.bytes_mut());
                let decoded = tensor.dequantize_rows_into(rows.clone(), values);
                assert_eq!(decoded.is_ok(), tensor.can_dequantize(), "{dtype}");
            }
        }
        // Every other row: a stride that the bytes do not stand in.
        let odd = tensor.narrow(0, 1..5).unwrap().validate();
        assert_eq!(odd.is_ok(), tensor.can_dequantize(), "{dtype}");
    }
}

#[test]
fn quantizing_stays_inside() {
    for &dtype in quant::QUANTIZABLE {
        for blocks in 0..4 {
            let values = noise(blocks * dtype.block_elements())
                .into_iter()
                .map(f32::from);
            let values: Vec<f32> = values.collect();
            for at in [At::End, At::Start] {
                let input = Guarded::holding(bytemuck::cast_slice(&values), at);
                let mut out = Guarded::new(blocks * dtype.block_bytes(), at);
                let input: &[f32] = bytemuck::cast_slice(input.as_ref());
                quant::quantize(dtype, input, out.bytes_mut()).unwrap();
            }
        }
    }
}
