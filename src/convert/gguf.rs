//! GGUF files, version 3, little-endian.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use super::atomic;
use super::value::{OutputValue, string};
use crate::bytes::{align_up, to_u64};
use crate::checkpoint::Checkpoint;
use crate::dtype::DType;
use crate::error::{Caller, Error, Format, Result};
use crate::progress::{Callback, Job};
use crate::quant::{QUANTIZABLE, quantize};
use crate::tensor::TensorView;

/// Alignment of a file that states none.
const ALIGNMENT: u64 = 32;
/// `GGML_MAX_NAME` with its final NUL, and `GGML_MAX_DIMS`.
const MOST_NAME_BYTES: usize = 63;
const MOST_DIMENSIONS: usize = 4;
/// Values decoded at a time: a multiple of every block.
const CHUNK_ELEMENTS: usize = 1 << 20;

/// Collects metadata and tensors, then streams them into a file.
///
/// Tensors stay where they are until [`write`](Self::write): memory is that of one chunk of a million
/// values, whatever the model's size.
///
/// # Example
/// ```
/// use weighbridge::{DType, convert::{GgufWriter, OutputValue}};
/// let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
/// let mut writer = GgufWriter::new();
/// writer.metadata("general.architecture", OutputValue::String("example"))?;
/// for tensor in model.tensors() {
///     writer.tensor(tensor, DType::F16)?;
/// }
/// let path = std::env::temp_dir().join("weighbridge-doc-example.gguf");
/// writer.write(&path, None)?;
/// assert_eq!(weighbridge::open(&path)?.len(), model.len());
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), weighbridge::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct GgufWriter<'a> {
    pairs: Vec<u8>,
    keys: HashSet<String>,
    names: HashSet<String>,
    tensors: Vec<(TensorView<'a>, DType)>,
}

impl<'a> GgufWriter<'a> {
    /// An empty file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key and value.
    ///
    /// # Errors
    /// `Caller` if the key is empty, holds NUL or was added before, or the value is an array of arrays.
    pub fn metadata(&mut self, key: &str, value: OutputValue<'_>) -> Result<()> {
        if key.is_empty() || key.contains('\0') || !self.keys.insert(key.to_owned()) {
            return Err(does_not_fit("the key", key));
        }
        string(key.as_bytes(), &mut self.pairs);
        value.encode(&mut self.pairs)
    }

    /// Adds every key of a GGUF checkpoint but those that belong to its own file: `general.alignment`
    /// and `split.*`.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata).
    pub fn copy_metadata(&mut self, model: &Checkpoint) -> Result<()> {
        for (key, value) in model.metadata().iter() {
            let key = key.as_str()?;
            if key != "general.alignment" && !key.starts_with("split.") {
                self.metadata(key, OutputValue::Copied(value))?;
            }
        }
        Ok(())
    }

    /// Adds a tensor, to be written as `dtype`: its own type, or one of [`QUANTIZABLE`].
    ///
    /// # Errors
    /// `Caller` if the name is longer than 63 bytes or was added before, if there are more than 4
    /// dimensions, or rows do not hold whole blocks; `Unsupported` if ggml has no such type or the
    /// tensor cannot be converted to it.
    pub fn tensor(&mut self, tensor: TensorView<'a>, dtype: DType) -> Result<()> {
        let name = tensor.name();
        let shape = tensor.shape();
        if name.is_empty() || name.len() > MOST_NAME_BYTES || name.contains('\0') {
            return Err(does_not_fit("the tensor name", name));
        }
        if shape.len() > MOST_DIMENSIONS {
            return Err(does_not_fit("the shape", &format!("{shape:?}")).for_tensor(name));
        }
        let kept = dtype == tensor.dtype();
        let convertible = QUANTIZABLE.contains(&dtype) && tensor.can_dequantize();
        if dtype.ggml_id().is_none() || !(kept || convertible) {
            let value = format!("{} as {dtype} in GGUF", tensor.dtype_name());
            return Err(Error::unsupported("writing", value).for_tensor(name));
        }
        let row = shape.last().copied().unwrap_or(1);
        if row.checked_rem(dtype.block_elements()) != Some(0) {
            return Err(Error::caller(Caller::CutsBlock {
                start: 0,
                end: row,
                block: dtype.block_elements(),
                dtype: dtype.name(),
            })
            .for_tensor(name));
        }
        if !self.names.insert(name.to_owned()) {
            return Err(does_not_fit("the repeated tensor name", name));
        }
        self.tensors.push((tensor, dtype));
        Ok(())
    }

