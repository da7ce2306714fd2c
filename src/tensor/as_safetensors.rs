//! Tensors as the `View` of the safetensors crate (feature `safetensors`).

use std::borrow::Cow;

use safetensors::{Dtype, View};

use super::{Tensor, TensorView};
use crate::bytes::to_usize;
use crate::dtype::DType;
use crate::error::{Caller, Error, Result};

/// A tensor as `safetensors::serialize` and its like take it: nothing is copied.
///
/// # Example
/// ```
/// let model = weighbridge::open("tests/files/torch/network.pt")?;
/// let mut views = Vec::new();
/// for tensor in model.tensors() {
///     views.push((tensor.name().to_owned(), tensor.to_safetensors()?));
/// }
/// let file = safetensors::serialize(views, None).map_err(std::io::Error::other).unwrap();
/// # assert!(weighbridge::Checkpoint::from_bytes(file)?.len() > 0);
/// # Ok::<(), weighbridge::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SafetensorsView<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

impl View for SafetensorsView<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

impl<'a> TensorView<'a> {
    /// The tensor for the safetensors crate, its bytes borrowed.
    ///
    /// # Errors
    /// `Unsupported` for a type that safetensors does not have; `Caller` as [`bytes`](Self::bytes), for a
    /// strided tensor for example.
    pub fn to_safetensors(&self) -> Result<SafetensorsView<'a>> {
        let dtype = official(self.dtype()).ok_or_else(|| {
            Error::unsupported("in safetensors:", self.dtype_name()).for_tensor(self.name())
        })?;
        let bytes = self.bytes()?;
        if to_usize(self.byte_length()) != Some(bytes.len()) {
            return Err(self.error(Caller::Misuse(
                "the tensor has fewer bytes than its shape needs",
            )));
        }
        Ok(SafetensorsView {
            dtype,
            shape: self.shape().to_vec(),
            bytes,
        })
    }
}

impl Tensor {
    /// As [`TensorView::to_safetensors`].
    ///
    /// # Errors
    /// As [`TensorView::to_safetensors`].
    pub fn to_safetensors(&self) -> Result<SafetensorsView<'_>> {
        self.view().to_safetensors()
    }
}

/// The crate's name of a type: the same as ours, by the table in `dtype`.
fn official(dtype: DType) -> Option<Dtype> {
    DType::from_safetensors(dtype.name()).filter(|found| *found == dtype)?;
    serde_json::from_value(serde_json::Value::from(dtype.name())).ok()
}
