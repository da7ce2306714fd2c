//! GGUF files, version 3, little-endian.

use std::collections::HashSet;
use std::path::Path;

use super::atomic::{self, Pending, Replace, Target};
use super::item::Item;
use super::to_safetensors;
use super::transfer::{self, Placed};
use super::value::{OutputValue, string};
use crate::bytes::{align_up, room, to_u64};
use crate::checkpoint::Checkpoint;
use crate::dtype::DType;
use crate::error::{Caller, Error, Format, Result};
use crate::progress::{self, Callback};
use crate::quant::QUANTIZABLE;
use crate::tensor::TensorView;

/// Magic, version, number of tensors, number of pairs.
const HEADER_BYTES: usize = 4 + 4 + 8 + 8;
/// Alignment of a file that states none.
const ALIGNMENT: u64 = 32;
/// `GGML_MAX_NAME` with its final NUL, and `GGML_MAX_DIMS`.
const MOST_NAME_BYTES: usize = 63;
const MOST_DIMENSIONS: usize = 4;

/// Collects metadata and tensors, then streams them into a file.
///
/// Tensors stay where they are until [`write`](Self::write), which moves several at a time: memory is at most
/// 16 MB, whatever the model's size.
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
    items: Vec<Item<'a>>,
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
    /// `Caller` if the key is empty, holds NUL or was added before, or the value is an array of arrays; `Io` if there
    /// is no memory for it. The writer is then what it was.
    pub fn metadata(&mut self, key: &str, value: OutputValue<'_>) -> Result<()> {
        if key.is_empty() || key.contains('\0') || self.has(key) {
            return Err(does_not_fit("the key", key));
        }
        let before = self.pairs.len();
        let added = string(key.as_bytes(), &mut self.pairs)
            .and_then(|()| value.encode(&mut self.pairs))
            .and_then(|()| room::insert(&mut self.keys, room::copy(key)?));
        if added.is_err() {
            // Half a pair would be read as another one.
            self.pairs.truncate(before);
        }
        added.map(drop)
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
    /// tensor cannot be converted to it; `Io` if there is no memory to list it. The writer is then what it was.
    pub fn tensor(&mut self, tensor: TensorView<'a>, dtype: DType) -> Result<()> {
        self.item(Item::new(tensor, dtype)?)
    }

    /// Adds a tensor that was planned.
    pub(super) fn item(&mut self, item: Item<'a>) -> Result<()> {
        let (tensor, dtype) = (&item.view, item.dtype);
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
        room::reserve(&mut self.items, 1)?;
        if !room::insert(&mut self.names, room::copy(name)?)? {
            return Err(does_not_fit("the repeated tensor name", name));
        }
        self.items.push(item);
        Ok(())
    }

    /// Writes the file: whole, or not at all. An old file is replaced.
    ///
    /// # Errors
    /// `Io` for what the file system refuses, `Cancelled` if the callback stops the job, `Caller` if a tensor has no data,
    /// or the path is a link, folder or device.
    pub fn write(&self, path: impl AsRef<Path>, progress: Option<Callback<'_>>) -> Result<()> {
        let replace = Replace {
            overwrite: true,
            follow_links: false,
        };
        let layout = self.layout()?;
        let target = Target::new(path.as_ref(), replace)?;
        let pending = vec![Pending::create(target, layout.length)?];
        let watch = progress::Job::optional("converting", layout.tensor_bytes, progress);
        transfer::write(&layout.placed, &pending, &watch)?;
        let head = self.head()?;
        for pending in &pending {
            let written = atomic::write_at(pending.file(), &head, 0);
            written.map_err(|error| Error::io(error).in_file(pending.path()))?;
            pending.sync()?;
        }
        to_safetensors::publish(pending, None).map(drop)
    }

    /// Where every tensor stands.
    pub(super) fn layout(&self) -> Result<Layout<'_, 'a>> {
        let mut offset = align_up(to_u64(self.head()?.len()), ALIGNMENT).ok_or_else(too_large)?;
        let mut layout = Layout {
            placed: Vec::new(),
            tensor_bytes: 0,
            length: offset,
        };
        for item in &self.items {
            let here = Placed {
                item,
                file: 0,
                offset,
            };
            room::push(&mut layout.placed, here)?;
            layout.tensor_bytes = layout.tensor_bytes.saturating_add(item.bytes);
            offset = align_up(item.bytes, ALIGNMENT)
                .and_then(|padded| offset.checked_add(padded))
                .ok_or_else(too_large)?;
            layout.length = offset;
        }
        Ok(layout)
    }

    /// Puts another text of the same length in the place of the one that ends `end` bytes into the pairs.
    pub(super) fn replace_text(head: &mut [u8], end: usize, text: &str) {
        let end = HEADER_BYTES.saturating_add(end);
        let start = end.saturating_sub(text.len());
        if let Some(place) = head.get_mut(start..end) {
            place.copy_from_slice(text.as_bytes());
        }
    }

    /// Bytes of all keys and values so far.
    pub(super) fn pair_bytes(&self) -> usize {
        self.pairs.len()
    }

    /// Whether a key was added.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Header, pairs and tensor infos.
    pub(super) fn head(&self) -> Result<Vec<u8>> {
        let mut head = b"GGUF".to_vec();
        head.extend(3_u32.to_le_bytes());
        head.extend(to_u64(self.items.len()).to_le_bytes());
        head.extend(to_u64(self.keys.len()).to_le_bytes());
        room::append(&mut head, &self.pairs)?;
        let mut offset: u64 = 0;
        for item in &self.items {
            string(item.name.as_bytes(), &mut head)?;
            let rank = u32::try_from(item.shape.len()).unwrap_or(u32::MAX);
            room::append(&mut head, &rank.to_le_bytes())?;
            for &dimension in item.shape.iter().rev() {
                room::append(&mut head, &to_u64(dimension).to_le_bytes())?;
            }
            let id = item.dtype.ggml_id().unwrap_or(u32::MAX);
            room::append(&mut head, &id.to_le_bytes())?;
            room::append(&mut head, &offset.to_le_bytes())?;
            offset = align_up(item.bytes, ALIGNMENT)
                .and_then(|padded| offset.checked_add(padded))
                .ok_or_else(too_large)?;
        }
        Ok(head)
    }
}

/// Where the tensors of a file stand.
pub(super) struct Layout<'p, 'a> {
    pub(super) placed: Vec<Placed<'p, 'a>>,
    pub(super) tensor_bytes: u64,
    /// Of the whole file.
    pub(super) length: u64,
}

#[cold]
fn too_large() -> Error {
    does_not_fit("the size of all tensors", "2^63 bytes")
}

#[cold]
fn does_not_fit(what: &'static str, value: &str) -> Error {
    Error::caller(Caller::DoesNotFit {
        what,
        value: format!("{:?}", crate::error::shortened(value)),
        format: Format::Gguf,
    })
}
