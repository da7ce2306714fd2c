//! Tensors that keep what they lie in alive.

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use super::{Location, Piece, TensorView};
use crate::bytes::{Span, to_usize};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::progress::Job;
use crate::quant::Output;
use crate::source::{Memory, Source};
use crate::tensor::Element;

/// What a view borrows from: a checkpoint.
pub(crate) trait Owner: Send + Sync {
    /// The same owner, to keep.
    fn shared(&self) -> Arc<dyn Owner>;

    /// The whole tensor that file `file` declares at `position`, not joined from pieces.
    fn whole(&self, file: usize, position: usize) -> TensorView<'_>;
}

/// A tensor, or a part of one, that keeps its file open: `'static`, `Send + Sync`, cheap to clone.
///
/// Made by [`TensorView::to_shared`], which copies nothing, and [`TensorView::load`], which reads the bytes
/// into memory of their own. Whatever a [`TensorView`] can do, [`view`](Self::view) does; the most common of
/// it stands here too.
///
/// # Example
/// ```
/// let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
/// let weight = model.tensor("embed.weight")?.to_shared();
/// drop(model);
/// let thread = std::thread::spawn(move || {
///     let half = weight.narrow(0, ..weight.shape()[0] / 2)?;
///     half.as_slice::<f32>().map(<[f32]>::len)
/// });
/// assert!(thread.join().unwrap()? > 0);
/// # Ok::<(), weighbridge::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    owner: Arc<dyn Owner>,
    part: Part,
    pieces: Option<Pieces>,
}

/// For a tensor joined from pieces, what [`Piece`] says of each.
type Pieces = Arc<[(Vec<usize>, Part)]>;

/// Bytes that were read from a source, and where they stand there.
pub(super) struct Loaded {
    memory: Memory,
    span: Span,
}

impl Loaded {
    /// Reads `span` of `source`.
    pub(super) fn read(source: &Source, span: Span, job: &Job<'_>) -> Result<Arc<Self>> {
        let length = to_usize(span.length()).ok_or_else(Error::out_of_memory)?;
        let mut memory = Memory::zeroed(length)?;
        source.read_into(span, memory.bytes_mut(), job)?;
        Ok(Arc::new(Self { memory, span }))
    }

    /// The bytes of `part`, which lies inside.
    pub(super) fn part(&self, part: Span) -> Option<&[u8]> {
        let bytes = self.memory.bytes();
        let offset = part.start().checked_sub(self.span.start())?;
        Span::all(bytes).part(offset, part.length())?.slice(bytes)
    }
}

/// A part of a tensor, without what it borrows.
#[derive(Clone)]
struct Part {
    file: usize,
    position: usize,
    /// Dimensions; then strides, if strided.
    numbers: Arc<[usize]>,
    rank: usize,
    strided: bool,
    span: Span,
    loaded: Option<Arc<Loaded>>,
}

impl Part {
    fn of(view: &TensorView<'_>) -> Self {
        let strides = view.strides.as_deref().unwrap_or_default();
        Self {
            file: view.place.file,
            position: view.entry.position(),
            numbers: view.shape.iter().chain(strides).copied().collect(),
            rank: view.shape.len(),
            strided: view.strides.is_some(),
            span: view.span,
            loaded: view.loaded.cloned(),
        }
    }

    fn view<'a>(&'a self, owner: &'a dyn Owner) -> TensorView<'a> {
        let (shape, strides) = self.numbers.split_at_checked(self.rank).unwrap_or_default();
        TensorView {
            shape: shape.into(),
            strides: self.strided.then_some(strides.into()),
            span: self.span,
            loaded: self.loaded.as_ref(),
            ..owner.whole(self.file, self.position)
        }
    }
}

