//! Digests: of each tensor's elements, and of files, several at a time.
//!
//! The digest of a tensor is over its elements in row-major order, little-endian, blocks for block types: it
//! depends neither on the container nor on strides or byte order, so that a converted model can be
//! compared with its source. A file's digest is over its bytes, as `sha256sum` and `b3sum` print it.
//!
//! SHA-256 takes one stream on one core (with the processor's own instructions some 2 GB/s), so that a
//! single tensor or file takes as long as that; BLAKE3 (feature `blake3`) is a tree, which several cores
//! share.

#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::fmt;

use sha2::Digest as _;

use crate::bytes::to_u64;
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::progress::{Callback, Job};
use crate::tensor::TensorView;

/// A hash function of 256 bits.
///
/// # Example
/// ```
/// use weighbridge::digest::Algorithm;
/// let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
/// let tensors: Vec<_> = model.tensors().collect();
/// let digests = Algorithm::Sha256.of_tensors(&tensors, None);
/// for (tensor, digest) in tensors.iter().zip(digests) {
///     println!("{}  {}", digest?, tensor.name());
/// }
/// # Ok::<(), weighbridge::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// BLAKE3, its default hash without a key.
    #[cfg(feature = "blake3")]
    Blake3,
}

impl Algorithm {
    /// The digest of bytes in memory.
    #[must_use]
    pub fn of_bytes(self, bytes: &[u8]) -> Digest {
        let mut hash = Hash::new(self);
        hash.update(bytes);
        hash.finish()
    }

    /// The digest of a tensor's elements.
    ///
    /// # Errors
    /// As [`TensorView::for_each_chunk`]: `Caller` for a tensor without data, `Cancelled` if a job that watches
    /// the view is stopped.
    pub fn of_tensor(self, tensor: &TensorView<'_>) -> Result<Digest> {
        let mut hash = Hash::new(self);
        tensor.for_each_chunk(|chunk| {
            hash.update(chunk);
            Ok(())
        })?;
        Ok(hash.finish())
    }

    /// The digest of each tensor's elements, in the order of `tensors`; several tensors at a time, the largest
    /// first. `progress` counts the bytes of all, and may stop the job.
    ///
    /// # Errors
    /// In the place of each tensor, as [`of_tensor`](Self::of_tensor); `Cancelled` for all that were not
    /// finished when the job was stopped.
    pub fn of_tensors(
        self,
        tensors: &[TensorView<'_>],
        progress: Option<Callback<'_>>,
    ) -> Vec<Result<Digest>> {
        let lengths: Vec<u64> = tensors.iter().map(TensorView::byte_length).collect();
        let job = Job::optional("digesting tensors", lengths.iter().sum(), progress);
        each(tensors.iter().zip(lengths).collect(), |tensor| {
            self.of_tensor(&tensor.watched(&job))
        })
    }

    /// The digest of each file of a checkpoint, in the order of [`Checkpoint::files`]; several files at a time,
    /// the largest first. `progress` counts the bytes of all, and may stop the job.
    ///
    /// # Errors
    /// In the place of each file: `Io` if it is not in memory and cannot be read, `Cancelled` if it was not
    /// finished when the job was stopped.
    pub fn of_files(
        self,
        model: &Checkpoint,
        progress: Option<Callback<'_>>,
    ) -> Vec<Result<Digest>> {
        let lengths: Vec<u64> = model.files().iter().map(|file| file.bytes).collect();
        let job = Job::optional("digesting files", lengths.iter().sum(), progress);
        each((0..lengths.len()).zip(lengths).collect(), |file| {
            job.advance(0)?;
            self.of_file(model, file, |bytes| job.advance(bytes))
        })
    }

    /// The digest of one file; `advance` hears of each piece.
    pub(crate) fn of_file(
        self,
        model: &Checkpoint,
        file: usize,
        advance: impl Fn(u64) -> Result<()>,
    ) -> Result<Digest> {
        let mut hash = Hash::new(self);
        model.for_each_file_piece(file, |piece| {
            hash.update(piece);
            advance(to_u64(piece.len()))
        })?;
        Ok(hash.finish())
    }
}

/// Does the work of each item, which is given with its length; the results in the order of the items.
///
/// The largest first, each thread taking the next one when it is done: a large one that came last would be
/// waited for alone.
fn each<I: Copy + Send + Sync>(
    items: Vec<(I, u64)>,
    work: impl Fn(I) -> Result<Digest> + Sync,
) -> Vec<Result<Digest>> {
    let mut order: Vec<(usize, (I, u64))> = items.into_iter().enumerate().collect();
    order.sort_by_key(|&(_, (_, length))| Reverse(length));
    let mut done = all(&order, |&(at, (item, _))| (at, work(item)));
    done.sort_by_key(|&(at, _)| at);
    done.into_iter().map(|(_, digest)| digest).collect()
}

#[cfg(feature = "rayon")]
fn all<I: Sync, O: Send>(items: &[I], work: impl Fn(&I) -> O + Sync) -> Vec<O> {
    use rayon::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let next = AtomicUsize::new(0);
    let take = || items.get(next.fetch_add(1, Ordering::Relaxed)).map(&work);
    let threads = rayon::current_num_threads().min(items.len());
    (0..threads)
        .into_par_iter()
        .with_max_len(1)
        .flat_map_iter(|_| std::iter::from_fn(take))
        .collect()
}

#[cfg(not(feature = "rayon"))]
fn all<I, O>(items: &[I], work: impl Fn(&I) -> O) -> Vec<O> {
    items.iter().map(work).collect()
}

/// A digest of 256 bits; shown as 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({self})")
    }
}

/// A digest that is being computed.
enum Hash {
    Sha256(sha2::Sha256),
    /// Boxed: its state is a stack of the tree's nodes, 2 kB.
    #[cfg(feature = "blake3")]
    Blake3(Box<blake3::Hasher>),
}

impl Hash {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            #[cfg(feature = "blake3")]
            Algorithm::Blake3 => Self::Blake3(Box::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            // One large tensor or file is shared by the cores too; below this length the crate advises
            // against it.
            #[cfg(all(feature = "blake3", feature = "rayon"))]
            Self::Blake3(hash) if bytes.len() >= 128 * 1024 => {
                hash.update_rayon(bytes);
            }
            #[cfg(feature = "blake3")]
            Self::Blake3(hash) => {
                hash.update(bytes);
            }
        }
    }

    fn finish(self) -> Digest {
        match self {
            Self::Sha256(hash) => Digest(hash.finalize().into()),
            #[cfg(feature = "blake3")]
            Self::Blake3(hash) => Digest(*hash.finalize().as_bytes()),
        }
    }
}
