//! Reading bytes without trusting them: [`Cursor`], [`Span`], byte order, checked sizes, `room` for what grows with a file.

#![forbid(unsafe_code)]

mod buffer;
mod cursor;
pub(crate) mod room;
mod span;
mod utf8;

pub use buffer::Buffer;
pub use cursor::Cursor;
pub use span::Span;

pub(crate) use utf8::is_utf8;

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first: everything but GGUF and PyTorch files of big-endian machines.
    #[default]
    Little,
    /// Most significant byte first.
    Big,
}

/// The next multiple of `alignment` at or above `offset`; `None` if it overflows or is undefined.
#[must_use]
pub fn align_up(offset: u64, alignment: u64) -> Option<u64> {
    let past = offset.checked_rem(alignment)?;
    if past == 0 {
        return Some(offset);
    }
    offset.checked_add(alignment.checked_sub(past)?)
}

/// The one conversion from a length of memory to a file offset. Never loses: no supported machine
/// has more than 64 bits.
#[must_use]
pub fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The one conversion from a file's number to a length of memory; `None` if it is no such length.
#[must_use]
pub fn to_usize(number: u64) -> Option<usize> {
    usize::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::align_up;

    #[test]
    fn align_up_is_exact_and_never_wraps() {
        assert_eq!(align_up(0, 32), Some(0));
        assert_eq!(align_up(1, 32), Some(32));
        assert_eq!(align_up(32, 32), Some(32));
        assert_eq!(align_up(u64::MAX, 32), None);
        assert_eq!(align_up(u64::MAX, 1), Some(u64::MAX));
        assert_eq!(align_up(7, 0), None);
    }
}
