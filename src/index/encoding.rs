//! How the values of a file's metadata are laid out.

use byteorder::ByteOrder;

use crate::bytes::{Cursor, Endian, is_utf8, to_u64, to_usize};
use crate::error::Result;

/// Bytes of strings checked together: few enough to stay in the cache of a core, many enough to be fast.
const RUN: usize = 16 * 1024;

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

    /// Whether `count` strings are UTF-8, looked at in runs of about [`RUN`] bytes, lengths and all.
    ///
    /// A length whose bytes are all ASCII may stand in a run: a run is UTF-8 exactly if each of its strings is, because
    /// no character reaches over an ASCII byte. Any other length stands between two runs.
    pub(super) fn are_utf8(self, bytes: &[u8], count: u64) -> bool {
        const NOT_ASCII: u64 = u64::from_ne_bytes([0x80; 8]);
        let length_bytes = if self.short_lengths { 4 } else { 8 };
        let is_right = |from: usize, to: usize| bytes.get(from..to).is_some_and(is_utf8);
        let mut run = 0;
        let mut at: usize = 0;
        for _ in 0..count {
            // The bytes may have changed since they were checked; the walk then ends, as that of the strings does.
            let string = bytes.get(at..).and_then(|rest| self.split_string(rest));
            let Some((text, rest)) = string else {
                break;
            };
            let is_ascii = to_u64(text.len()) & NOT_ASCII == 0;
            if !is_ascii || at.saturating_sub(run) >= RUN {
                if !is_right(run, at) {
                    return false;
                }
                run = match is_ascii {
                    true => at,
                    false => at.saturating_add(length_bytes),
                };
            }
            at = bytes.len().saturating_sub(rest.len());
        }
        is_right(run, at)
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
