//! Reads an opcode's argument, without copying and without trusting a length.

use super::Machine;
use crate::bytes::{to_u64, to_usize};
use crate::error::{Error, Malformed, Result};
use crate::formats::pickle::opcode::Argument;
use crate::formats::pickle::tree::LONGEST_NAME;

/// An argument, as ranges of the input.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fetched {
    None,
    Unsigned(u64),
    Signed(i32),
    Float(f64),
    /// Start and length.
    Bytes(usize, u32),
    /// The second of two lines, after the first.
    Lines((usize, u32), (usize, u32)),
}

impl Machine<'_, '_> {
    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8> {
        match self.take(what, 1)? {
            &[byte] => Ok(byte),
            _ => Err(self.truncated(what, 1)),
        }
    }

    pub(super) fn argument(&mut self) -> Result<Fetched> {
        const WHAT: &str = "an argument";
        Ok(match self.opcode.argument() {
            Argument::None => Fetched::None,
            Argument::U8 => Fetched::Unsigned(self.array::<1>()?[0].into()),
            Argument::U16 => Fetched::Unsigned(u16::from_le_bytes(self.array()?).into()),
            Argument::I32 => Fetched::Signed(i32::from_le_bytes(self.array()?)),
            Argument::U32 => Fetched::Unsigned(u32::from_le_bytes(self.array()?).into()),
            Argument::U64 => Fetched::Unsigned(u64::from_le_bytes(self.array()?)),
            Argument::F64 => Fetched::Float(f64::from_be_bytes(self.array()?)),
            Argument::Line => self.line(usize::MAX)?,
            Argument::TwoLines => {
                let first = self.line(LONGEST_NAME)?;
                let second = self.line(LONGEST_NAME)?;
                match (first, second) {
                    (Fetched::Bytes(a, b), Fetched::Bytes(c, d)) => Fetched::Lines((a, b), (c, d)),
                    _ => Fetched::None,
                }
            }
            Argument::Bytes8 => {
                let length = self.array::<1>()?[0].into();
                self.bytes(WHAT, length)?
            }
            Argument::Bytes32 => {
                let length = u32::from_le_bytes(self.array()?).into();
                self.bytes(WHAT, length)?
            }
            Argument::Bytes64 => {
                let length = u64::from_le_bytes(self.array()?);
                self.bytes(WHAT, length)?
            }
            Argument::BytesI32 => {
                let length = i32::from_le_bytes(self.array()?);
                let length = u64::try_from(length).map_err(|_| {
                    Error::malformed(Malformed::OutOfRange {
                        what: "a length",
                        value: length.into(),
                        expected: "0 or more",
                    })
                })?;
                self.bytes(WHAT, length)?
            }
        })
    }

    fn bytes(&mut self, what: &'static str, length: u64) -> Result<Fetched> {
        let start = self.at;
        self.take(what, length)?;
        let length =
            u32::try_from(length).map_err(|_| Error::unsupported("a string of", length))?;
        Ok(Fetched::Bytes(start, length))
    }

    fn line(&mut self, most: usize) -> Result<Fetched> {
        let rest = self.tree.input.get(self.at..).unwrap_or_default();
        let searched = rest.get(..most).unwrap_or(rest);
        let Some(length) = searched.iter().position(|&byte| byte == b'\n') else {
            if searched.len() < rest.len() {
                return Err(Error::malformed(Malformed::OutOfRange {
                    what: "the length of a name",
                    value: most.try_into().unwrap_or(i128::MAX),
                    expected: "less than 4096",
                }));
            }
            return Err(self.truncated("a line", to_u64(rest.len()).saturating_add(1)));
        };
        let start = self.at;
        self.at = start.saturating_add(length).saturating_add(1);
        let length = u32::try_from(length).map_err(|_| Error::unsupported("a line of", length))?;
        Ok(Fetched::Bytes(start, length))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take("an argument", to_u64(N))?;
        bytes
            .first_chunk::<N>()
            .copied()
            .ok_or_else(|| self.truncated("an argument", to_u64(N)))
    }

    pub(super) fn take(&mut self, what: &'static str, length: u64) -> Result<&[u8]> {
        let start = self.at;
        let end = to_usize(length).and_then(|length| start.checked_add(length));
        match end.filter(|&end| end <= self.tree.input.len()) {
            Some(end) => {
                self.at = end;
                Ok(self.tree.input.get(start..end).unwrap_or_default())
            }
            None => Err(self.truncated(what, length)),
        }
    }

    #[cold]
    fn truncated(&self, what: &'static str, needed: u64) -> Error {
        let available = to_u64(self.tree.input.len().saturating_sub(self.at));
        Self::malformed(Malformed::Truncated {
            what,
            needed,
            available,
        })
        .at(self.offset(self.at))
    }
}
