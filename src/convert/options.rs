//! What a conversion does, and what it did.

use std::path::{Path, PathBuf};

use super::atomic::Replace;
use super::{to_gguf, to_safetensors};
use crate::bytes::room;
use crate::checkpoint::Checkpoint;
use crate::dtype::DType;
use crate::error::{Caller, Error, Result};
use crate::findings::{Severity, Verdict};
use crate::progress::Callback;
use crate::tensor::TensorView;

/// Converts a checkpoint with the defaults of [`ConvertOptions`]: to GGUF if `path` ends in `.gguf`, to
/// safetensors otherwise; dtypes kept, tied weights written once, the result verified, nothing replaced.
///
/// # Errors
/// As [`ConvertOptions::convert`].
///
/// # Example
/// ```
/// let model = weighbridge::open("tests/files/torch/tied.pt")?;
/// let path = std::env::temp_dir().join("weighbridge-doc-convert.safetensors");
/// # let _ = std::fs::remove_file(&path);
/// let converted = weighbridge::convert::convert(&model, &path)?;
/// assert!(converted.verified);
/// assert_eq!(converted.aliases, [("output".to_owned(), "embed".to_owned())]);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), weighbridge::Error>(())
/// ```
pub fn convert(model: &Checkpoint, path: impl AsRef<Path>) -> Result<Converted> {
    ConvertOptions::new().convert(model, path, None)
}

/// The element types of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DTypePolicy {
    /// Every tensor keeps its own. Quantized ggml types have no place in safetensors: they are an error.
    #[default]
    Keep,
    /// Floating-point and quantized tensors become f32; integers, booleans and complex numbers stay.
    F32,
    /// The same with f16: rounded to nearest, ties to even, beyond 65,504 infinite.
    F16,
    /// The same with bf16: rounded to nearest, ties to even.
    BF16,
}

impl DTypePolicy {
    /// The policy of this name: `keep`, `f32`, `f16` or `bf16`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "keep" => Some(Self::Keep),
            "f32" => Some(Self::F32),
            "f16" => Some(Self::F16),
            "bf16" => Some(Self::BF16),
            _ => None,
        }
    }

    /// What floating-point tensors become; `None` if they keep their own type.
    #[must_use]
    pub const fn dtype(self) -> Option<DType> {
        match self {
            Self::Keep => None,
            Self::F32 => Some(DType::F32),
            Self::F16 => Some(DType::F16),
            Self::BF16 => Some(DType::BF16),
        }
    }
}

/// How to convert a checkpoint.
///
/// # Example
/// ```
/// use weighbridge::convert::{ConvertOptions, DTypePolicy};
/// let model = weighbridge::open("tests/files/gguf/quantized.gguf")?;
/// let path = std::env::temp_dir().join("weighbridge-doc-options.safetensors");
/// let converted = ConvertOptions::new()
///     .dtype(DTypePolicy::BF16)
///     .overwrite(true)
///     .convert(&model, &path, None)?;
/// assert_eq!(converted.tensors, model.len());
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), weighbridge::Error>(())
/// ```
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one choice of the caller's"
)]
pub struct ConvertOptions {
    pub(super) dtype: DTypePolicy,
    pub(super) quantize: Option<DType>,
    pub(super) shard_bytes: Option<u64>,
    pub(super) replace: Replace,
    pub(super) clone_shared: bool,
    pub(super) companions: bool,
    pub(super) skip_absent: bool,
    pub(super) provenance: bool,
    pub(super) verify: bool,
    pub(super) metadata: Vec<(String, String)>,
    allow_dangerous: bool,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        Self {
            dtype: DTypePolicy::Keep,
            quantize: None,
            shard_bytes: None,
            replace: Replace::default(),
            clone_shared: false,
            companions: false,
            skip_absent: false,
            provenance: true,
            verify: true,
            metadata: Vec::new(),
            allow_dangerous: false,
        }
    }
}

