//! One tensor on its way from a checkpoint into a file.

use std::borrow::Cow;

use crate::bytes::{room, to_u64, to_usize};
use crate::dtype::DType;
use crate::error::{Context, Error, Result};
use crate::quant::{self, quantize};
use crate::tensor::TensorView;

/// Values decoded at a time: a multiple of every block, and 512 KiB as f32.
const CHUNK_ELEMENTS: usize = 128 * 1024;

/// Bytes of a plain copy between two reports.
const COPY_BYTES: usize = 4 << 20;

/// A tensor smaller than this is written together with its neighbours.
const SMALL_BYTES: u64 = 64 << 10;

/// One tensor of the output.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) view: TensorView<'a>,
    /// How the source's bytes are read; only for packed types another dtype than the view's.
    pub(super) read_as: DType,
    /// In the output.
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: u64,
    /// What the values are multiplied by: one number, or one for each outermost index. Only NVFP4.
    pub(super) scales: Vec<f32>,
}

impl<'a> Item<'a> {
    /// A tensor written as `dtype`; its bytes as they are if that is its own.
    ///
    /// # Errors
    /// `Unsupported` if that would need more than 2^64 bytes; `Io` if there is no memory for the shape.
    pub(super) fn new(view: TensorView<'a>, dtype: DType) -> Result<Self> {
        let shape = room::list(view.shape().iter().copied())?;
        let name = Cow::Borrowed(view.name());
        let read_as = view.dtype();
        Self {
            name,
            view,
            read_as,
            dtype,
            shape,
            bytes: 0,
            scales: Vec::new(),
        }
        .measured()
    }

    /// The same, with its size in the output.
    pub(super) fn measured(mut self) -> Result<Self> {
        let elements = self
            .shape
            .iter()
            .try_fold(1_u64, |product, &next| product.checked_mul(to_u64(next)));
        let bytes = elements.and_then(|elements| self.dtype.bytes_for(elements));
        self.bytes = bytes.ok_or_else(|| {
            let what = format!("{:?} elements of {}", self.shape, self.dtype);
            Error::unsupported("writing", what).for_tensor(&self.name)
        })?;
        Ok(self)
    }

    /// Torch's name of the source's dtype, if safetensors knows only its bits.
    pub(super) fn companion_of(&self) -> Option<&'static str> {
        let renamed = *self.name != *self.view.name();
        self.view.dtype().torch_name().filter(|_| renamed)
    }

    fn is_recoded(&self) -> bool {
        self.read_as != self.dtype && quant::decoder(self.read_as).is_some()
    }

    /// The jobs that write this tensor: pieces of the source's bytes, or the whole tensor if they do not
    /// lie side by side.
    pub(super) fn parts(&self) -> Parts {
        let whole = self.view.bytes().ok().map(<[u8]>::len);
        let step = if self.is_recoded() {
            let blocks = CHUNK_ELEMENTS.checked_div(self.read_as.block_elements());
            blocks
                .unwrap_or(1)
                .saturating_mul(self.read_as.block_bytes())
        } else {
            COPY_BYTES
        };
        Parts {
            at: 0,
            end: whole,
            step: step.max(1),
        }
    }

    /// Whether it is written together with its neighbours.
    pub(super) const fn is_small(&self) -> bool {
        self.bytes <= SMALL_BYTES
    }

    /// Calls `visit` with the bytes that belong into the output for `part`, in order.
    pub(super) fn produce(
        &self,
        part: &Part,
        values: &mut Vec<f32>,
        encoded: &mut Vec<u8>,
        mut visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut first = match part {
            Part::Bytes { start, .. } => self.elements_in(*start),
            Part::Whole => 0,
        };
        let mut each = |chunk: &[u8]| match self.is_recoded() {
            false => visit(chunk),
            true => {
                let step = self.parts().step;
                for chunk in chunk.chunks(step) {
                    first = self.recode(chunk, first, values, encoded)?;
                    visit(encoded)?;
                }
                Ok(())
            }
        };
        match part {
            Part::Whole => self.view.for_each_chunk(each),
            Part::Bytes { start, end } => {
                let bytes = self.view.bytes()?;
                let bytes = bytes.get(*start..*end).unwrap_or_default();
                each(bytes)
            }
        }
        .for_tensor(&self.name)
    }

    /// Where in the output's bytes of this tensor those of `part` start.
    pub(super) fn place_of(&self, part: &Part) -> u64 {
        match part {
            Part::Bytes { start, .. } if self.is_recoded() => {
                let elements = to_u64(self.elements_in(*start));
                self.dtype.bytes_for(elements).unwrap_or_default()
            }
            Part::Bytes { start, .. } => to_u64(*start),
            Part::Whole => 0,
        }
    }

    fn elements_in(&self, bytes: usize) -> usize {
        quant::decoder(self.read_as).map_or(0, |decoder| decoder.elements_in(bytes))
    }

    /// Decodes whole blocks and encodes them into `encoded`. `first` is the number of the first value.
    fn recode(
        &self,
        blocks: &[u8],
        first: usize,
        values: &mut Vec<f32>,
        encoded: &mut Vec<u8>,
    ) -> Result<usize> {
        let decoder = quant::decoder(self.read_as)
            .ok_or_else(|| Error::unsupported("dequantization of", self.read_as))?;
        let count = decoder.elements_in(blocks.len());
        room::resize(values, count, 0.0)?;
        decoder.decode_into(blocks, values)?;
        if !self.scales.is_empty() {
            self.scale(first, values);
        }
        let length = self.dtype.bytes_for(to_u64(count)).and_then(to_usize);
        room::resize(encoded, length.unwrap_or_default(), 0)?;
        quantize(self.dtype, values, encoded)?;
        Ok(first.saturating_add(count))
    }

    fn scale(&self, first: usize, values: &mut [f32]) {
        // Each scale covers as many values as its part of the tensor has.
        let each = self.view.elements().checked_div(self.scales.len());
        let each = each.unwrap_or_default().max(1);
        for (place, value) in values.iter_mut().enumerate() {
            let place = first.saturating_add(place).checked_div(each);
            let scale = place.and_then(|place| self.scales.get(place));
            *value *= scale.copied().unwrap_or(1.0);
        }
    }
}

/// A piece of a tensor.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// All of it, in one go.
    Whole,
    /// Bytes of the source.
    Bytes { start: usize, end: usize },
}

/// The pieces of a tensor.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    at: usize,
    /// `None` for a tensor that is walked in one go.
    end: Option<usize>,
    step: usize,
}

impl Iterator for Parts {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        if self.at == usize::MAX {
            return None;
        }
        let Some(end) = self.end else {
            self.at = usize::MAX;
            return Some(Part::Whole);
        };
        let start = self.at;
        if start >= end {
            return None;
        }
        self.at = start.saturating_add(self.step).min(end);
        Some(Part::Bytes {
            start,
            end: self.at,
        })
    }
}
