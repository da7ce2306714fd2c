//! A bounded reader that knows where it is.

use std::marker::PhantomData;

use byteorder::{ByteOrder, LittleEndian};

use super::{to_u64, to_usize};
use crate::error::{Error, Malformed, Result};

/// Reads numbers and ranges from a slice, in byte order `B`, and remembers its file offset.
///
/// No method panics, and none reads past the slice: what is missing is a `Truncated` error at the
/// offset where the part starts.
///
/// # Example
/// ```
/// use weighbridge::bytes::Cursor;
/// let mut cursor: Cursor = Cursor::new(&[1, 0, 2, 3]);
/// assert_eq!(cursor.u16("count").unwrap(), 1);
/// assert_eq!(cursor.offset(), 2);
/// assert!(cursor.u32("sum").is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Cursor<'a, B = LittleEndian> {
    bytes: &'a [u8],
    at: usize,
    base: u64,
    order: PhantomData<B>,
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident -> $type:ty, $bytes:literal, $read:ident;)*) => {
        $($(#[$doc])*
        ///
        /// # Errors
        /// `Malformed` if the slice ends first; `what` names the number.
        pub fn $name(&mut self, what: &'static str) -> Result<$type> {
            Ok(B::$read(self.slice(what, $bytes)?))
        })*
    };
}

impl<'a, B: ByteOrder> Cursor<'a, B> {
    /// A cursor at the start of `bytes`, which is the start of the file.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self::at(bytes, 0)
    }

    /// A cursor at the start of `bytes`, which stands at file offset `base`.
    #[must_use]
    pub const fn at(bytes: &'a [u8], base: u64) -> Self {
        Self {
            bytes,
            at: 0,
            base,
            order: PhantomData,
        }
    }

    /// The file offset of the next byte.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.base.saturating_add(to_u64(self.at))
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        to_u64(self.bytes.len().saturating_sub(self.at))
    }

    /// Takes the next `length` bytes.
    ///
    /// # Errors
    /// `Malformed` if fewer are left; `what` names the part.
    pub fn take(&mut self, what: &'static str, length: u64) -> Result<&'a [u8]> {
        to_usize(length)
            .and_then(|length| self.advance(length))
            .ok_or_else(|| self.truncated(what, length))
    }

    /// Skips parts that stand behind their lengths, `most` bytes each at most: up to `count`, and up to the
    /// first that is longer or cut off. How many it skipped.
    pub(crate) fn skip_parts(&mut self, count: u64, short_lengths: bool, most: u64) -> u64 {
        let mut skipped: u64 = 0;
        while skipped < count {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let part = match short_lengths {
                false => rest
                    .split_first_chunk::<8>()
                    .map(|(length, rest)| (B::read_u64(length), rest)),
                true => rest
                    .split_first_chunk::<4>()
                    .map(|(length, rest)| (u64::from(B::read_u32(length)), rest)),
            };
            let Some((length, rest)) = part.filter(|&(length, _)| length <= most) else {
                break;
            };
            let Some(rest) = to_usize(length).and_then(|length| rest.get(length..)) else {
                break;
            };
            self.at = self.bytes.len().saturating_sub(rest.len());
            skipped = skipped.saturating_add(1);
        }
        skipped
    }

    /// Takes everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at = self.bytes.len();
        rest
    }

    numbers! {
        /// Reads an unsigned 16-bit number.
        u16 -> u16, 2, read_u16;
        /// Reads an unsigned 32-bit number.
        u32 -> u32, 4, read_u32;
        /// Reads an unsigned 64-bit number.
        u64 -> u64, 8, read_u64;
        /// Reads a signed 32-bit number.
        i32 -> i32, 4, read_i32;
        /// Reads a signed 64-bit number.
        i64 -> i64, 8, read_i64;
        /// Reads a 64-bit floating-point number.
        f64 -> f64, 8, read_f64;
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// `Malformed` if none is left; `what` names the byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8> {
        match self.advance(1) {
            Some(&[byte]) => Ok(byte),
            _ => Err(self.truncated(what, 1)),
        }
    }

    fn slice(&mut self, what: &'static str, length: usize) -> Result<&'a [u8]> {
        self.advance(length)
            .ok_or_else(|| self.truncated(what, to_u64(length)))
    }

    fn advance(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    #[cold]
    fn truncated(&self, what: &'static str, needed: u64) -> Error {
        Error::malformed(Malformed::Truncated {
            what,
            needed,
            available: self.remaining(),
        })
        .at(self.offset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use byteorder::BigEndian;

    #[test]
    fn both_byte_orders() {
        let bytes = [0, 1, 0, 0, 0, 0, 0, 2];
        assert_eq!(Cursor::<BigEndian>::new(&bytes).u16("x").unwrap(), 1);
        assert_eq!(Cursor::<LittleEndian>::new(&bytes).u16("x").unwrap(), 256);
    }

    #[test]
    fn parts_are_skipped_up_to_one_that_is_long_or_cut_off() {
        let bytes = [
            1, 0, 0, 0, 9, 0, 0, 0, 0, 3, 0, 0, 0, 9, 9, 9, 2, 0, 0, 0, 9,
        ];
        for (count, most, skipped, offset) in [
            (9, 9, 3, 16),
            (2, 9, 2, 9),
            (9, 2, 2, 9),
            (0, 9, 0, 0),
            (1, 1, 1, 5),
        ] {
            let mut cursor = Cursor::<LittleEndian>::new(&bytes);
            assert_eq!(cursor.skip_parts(count, true, most), skipped);
            assert_eq!(cursor.offset(), offset);
        }
        let long = [2, 0, 0, 0, 0, 0, 0, 0, 9, 9, 1];
        let mut cursor = Cursor::<LittleEndian>::new(&long);
        assert_eq!(cursor.skip_parts(2, false, 9), 1);
        assert_eq!(cursor.offset(), 10);
    }

    #[test]
    fn a_failed_read_stays_where_it_was_and_names_the_offset() {
        let mut cursor = Cursor::<LittleEndian>::at(&[1, 2, 3], 100);
        cursor.u8("a").unwrap();
        let error = cursor.u32("the count").unwrap_err();
        assert_eq!(error.offset(), Some(101));
        assert_eq!(cursor.offset(), 101);
        assert_eq!(
            error.to_string(),
            "at byte 0x65: the count: 4 bytes needed, 2 left"
        );
        assert!(cursor.take("all", u64::MAX).is_err());
        assert_eq!(cursor.rest(), &[2, 3]);
        assert_eq!(cursor.remaining(), 0);
    }
}
