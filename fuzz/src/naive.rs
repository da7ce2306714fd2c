//! Views the naive way: a list of elements, each copied for itself.

use weighbridge::DType;

/// A tensor, or a part of one, as the place of each of its blocks in a storage.
#[derive(Clone, Debug)]
pub struct Naive<'a> {
    /// In elements, outermost first.
    pub shape: Vec<usize>,
    /// The index of each element in the storage, row-major.
    pub elements: Vec<usize>,
    pub storage: &'a [u8],
    pub dtype: DType,
    pub big_endian: bool,
}

impl<'a> Naive<'a> {
    /// The elements of `storage` that shape and strides show.
    #[must_use]
    pub fn new(
        storage: &'a [u8],
        dtype: DType,
        offset: usize,
        shape: &[usize],
        strides: &[usize],
    ) -> Self {
        let mut elements = vec![offset];
        for (&length, &stride) in shape.iter().zip(strides) {
            elements = elements
                .iter()
                .flat_map(|&start| (0..length).map(move |index| start + index * stride))
                .collect();
        }
        Self {
            shape: shape.to_vec(),
            elements,
            storage,
            dtype,
            big_endian: false,
        }
    }

    /// The elements whose index on `axis` lies in the range.
    #[must_use]
    pub fn narrow(&self, axis: usize, start: usize, end: usize) -> Self {
        let inner: usize = self.shape[axis + 1..].iter().product();
        let length = self.shape[axis];
        let mut shape = self.shape.clone();
        shape[axis] = end - start;
        let kept = self.elements.iter().enumerate().filter(|(place, _)| {
            let index = place / inner.max(1) % length.max(1);
            (start..end).contains(&index)
        });
        Self {
            shape,
            elements: kept.map(|(_, &element)| element).collect(),
            ..self.clone()
        }
    }

    /// The bytes of the elements, little-endian; `None` if a block is cut or its elements lie apart.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let (elements, bytes) = (self.dtype.block_elements(), self.dtype.block_bytes());
        let mut out = Vec::new();
        for block in self.elements.chunks(elements) {
            let whole = block.len() == elements && block[0].is_multiple_of(elements);
            let beside = block
                .iter()
                .enumerate()
                .all(|(at, &place)| place == block[0] + at);
            if !whole || !beside {
                return None;
            }
            let start = block[0] / elements * bytes;
            let from = out.len();
            out.extend_from_slice(&self.storage[start..start + bytes]);
            if self.big_endian {
                self.swap(&mut out[from..]);
            }
        }
        Some(out)
    }

    fn swap(&self, block: &mut [u8]) {
        for fields in self.dtype.swapped_fields() {
            for field in 0..fields.count {
                let start = fields.offset + field * fields.bytes;
                block[start..start + fields.bytes].reverse();
            }
        }
    }
}
