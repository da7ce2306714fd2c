//! How the values of a file's metadata are laid out.

use byteorder::ByteOrder;

use crate::bytes::{Cursor, Endian, to_usize};
use crate::error::Result;

/// How values are laid out in their file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) endian: Endian,
    /// GGUF version 1 writes lengths in 4 bytes, every later version in 8.
    pub(crate) short_lengths: bool,
}

impl Encoding {
    /// The string at the start of `bytes`, and what follows it.
    #[inline]
    pub(super) fn split_string(self, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (length, rest) = if self.short_lengths {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let length = match self.endian {
                Endian::Little => u32::from_le_bytes(*length),
                Endian::Big => u32::from_be_bytes(*length),
            };
            (u64::from(length), rest)
        } else {
            let (length, rest) = bytes.split_first_chunk::<8>()?;
            let length = match self.endian {
                Endian::Little => u64::from_le_bytes(*length),
                Endian::Big => u64::from_be_bytes(*length),
            };
            (length, rest)
        };
        rest.split_at_checked(to_usize(length)?)
    }

    /// Reads a string or array length.
    pub(crate) fn length(self, cursor: &mut Cursor<'_, impl ByteOrder>) -> Result<u64> {
        if self.short_lengths {
            Ok(u64::from(cursor.u32("a length")?))
        } else {
            cursor.u64("a length")
        }
    }
}