impl ConvertOptions {
    /// The defaults: dtypes kept, one file, nothing replaced, tied weights once, provenance recorded, the
    /// result verified.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The element types of the output.
    #[must_use]
    pub const fn dtype(mut self, policy: DTypePolicy) -> Self {
        self.dtype = policy;
        self
    }

    /// For GGUF: quantizes every floating-point tensor of two or more dimensions whose rows are whole
    /// blocks. Others become what [`dtype`](Self::dtype) says.
    #[must_use]
    pub const fn quantize(mut self, dtype: Option<DType>) -> Self {
        self.quantize = dtype;
        self
    }

    /// For safetensors: starts a new file before one would hold more tensor bytes than this, and writes an
    /// index beside them. A larger tensor gets a file of its own; what fits one file gets no index.
    #[must_use]
    pub const fn shard_bytes(mut self, bytes: Option<u64>) -> Self {
        self.shard_bytes = bytes;
        self
    }

    /// Whether an existing file is replaced. It keeps its permissions.
    #[must_use]
    pub const fn overwrite(mut self, overwrite: bool) -> Self {
        self.replace.overwrite = overwrite;
        self
    }

    /// Whether an output path that is a symbolic link stands for the file that it points to. Otherwise it
    /// is an error.
    #[must_use]
    pub const fn follow_links(mut self, follow: bool) -> Self {
        self.replace.follow_links = follow;
        self
    }

    /// Whether tied weights are written once for each name. Otherwise they are written once, and the
    /// metadata names the kept tensor under each removed name, as `safetensors.torch.save_model` does.
    #[must_use]
    pub const fn clone_shared(mut self, clone: bool) -> Self {
        self.clone_shared = clone;
        self
    }

    /// Whether torch dtypes that safetensors lacks become other tensors of the same bits; otherwise they
    /// are an error that names the tensor.
    ///
    /// | torch dtype | tensor | read back with |
    /// |---|---|---|
    /// | `complex128`, `complex32`, `bcomplex32` | `NAME.view_as_real`, F64, F16 or BF16, one more dimension of 2 | `torch.view_as_complex` |
    /// | `qint8`, `quint8`, `qint32` | `NAME.int_repr`, I8, U8 or I32; scale and zero point stand beside it | `torch._make_per_tensor_quantized_tensor` |
    /// | `bits8`, `bits1x8`, `bits2x4`, `bits4x2`, `bits16` | `NAME.bits`, U8 or U16 | `Tensor.view` |
    ///
    /// The metadata key `weighbridge.dtype.NAME` of the new name holds torch's name of the dtype.
    ///
    /// `quint4x2` and `quint2x4` do not fill whole bytes row by row and stay errors.
    #[must_use]
    pub const fn companions(mut self, split: bool) -> Self {
        self.companions = split;
        self
    }

    /// Whether tensors without data (torch's meta tensors, for example) are left out; otherwise they are an
    /// error. [`Converted::left_out`] names them.
    #[must_use]
    pub const fn skip_absent(mut self, skip: bool) -> Self {
        self.skip_absent = skip;
        self
    }

    /// Whether the metadata says where the file comes from: `weighbridge.version`,
    /// `weighbridge.source_format`, `weighbridge.source_file` (the name without its folder) and
    /// `weighbridge.source_sha256`.
    #[must_use]
    pub const fn provenance(mut self, record: bool) -> Self {
        self.provenance = record;
        self
    }

    /// Whether the written file is opened again and every byte compared with the source before it gets its
    /// name.
    #[must_use]
    pub const fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Adds a key to the output's metadata; it wins over the source's.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Whether a checkpoint with the verdict [`Verdict::Dangerous`] is converted. Nothing in it runs either
    /// way; what it would have run stands in its findings.
    #[must_use]
    pub const fn allow_dangerous(mut self, allow: bool) -> Self {
        self.allow_dangerous = allow;
        self
    }

