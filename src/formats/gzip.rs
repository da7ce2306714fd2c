//! gzip: members with a header, deflated bytes, and their checksum and size.
//!
//! ```text
//! | 1f 8b | 8 | flags u8 | time u32 | 2 bytes | length u16, extra | name 0 | comment 0 | header crc u16 |
//! | deflated bytes | crc u32 | size u32 |
//! ```
//!
//! Rules: RFC 1952, as flate2 reads it. Its own reader keeps the extra field, name and comment, in up to 64 KiB
//! each that twelve bytes ask for; here they are passed over where they stand.

use std::io::{Error, ErrorKind, Read, Result};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// Bytes of a name or comment.
const MOST_TEXT: usize = 65_535;

/// Inflates every member, one after the other.
pub(super) struct Decoder<'a> {
    inflater: DeflateDecoder<&'a [u8]>,
    crc: Crc,
    next: Next<'a>,
}

/// What the next read starts with.
enum Next<'a> {
    Header(&'a [u8]),
    Data,
    End,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            inflater: DeflateDecoder::new(&[]),
            crc: Crc::new(),
            next: Next::Header(bytes),
        }
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            match self.next {
                Next::End => return Ok(0),
                Next::Header(bytes) => {
                    self.inflater.reset(after_header(bytes)?);
                    self.crc.reset();
                    self.next = Next::Data;
                }
                Next::Data => {
                    let read = self.inflater.read(into)?;
                    if read > 0 {
                        self.crc.update(into.get(..read).unwrap_or_default());
                        return Ok(read);
                    }
                    let (sum, rest) = split(self.inflater.get_ref())?;
                    let (size, rest) = split(rest)?;
                    let read = [self.crc.sum(), self.crc.amount()].map(u32::to_le_bytes);
                    if [*sum, *size] != read {
                        return Err(mismatch());
                    }
                    self.next = match rest {
                        [] => Next::End,
                        rest => Next::Header(rest),
                    };
                }
            }
        }
    }
}

/// What follows the header of a member.
fn after_header(bytes: &[u8]) -> Result<&[u8]> {
    let (start, mut rest) = split::<10>(bytes)?;
    let flags = match start {
        &[0x1f, 0x8b, 8, flags, ..] if flags & RESERVED == 0 => flags,
        _ => return Err(invalid("invalid gzip header")),
    };
    if flags & EXTRA != 0 {
        let (length, extra) = split(rest)?;
        let length = u16::from_le_bytes(*length).into();
        rest = extra.get(length..).ok_or_else(cut)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            rest = after_text(rest)?;
        }
    }
    if flags & HEADER_CRC != 0 {
        let length = bytes.len().saturating_sub(rest.len());
        let mut crc = Crc::new();
        crc.update(bytes.get(..length).unwrap_or_default());
        let (stored, after) = split::<2>(rest)?;
        if !crc.sum().to_le_bytes().starts_with(stored) {
            return Err(mismatch());
        }
        rest = after;
    }
    Ok(rest)
}

/// What follows a text that a zero ends.
fn after_text(bytes: &[u8]) -> Result<&[u8]> {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    match (parts.next(), parts.next()) {
        (Some(text), _) if text.len() > MOST_TEXT => Err(invalid("gzip header field too long")),
        (_, Some(rest)) => Ok(rest),
        _ => Err(cut()),
    }
}

/// So many bytes, and what follows them.
fn split<const COUNT: usize>(bytes: &[u8]) -> Result<(&[u8; COUNT], &[u8])> {
    bytes.split_first_chunk().ok_or_else(cut)
}

#[cold]
fn cut() -> Error {
    ErrorKind::UnexpectedEof.into()
}

#[cold]
fn invalid(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, reason)
}

#[cold]
fn mismatch() -> Error {
    invalid("corrupt gzip stream does not have a matching checksum")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::bufread::MultiGzDecoder;
    use flate2::{Compression, GzBuilder};

    use super::*;

    fn inflated(mut decoder: impl Read) -> std::result::Result<Vec<u8>, String> {
        let mut inflated = Vec::new();
        match decoder.read_to_end(&mut inflated) {
            Ok(_) => Ok(inflated),
            Err(error) => Err(error.to_string()),
        }
    }

    fn agrees(bytes: &[u8]) -> bool {
        let ours = inflated(Decoder::new(bytes));
        assert_eq!(ours, inflated(MultiGzDecoder::new(bytes)), "{bytes:x?}");
        ours.is_ok()
    }

    fn member(flags: u8) -> Vec<u8> {
        let mut builder = GzBuilder::new();
        if flags & EXTRA != 0 {
            builder = builder.extra(&b"extra"[..]);
        }
        if flags & NAME != 0 {
            builder = builder.filename("name");
        }
        if flags & COMMENT != 0 {
            builder = builder.comment("comment");
        }
        let mut encoder = builder.write(Vec::new(), Compression::fast());
        encoder.write_all(b"some words, some words").unwrap();
        let mut bytes = encoder.finish().unwrap();
        if flags & HEADER_CRC != 0 {
            bytes[3] |= HEADER_CRC;
            let header = bytes.len() - after_header_without_sum(&bytes);
            let mut crc = Crc::new();
            crc.update(&bytes[..header]);
            let sum = crc.sum().to_le_bytes();
            bytes.splice(header..header, [sum[0], sum[1]]);
        }
        bytes
    }

    fn after_header_without_sum(bytes: &[u8]) -> usize {
        let mut bytes = bytes.to_vec();
        bytes[3] &= !HEADER_CRC;
        after_header(&bytes).unwrap().len()
    }

    /// Every set of header fields, every cut, every byte changed in several ways.
    #[test]
    #[cfg_attr(miri, ignore = "tens of thousands of streams")]
    fn agrees_with_flate2() {
        let mut read = 0;
        for flags in (0..1 << 5).step_by(2) {
            let whole = [member(flags), member(flags ^ NAME)].concat();
            assert!(agrees(&whole));
            for at in 0..whole.len() {
                agrees(&whole[..at]);
                for change in [1, 2, 4, 0x20, 0x80, 0xff] {
                    let mut changed = whole.clone();
                    changed[at] ^= change;
                    read += usize::from(agrees(&changed));
                }
            }
            for tail in [&[0][..], &[0; 512], b"tail", &[0x1f, 0x8b, 8, 0]] {
                assert!(!agrees(&[&whole, tail].concat()));
            }
        }
        assert!(read > 100, "{read}");
    }

    #[test]
    fn long_texts_end_where_those_of_flate2_do() {
        for length in [65_534, 65_535, 65_536, 70_000] {
            let mut bytes = member(NAME);
            bytes.splice(10..14, vec![b'n'; length]);
            assert_eq!(agrees(&bytes), length <= MOST_TEXT);
            assert!(!agrees(&bytes[..10 + length]));
        }
    }
}
