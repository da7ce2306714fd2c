//! A byte range proved to lie inside its source.

use super::{to_u64, to_usize};
use crate::error::{Error, Malformed, Result};

/// A byte range of a source, checked against the source's length when it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    start: u64,
    length: u64,
}

impl Span {
    /// No bytes.
    pub(crate) const EMPTY: Self = Self {
        start: 0,
        length: 0,
    };

    /// The range of `length` bytes from `start`, inside a source of `source_bytes` bytes.
    ///
    /// # Errors
    /// `Malformed` if the range reaches past the source; `what` names the part.
    pub fn new(what: &'static str, start: u64, length: u64, source_bytes: u64) -> Result<Self> {
        let inside = start
            .checked_add(length)
            .is_some_and(|end| end <= source_bytes);
        if !inside {
            let truncated = Malformed::Truncated {
                what,
                needed: length,
                available: source_bytes.saturating_sub(start),
            };
            return Err(Error::malformed(truncated).at(start));
        }
        Ok(Self { start, length })
    }

    /// Offset of the first byte.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Number of bytes.
    #[must_use]
    pub const fn length(self) -> u64 {
        self.length
    }

    /// Offset after the last byte.
    #[must_use]
    pub const fn end(self) -> u64 {
        // Proved by `new` not to overflow.
        self.start.saturating_add(self.length)
    }

    /// The part of this span that starts `offset` bytes in and holds `length` bytes.
    #[must_use]
    pub fn part(self, offset: u64, length: u64) -> Option<Self> {
        let end = offset.checked_add(length)?;
        let start = self.start.checked_add(offset)?;
        (end <= self.length).then_some(Self { start, length })
    }

    /// The span's bytes in `source`; `None` if the source is shorter than it was.
    ///
    /// A source cannot shrink while it is mapped or owned, but one of the caller's might answer
    /// with other bytes the second time: the range is checked again, at the price of two compares.
    #[must_use]
    pub fn slice(self, source: &[u8]) -> Option<&[u8]> {
        let start = to_usize(self.start)?;
        let end = to_usize(self.end())?;
        source.get(start..end)
    }

    /// The span of a whole source.
    #[must_use]
    pub fn all(source: &[u8]) -> Self {
        Self {
            start: 0,
            length: to_u64(source.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_lies_inside_its_source() {
        assert!(Span::new("x", 0, 10, 10).is_ok());
        assert!(Span::new("x", 10, 0, 10).is_ok());
        assert!(Span::new("x", 1, 10, 10).is_err());
        assert!(Span::new("x", 11, 0, 10).is_err());
        assert!(Span::new("x", u64::MAX, 2, 10).is_err());
    }

    #[test]
    fn parts_stay_inside() {
        let span = Span::new("x", 4, 6, 10).unwrap();
        assert_eq!(span.part(2, 4).map(Span::end), Some(10));
        assert_eq!(span.part(2, 5), None);
        assert_eq!(span.part(u64::MAX, 1), None);
        assert_eq!(span.slice(&[0; 10]).map(<[u8]>::len), Some(6));
        assert_eq!(span.slice(&[0; 9]), None);
    }
}