    /// Converts `model` into the file `path`: to GGUF if that ends in `.gguf`, to safetensors otherwise.
    ///
    /// The output appears whole or not at all: it is written without a name, flushed to the disk, verified,
    /// and only then named. Of a sharded model the index comes last. Memory beside the mapped source: at
    /// most 16 MB, whatever the model's size. `progress` counts the bytes written, and again those
    /// verified; it may stop the job.
    ///
    /// # Errors
    /// `Refused` for a dangerous checkpoint; `Unsupported` for a tensor that the output's format cannot
    /// hold; `Caller` if the output exists or a tensor has no data; `Cancelled` if the callback stops the job; `Io` for
    /// what the file system refuses and for a failed verification.
    pub fn convert(
        &self,
        model: &Checkpoint,
        path: impl AsRef<Path>,
        progress: Option<Callback<'_>>,
    ) -> Result<Converted> {
        self.convert_views(model, model.tensors(), path, progress)
    }

    /// As [`convert`](Self::convert), but writes only `views`, which are tensors of `model` or parts of them
    /// ([`TensorView::narrow`]); each under its tensor's name.
    ///
    /// # Errors
    /// As [`convert`](Self::convert); `Caller` if two views have one name.
    ///
    /// # Example
    /// ```
    /// use weighbridge::convert::ConvertOptions;
    /// let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
    /// let path = std::env::temp_dir().join("weighbridge-doc-views.safetensors");
    /// // The first of two ranks takes the first half of the rows of every matrix.
    /// let matrices = model.tensors().filter(|tensor| tensor.shape().len() == 2);
    /// let parts = matrices.map(|tensor| tensor.narrow(0, ..tensor.shape()[0] / 2));
    /// let parts: Vec<_> = parts.collect::<Result<_, _>>()?;
    /// let options = ConvertOptions::new().overwrite(true);
    /// let converted = options.convert_views(&model, parts, &path, None)?;
    /// assert!(converted.tensors > 0);
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), weighbridge::Error>(())
    /// ```
    pub fn convert_views<'a>(
        &self,
        model: &'a Checkpoint,
        views: impl IntoIterator<Item = TensorView<'a>>,
        path: impl AsRef<Path>,
        progress: Option<Callback<'_>>,
    ) -> Result<Converted> {
        let path = path.as_ref();
        let views = room::list(views)?;
        if model.verdict() == Verdict::Dangerous && !self.allow_dangerous {
            let mut findings = model.findings();
            let worst =
                findings.find(|finding| finding.severity == Severity::Verdict(Verdict::Dangerous));
            let reason = worst.map_or("loading it would run code", |finding| &finding.message);
            return Err(Error::refused(reason).in_format(model.format()));
        }
        let extension = path.extension().unwrap_or_default();
        let misuse = |what| Err(Error::caller(Caller::Misuse(what)).in_file(path));
        if extension.eq_ignore_ascii_case("gguf") {
            if self.shard_bytes.is_some() {
                return misuse("only safetensors output is written in shards");
            }
            to_gguf::convert(self, model, views, path, progress)
        } else {
            if self.quantize.is_some() {
                return misuse("only GGUF output is quantized");
            }
            to_safetensors::convert(self, model, views, path, progress)
        }
    }
}

/// What a conversion did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Converted {
    /// The files written, the index of a sharded model last.
    pub files: Vec<PathBuf>,
    /// How many tensors they hold.
    pub tensors: usize,
    /// Bytes of those tensors.
    pub tensor_bytes: u64,
    /// Removed names of tied weights, each with the name that was kept.
    pub aliases: Vec<(String, String)>,
    /// Tensors that share some bytes with another one and were written in full all the same: slices,
    /// transposed views.
    pub separated: Vec<String>,
    /// Tensors without data and metadata keys that do not fit the output: long lists, texts that are not
    /// UTF-8.
    pub left_out: Vec<String>,
    /// Whether every tensor was compared with its source.
    pub verified: bool,
}
