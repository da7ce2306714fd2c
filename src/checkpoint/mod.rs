//! One or more files, opened as one.

#![forbid(unsafe_code)]

mod open;

pub use open::{OpenOptions, open};

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bytes::to_u64;
use crate::error::{Caller, Error, Format, Result};
use crate::findings::{Finding, Findings, Verdict};
use crate::index::{Entry, Index, MetadataView};
use crate::source::Source;
use crate::tensor::TensorView;

/// An opened checkpoint. Cheap to clone; clones share the files.
///
/// # Example
/// ```
/// # fn main() -> weighbridge::Result<()> {
/// let model = weighbridge::open("tests/files/gguf/network.gguf")?;
/// println!("{} with {} tensors", model.format(), model.len());
/// for tensor in model.tensors() {
///     println!("{} {} {:?}", tensor.name(), tensor.dtype(), tensor.shape());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Checkpoint(Arc<Inner>);

struct Inner {
    format: Format,
    files: Vec<FileInfo>,
    /// The files' bytes in the order of `files`, then inflated members.
    sources: Vec<Source>,
    index: Index,
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// The path as it was opened; empty for bytes in memory.
    pub path: PathBuf,
    /// The length in bytes when it was opened.
    pub bytes: u64,
}

impl Checkpoint {
    /// Reads a checkpoint from bytes in memory: a `Vec<u8>`, `&'static [u8]`, `Arc<[u8]>`, …
    ///
    /// # Errors
    /// As [`open`], but for those of opening a file.
    ///
    /// # Example
    /// ```
    /// let bytes = std::fs::read("tests/files/safetensors/network.safetensors").unwrap();
    /// let model = weighbridge::Checkpoint::from_bytes(bytes)?;
    /// assert!(model.len() > 0);
    /// # Ok::<(), weighbridge::Error>(())
    /// ```
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self> {
        OpenOptions::new().from_bytes(bytes)
    }

    /// The format of the files.
    #[must_use]
    pub fn format(&self) -> Format {
        self.0.format
    }

    /// The files, in the order that [`Location::file`](crate::tensor::Location::file) counts.
    #[must_use]
    pub fn files(&self) -> &[FileInfo] {
        &self.0.files
    }

    /// How many tensors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.index.len()
    }

    /// Whether there is no tensor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.index.is_empty()
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// `Caller` if there is none.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        let entry = self.0.index.find(name).ok_or_else(|| {
            Error::caller(Caller::NoSuchTensor {
                name: crate::error::shortened(name),
            })
        })?;
        Ok(self.view(entry))
    }

    /// Whether there is a tensor of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.index.find(name).is_some()
    }

    /// Every tensor, in the order in which the files declare them.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.0.index.iter().map(|entry| self.view(entry))
    }

    /// Every tensor, in the order of their bytes: for reading a whole file from start to end.
    #[must_use]
    pub fn tensors_by_offset(&self) -> Vec<TensorView<'_>> {
        let mut entries: Vec<Entry<'_>> = self.0.index.iter().collect();
        entries.sort_by_key(|entry| (entry.source(), entry.span().start(), entry.span().end()));
        entries.into_iter().map(|entry| self.view(entry)).collect()
    }

    /// Keys and values of the files' own metadata.
    #[must_use]
    pub fn metadata(&self) -> MetadataView<'_> {
        let file = self.0.sources.first().map(Source::bytes);
        self.0.index.metadata().view(file.unwrap_or_default())
    }

    /// What a user should know before trusting the files.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        self.all_findings().as_slice()
    }

    /// The findings with their count of dropped ones.
    #[must_use]
    pub fn all_findings(&self) -> &Findings {
        self.0.index.findings()
    }

    /// The worst of the findings. [`Verdict::Safe`] says that everything was read and nothing in
    /// it could run code; it says nothing about the values of the tensors.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.all_findings().verdict()
    }

    fn view<'a>(&'a self, entry: Entry<'a>) -> TensorView<'a> {
        let source = usize::try_from(entry.source()).unwrap_or(usize::MAX);
        let bytes = self.0.sources.get(source).map(Source::bytes);
        let file = (source < self.0.files.len()).then_some(source);
        TensorView::new(entry, bytes.unwrap_or_default(), file)
    }

    fn new(
        format: Format,
        path: &Path,
        file: Source,
        index: Index,
        inflated: Vec<crate::bytes::Buffer>,
    ) -> Self {
        let info = FileInfo {
            path: path.to_path_buf(),
            bytes: to_u64(file.bytes().len()),
        };
        let inflated = inflated.into_iter().map(Source::owned);
        Self(Arc::new(Inner {
            format,
            files: vec![info],
            sources: std::iter::once(file).chain(inflated).collect(),
            index,
        }))
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Checkpoint({}, {} tensors)",
            self.format(),
            self.len()
        )
    }
}
