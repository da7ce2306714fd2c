//! Tensors as `bytes::Bytes` (feature `bytes`).

use bytes::Bytes;

use super::Tensor;
use crate::error::{Error, Result};

/// Owns what the bytes lie in.
struct Kept(Tensor);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        // Asked for once, right after they were had.
        self.0.bytes().unwrap_or_default()
    }
}

/// The file's own bytes, shared: nothing is copied, and the file stays open as long as they are used.
///
/// # Errors
/// As [`Tensor::bytes`](crate::Tensor::bytes): for a strided tensor and one that is not in memory, for
/// example.
///
/// # Example
/// ```
/// let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
/// let weight = model.tensor("embed.weight")?;
/// let shared = bytes::Bytes::try_from(weight.to_shared())?;
/// assert_eq!(shared.as_ptr(), weight.bytes()?.as_ptr());
/// # Ok::<(), weighbridge::Error>(())
/// ```
impl TryFrom<Tensor> for Bytes {
    type Error = Error;

    fn try_from(tensor: Tensor) -> Result<Self> {
        tensor.bytes()?;
        Ok(Self::from_owner(Kept(tensor)))
    }
}
