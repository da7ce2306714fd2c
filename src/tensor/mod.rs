//! One view of one tensor, whatever file it came from.
//!
//! A [`TensorView`] borrows the file's bytes and copies nothing. It gives the bytes as they stand
//! ([`bytes`](TensorView::bytes)), as a typed slice where that is sound
//! ([`as_slice`](TensorView::as_slice)), or decoded into the caller's memory
//! ([`dequantize_into`](TensorView::dequantize_into), [`copy_into`](TensorView::copy_into)), and
//! parts of itself as further views ([`narrow`](TensorView::narrow)).

#![forbid(unsafe_code)]

#[cfg(feature = "bytes")]
mod as_bytes;
#[cfg(feature = "safetensors")]
mod as_safetensors;
mod assembled;
mod compare;
mod dequantize;
mod gather;
mod shared;
mod slice;
mod strided;
mod typed;
mod validate;

#[cfg(feature = "safetensors")]
pub use as_safetensors::SafetensorsView;
pub(crate) use assembled::{Piece, covers};
pub use compare::Difference;
use shared::Loaded;
pub(crate) use shared::Owner;
pub use shared::Tensor;
pub use typed::Element;
pub use validate::Validity;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::bytes::{Endian, Span, to_usize};
use crate::dtype::DType;
use crate::error::{Caller, Error, Result};
use crate::index::{Attributes, Entry};
use crate::progress::Job;
use crate::source::{Advice, Source, shrunk};

/// A tensor of a checkpoint, or a part of one, borrowed.
///
/// # Example
/// ```
/// # fn main() -> weighbridge::Result<()> {
/// let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
/// for tensor in model.tensors() {
///     println!("{} {} {:?}", tensor.name(), tensor.dtype(), tensor.shape());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TensorView<'a> {
    entry: Entry<'a>,
    source: &'a Source,
    /// Bytes that were read for this view: those of a span that holds the view's own.
    loaded: Option<&'a Arc<Loaded>>,
    place: Placed<'a>,
    /// Added to the entry's storage number: shards number theirs from 0.
    first_storage: u32,
    shape: Cow<'a, [usize]>,
    /// `None` where the elements lie side by side in row-major order.
    strides: Option<Cow<'a, [usize]>>,
    span: Span,
    /// For a tensor whose elements lie in several places.
    pieces: Option<Arc<[Piece<'a>]>>,
    /// Who watches the work on this view.
    job: Option<&'a Job<'a>>,
}

/// Which tensor of which checkpoint a view is of.
#[derive(Clone, Copy)]
pub(crate) struct Placed<'a> {
    pub(crate) owner: &'a dyn Owner,
    /// Which of the owner's files declares the tensor.
    pub(crate) file: usize,
    /// Whether the bytes lie in that file as they stand, not in an inflated member.
    pub(crate) in_file: bool,
}

/// Where a tensor's bytes lie, for readers that do their own input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Location {
    /// Which of the checkpoint's files.
    pub file: usize,
    /// Offset of the first element's first byte in that file.
    pub offset: u64,
    /// Bytes from the first element to the last.
    pub length: u64,
}

impl<'a> TensorView<'a> {
    /// The whole tensor of `entry`, whose bytes lie in `source`.
    pub(crate) fn new(
        entry: Entry<'a>,
        source: &'a Source,
        place: Placed<'a>,
        first_storage: u32,
    ) -> Self {
        Self {
            entry,
            source,
            loaded: None,
            place,
            first_storage,
            shape: Cow::Borrowed(entry.shape()),
            strides: entry.strides().map(Cow::Borrowed),
            span: entry.span(),
            pieces: None,
            job: None,
        }
    }

    /// The same view, whose work (copies, decoding, digests, validation) reports to `job` and can be
    /// stopped by it; so do its parts.
    #[must_use]
    pub fn watched<'j>(&self, job: &'j Job<'j>) -> TensorView<'j>
    where
        'a: 'j,
    {
        TensorView {
            job: Some(job),
            ..self.clone()
        }
    }

