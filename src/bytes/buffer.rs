//! Owned bytes with the alignment of a mapping.

use crate::error::{Error, Result};

/// Owned bytes that start where a `u64` may stand (at a multiple of 8; of 4 on i686), so that typed slices of them
/// are aligned as often as those of a mapping.
#[derive(Debug, Default)]
pub struct Buffer {
    words: Vec<u64>,
    length: usize,
}

impl Buffer {
    /// `length` zero bytes.
    ///
    /// # Errors
    /// `Io` if the machine has no memory left.
    pub fn zeroed(length: usize) -> Result<Self> {
        let count = length.div_ceil(size_of::<u64>());
        let mut words = Vec::new();
        words
            .try_reserve_exact(count)
            .map_err(|_| Error::out_of_memory())?;
        words.resize(count, 0);
        Ok(Self { words, length })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let bytes: &[u8] = bytemuck::cast_slice(&self.words);
        bytes.get(..self.length).unwrap_or_default()
    }

    /// The bytes, to fill them.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.words);
        bytes.get_mut(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_bytes_have_their_length_and_alignment() {
        for length in [0, 1, 7, 8, 9, 1000] {
            let mut owned = Buffer::zeroed(length).unwrap();
            assert_eq!(owned.bytes().len(), length);
            assert_eq!(owned.bytes_mut().len(), length);
            assert_eq!(owned.bytes().as_ptr().addr() % align_of::<u64>(), 0);
        }
    }
}