    /// Writes the file: whole, or not at all.
    ///
    /// # Errors
    /// `Io` for what the file system refuses, `Cancelled` if the callback stops the job, `Caller` if a
    /// tensor has no data.
    pub fn write(&self, path: impl AsRef<Path>, progress: Option<Callback<'_>>) -> Result<()> {
        let (head, total) = self.head()?;
        let nobody = |_| std::ops::ControlFlow::Continue(());
        let job = Job::new("writing", total, progress.unwrap_or(&nobody));
        atomic::write(path.as_ref(), |file| {
            let mut output = Output {
                file,
                job: &job,
                written: 0,
            };
            output.put(&head)?;
            output.pad(to_u64(head.len()))?;
            for (tensor, dtype) in &self.tensors {
                let start = output.written;
                output
                    .tensor(tensor, *dtype)
                    .map_err(|error| error.for_tensor(tensor.name()))?;
                output.pad(output.written.saturating_sub(start))?;
            }
            Ok(())
        })
    }

    /// Header, pairs and tensor infos; and how many bytes the tensors have.
    fn head(&self) -> Result<(Vec<u8>, u64)> {
        let mut head = b"GGUF".to_vec();
        head.extend(3_u32.to_le_bytes());
        head.extend(to_u64(self.tensors.len()).to_le_bytes());
        head.extend(to_u64(self.keys.len()).to_le_bytes());
        head.extend(&self.pairs);
        let mut offset: u64 = 0;
        let mut total: u64 = 0;
        for (tensor, dtype) in &self.tensors {
            string(tensor.name().as_bytes(), &mut head);
            let rank = u32::try_from(tensor.shape().len()).unwrap_or(u32::MAX);
            head.extend(rank.to_le_bytes());
            for &dimension in tensor.shape().iter().rev() {
                head.extend(to_u64(dimension).to_le_bytes());
            }
            head.extend(dtype.ggml_id().unwrap_or(u32::MAX).to_le_bytes());
            head.extend(offset.to_le_bytes());
            let too_large = || does_not_fit("the size of all tensors", "2^63 bytes");
            let bytes = dtype
                .bytes_for(to_u64(tensor.elements()))
                .ok_or_else(too_large)?;
            total = total.checked_add(bytes).ok_or_else(too_large)?;
            offset = align_up(bytes, ALIGNMENT)
                .and_then(|padded| offset.checked_add(padded))
                .ok_or_else(too_large)?;
        }
        Ok((head, total))
    }
}

/// The file being written, and who watches.
struct Output<'w, 'c, W: Write> {
    file: &'w mut W,
    job: &'c Job<'c>,
    /// Bytes of tensor data.
    written: u64,
}

impl<W: Write> Output<'_, '_, W> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io)
    }

    /// Zeros up to the alignment, after `length` bytes that started at a multiple of it.
    fn pad(&mut self, length: u64) -> Result<()> {
        let padded = align_up(length, ALIGNMENT).unwrap_or(length);
        for _ in length..padded {
            self.put(&[0])?;
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        // Large borrowed tensors are cut, so that the callback is heard in between.
        for part in bytes.chunks(Job::STEP_BYTES) {
            self.put(part)?;
            self.written = self.written.saturating_add(to_u64(part.len()));
            self.job.advance(to_u64(part.len()))?;
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &TensorView<'_>, dtype: DType) -> Result<()> {
        if dtype == tensor.dtype() {
            return tensor.for_each_chunk(|chunk| self.data(chunk));
        }
        let Some(&rows) = tensor.shape().first() else {
            return self.converted(tensor, dtype);
        };
        let row_elements = tensor.elements().checked_div(rows).unwrap_or_default();
        let step = CHUNK_ELEMENTS.checked_div(row_elements).unwrap_or(rows);
        // A vector is one row: it is cut between blocks, and a chunk is a multiple of every block.
        let step = step.max(1);
        let mut start: usize = 0;
        while start < rows {
            let end = start.saturating_add(step).min(rows);
            self.converted(&tensor.narrow(0, start..end)?, dtype)?;
            start = end;
        }
        Ok(())
    }

    fn converted(&mut self, tensor: &TensorView<'_>, dtype: DType) -> Result<()> {
        let mut values = vec![0.0_f32; tensor.elements()];
        tensor.dequantize_into(&mut values)?;
        let bytes = dtype.bytes_for(to_u64(values.len()));
        let length = bytes.and_then(crate::bytes::to_usize).unwrap_or_default();
        let mut out = vec![0; length];
        quantize(dtype, &values, &mut out)?;
        self.data(&out)
    }
}

#[cold]
fn does_not_fit(what: &'static str, value: &str) -> Error {
    Error::caller(Caller::DoesNotFit {
        what,
        value: format!("{:?}", crate::error::shortened(value)),
        format: Format::Gguf,
    })
}