impl TensorView<'_> {
    /// The same tensor, to keep: `'static`, cheap to clone, nothing copied. What watched the view does not
    /// watch the result.
    #[must_use]
    pub fn to_shared(&self) -> Tensor {
        Tensor {
            owner: self.place.owner.shared(),
            part: Part::of(self),
            pieces: self.pieces.as_deref().map(parts),
        }
    }

    /// Reads the tensor's bytes into memory of their own, which no later change of the file can touch:
    /// exactly the range from its first element to its last.
    ///
    /// Large tensors are read on several threads. Of a mapped file that another process has truncated the call
    /// is an error, not a signal, as with [`prefetch`](Self::prefetch).
    ///
    /// # Errors
    /// `Io` if the bytes cannot be read, the file has changed, or memory is exhausted; `Cancelled` if a
    /// [`Job`] that watches is stopped.
    pub fn load(&self) -> Result<Tensor> {
        let unwatched = Job::unwatched();
        let job = self.job.unwrap_or(&unwatched);
        let mut tensor = self.to_shared();
        let Some(pieces) = &self.pieces else {
            tensor.part.loaded = self.read(job)?;
            return Ok(tensor);
        };
        let mut loaded = Vec::new();
        for piece in pieces.iter() {
            let mut part = Part::of(&piece.view);
            part.loaded = piece.view.read(job)?;
            loaded.push((piece.offsets.clone(), part));
        }
        tensor.pieces = Some(loaded.into());
        Ok(tensor)
    }

    /// The bytes of the span, in memory of their own; `None` for a tensor without bytes.
    pub(super) fn read(&self, job: &Job<'_>) -> Result<Option<Arc<Loaded>>> {
        if self.entry.absent().is_some() {
            return Ok(None);
        }
        if let Some(loaded) = self.loaded {
            return Ok(Some(Arc::clone(loaded)));
        }
        let read = Loaded::read(self.source, self.span, job);
        read.map(Some)
            .map_err(|error| error.for_tensor(self.name()))
    }
}

impl Tensor {
    /// The tensor, borrowed.
    #[must_use]
    pub fn view(&self) -> TensorView<'_> {
        let view = self.part.view(&*self.owner);
        let Some(pieces) = &self.pieces else {
            return view;
        };
        let pieces = pieces.iter().map(|(offsets, part)| Piece {
            offsets: offsets.clone(),
            view: part.view(&*self.owner),
        });
        view.assembled(pieces.collect())
    }

    /// As [`TensorView::name`].
    #[must_use]
    pub fn name(&self) -> &str {
        self.owner
            .whole(self.part.file, self.part.position)
            .entry
            .name()
    }

    /// As [`TensorView::dtype`].
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.view().dtype()
    }

    /// As [`TensorView::shape`].
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.part.numbers.get(..self.part.rank).unwrap_or_default()
    }

    /// As [`TensorView::elements`].
    #[must_use]
    pub fn elements(&self) -> usize {
        self.view().elements()
    }

    /// As [`TensorView::byte_length`].
    #[must_use]
    pub fn byte_length(&self) -> u64 {
        self.view().byte_length()
    }

    /// As [`TensorView::location`].
    #[must_use]
    pub fn location(&self) -> Option<Location> {
        self.view().location()
    }

    /// As [`TensorView::bytes`].
    ///
    /// # Errors
    /// As [`TensorView::bytes`].
    pub fn bytes(&self) -> Result<&[u8]> {
        self.view().bytes()
    }

    /// As [`TensorView::as_slice`].
    ///
    /// # Errors
    /// As [`TensorView::as_slice`].
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        self.view().as_slice()
    }

    /// As [`TensorView::copy_into`].
    ///
    /// # Errors
    /// As [`TensorView::copy_into`].
    pub fn copy_into(&self, out: &mut [u8]) -> Result<()> {
        self.view().copy_into(out)
    }

    /// As [`TensorView::dequantize_into`].
    ///
    /// # Errors
    /// As [`TensorView::dequantize_into`].
    pub fn dequantize_into<T: Output>(&self, out: &mut [T]) -> Result<()> {
        self.view().dequantize_into(out)
    }

    /// As [`TensorView::narrow`]; the part keeps the same file open.
    ///
    /// # Errors
    /// As [`TensorView::narrow`].
    pub fn narrow(&self, axis: usize, range: impl RangeBounds<usize>) -> Result<Self> {
        let view = self.view();
        let narrowed = view.narrow(axis, range)?;
        Ok(self.part_of(&narrowed))
    }

    /// As [`TensorView::narrow_to_rank`]; the part keeps the same file open.
    ///
    /// # Errors
    /// As [`TensorView::narrow_to_rank`].
    pub fn narrow_to_rank(&self, axis: usize, rank: usize, world_size: usize) -> Result<Self> {
        let view = self.view();
        let narrowed = view.narrow_to_rank(axis, rank, world_size)?;
        Ok(self.part_of(&narrowed))
    }

    /// A view of this tensor, to keep with the same owner.
    fn part_of(&self, view: &TensorView<'_>) -> Self {
        Self {
            owner: Arc::clone(&self.owner),
            part: Part::of(view),
            pieces: view.pieces.as_deref().map(parts),
        }
    }
}

fn parts(pieces: &[Piece<'_>]) -> Pieces {
    let each = pieces.iter();
    each.map(|piece| (piece.offsets.clone(), Part::of(&piece.view)))
        .collect()
}

impl fmt::Debug for Tensor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Tensor({:?}, {}, {:?})",
            self.name(),
            self.view().dtype_name(),
            self.shape()
        )
    }
}