    /// The name; unique in its checkpoint. It comes from the file: it may be empty or hold any
    /// character, so never use it as a path, and escape it when printing.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.entry.name()
    }

    /// The element type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.entry.dtype()
    }

    /// The type's name, or the file's own code for a type that this library does not know.
    #[must_use]
    pub fn dtype_name(&self) -> &'a str {
        self.entry.dtype_name()
    }

    /// The dimensions, outermost first, for every format.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape
            .iter()
            .fold(1, |product: usize, &next| product.saturating_mul(next))
    }

    /// The bytes of all elements, side by side. For an opaque type, the bytes in the file.
    #[must_use]
    pub fn byte_length(&self) -> u64 {
        let elements = crate::bytes::to_u64(self.elements());
        match self.dtype() {
            DType::Opaque => self.span.length(),
            dtype => dtype.bytes_for(elements).unwrap_or_default(),
        }
    }

    /// The strides in elements, outermost first.
    #[must_use]
    pub fn strides(&self) -> Vec<usize> {
        if let Some(strides) = &self.strides {
            return strides.to_vec();
        }
        let mut strides = Vec::with_capacity(self.shape.len());
        crate::shape::contiguous_strides(&self.shape, &mut strides);
        strides
    }

    /// Whether the elements lie side by side in row-major order.
    #[must_use]
    pub const fn is_contiguous(&self) -> bool {
        self.strides.is_none()
    }

    /// The byte order of the elements in the file.
    #[must_use]
    pub const fn endian(&self) -> Endian {
        self.entry.endian()
    }

    /// What the writing framework knew of the tensor: device, class, `requires_grad`.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        self.entry.attributes()
    }

    /// Which storage the tensor is a view of. Tensors with the same number (tied weights, slices of
    /// one buffer) come from one storage.
    #[must_use]
    pub const fn storage(&self) -> u32 {
        self.first_storage.saturating_add(self.entry.storage())
    }

    /// Where the bytes lie in the checkpoint's files; `None` for an inflated member, and for a
    /// tensor without bytes.
    #[must_use]
    pub fn location(&self) -> Option<Location> {
        if self.entry.absent().is_some() || !self.place.in_file {
            return None;
        }
        Some(Location {
            file: self.place.file,
            offset: self.span.start(),
            length: self.span.length(),
        })
    }

    /// The largest power of two that divides the address of the first byte.
    #[must_use]
    pub fn alignment(&self) -> usize {
        let address = self.raw().map_or(0, |bytes| bytes.as_ptr().addr());
        1_usize
            .checked_shl(address.trailing_zeros())
            .unwrap_or(usize::MAX)
    }

    /// The file's own bytes: row-major, little-endian, blocks for block types.
    ///
    /// # Errors
    /// `Caller` if the elements are strided or big-endian (use [`copy_into`](Self::copy_into)), or
    /// if the tensor has no data.
    pub fn bytes(&self) -> Result<&'a [u8]> {
        if self.strides.is_some() {
            return Err(self.error(Caller::Strided));
        }
        if self.is_swapped() {
            return Err(self.error(Caller::ByteOrder));
        }
        self.expect_plain_signs()?;
        self.raw()
    }

    /// Fails with every detail if the shape is another than `expected`.
    ///
    /// # Errors
    /// `Caller`, naming the tensor and both shapes.
    pub fn expect_shape(&self, expected: &[usize]) -> Result<()> {
        if *self.shape == *expected {
            return Ok(());
        }
        Err(self.error(Caller::Shape {
            found: self.shape.to_vec(),
            expected: expected.to_vec(),
        }))
    }

    /// The bytes from the first element to the last, as they stand.
    fn raw(&self) -> Result<&'a [u8]> {
        if let Some(reason) = self.entry.absent() {
            let reason = reason.reason();
            return Err(self.error(Caller::NoData { reason }));
        }
        let bytes = match self.loaded {
            Some(loaded) => loaded.part(self.span),
            None if self.is_away() => {
                return Err(self.error(Caller::NotInMemory));
            }
            // What a source does not hold yet has a place all the same, if only of no bytes.
            None if self.span.length() == 0 => Some(&[][..]),
            None => self.span.slice(self.source.bytes()),
        };
        // `None` only if a source of the caller's gives other bytes than it did at `open`.
        bytes.ok_or_else(|| shrunk().for_tensor(self.name()))
    }

    /// Tells the system what is going to happen with the tensor's bytes. Only mapped files listen; nothing
    /// depends on it but speed and memory.
    ///
    /// # Errors
    /// `Io` if the system refuses.
    pub fn advise(&self, advice: Advice) -> Result<()> {
        self.for_each_span(|source, span| source.advise(advice, span))
    }

    /// Brings the tensor's bytes into memory, where a later access finds them: a mapped file that another
    /// process has truncated is an error here, not a signal there (on Linux 5.14 and later). What is
    /// truncated after this call still is a signal: see [`open`](crate::open).
    ///
    /// # Errors
    /// `Io` if the file has become shorter than the tensor needs; `Cancelled` if a [`Job`] that watches is
    /// stopped.
    pub fn prefetch(&self) -> Result<()> {
        let unwatched = Job::unwatched();
        let job = self.job.unwrap_or(&unwatched);
        self.for_each_span(|source, span| source.prefetch(span, job))
    }

    /// Calls `visit` with each part of a file that holds elements.
    fn for_each_span(&self, visit: impl Fn(&Source, Span) -> Result<()>) -> Result<()> {
        let one = |view: &TensorView<'_>| {
            if view.entry.absent().is_some() || view.loaded.is_some() || view.span.length() == 0 {
                return Ok(());
            }
            visit(view.source, view.span).map_err(|error| error.for_tensor(self.name()))
        };
        match &self.pieces {
            Some(pieces) => pieces.iter().try_for_each(|piece| one(&piece.view)),
            None => one(self),
        }
    }

    /// What tells whether two views are the same numbers, beside dtype, shape and strides: storage, bytes,
    /// sign changes. `None` for a tensor without bytes of its own.
    #[cfg(feature = "convert")]
    pub(crate) fn identity(&self) -> Option<(u32, Span, crate::index::Signs)> {
        let own = self.entry.absent().is_none() && self.pieces.is_none();
        own.then(|| (self.storage(), self.span, self.entry.signs()))
    }

    /// Elements between neighbours along each dimension; `None` where they lie side by side in row-major order.
    #[cfg(feature = "convert")]
    pub(crate) fn explicit_strides(&self) -> Option<&[usize]> {
        self.strides.as_deref()
    }

    /// Fails if the elements repeat (stride 0) and their copy would exceed the limit for that.
    pub(crate) fn expect_bounded(&self) -> Result<()> {
        let (length, allowed) = (self.byte_length(), self.entry.expanded_bytes());
        let held = match &self.pieces {
            None => self.span.length(),
            Some(pieces) => {
                let held = pieces.iter().map(|piece| piece.view.span.length());
                held.fold(0, u64::saturating_add)
            }
        };
        if length > held.max(allowed) {
            let error = Error::limit("expanded_bytes", length, allowed);
            return Err(error.for_tensor(self.name()));
        }
        Ok(())
    }

    /// Whether there are bytes, in one piece or several.
    pub(crate) fn has_data(&self) -> bool {
        self.entry.absent().is_none() || self.pieces.is_some()
    }

    fn expect_plain_signs(&self) -> Result<()> {
        if self.entry.signs().are_plain() {
            return Ok(());
        }
        Err(self.error(Caller::Signs))
    }

    /// Whether elements have to be swapped to become little-endian.
    fn is_swapped(&self) -> bool {
        self.endian() == Endian::Big && !self.dtype().swapped_fields().is_empty()
    }

    /// Bytes of `elements` elements, which fill whole blocks.
    fn bytes_of(&self, elements: usize) -> Option<usize> {
        let dtype = self.dtype();
        to_usize(dtype.bytes_for(crate::bytes::to_u64(elements))?)
    }

    #[cold]
    fn error(&self, caller: Caller) -> Error {
        Error::caller(caller).for_tensor(self.name())
    }
}

impl fmt::Debug for TensorView<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "TensorView({:?}, {}, {:?})",
            self.name(),
            self.dtype_name(),
            self.shape()
        )
    }
}
