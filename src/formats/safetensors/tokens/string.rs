//! Strings: plain ones are borrowed, eight bytes at a time.

use std::borrow::Cow;

use super::Tokens;
use crate::error::{Error, Result};

const CONTROL: &str = "control character (\\u0000-\\u001F) found while parsing a string";

/// What an escape stands for.
enum Escape {
    Char(char),
    /// Half of a character, as UTF-16 writes it.
    Surrogate(u16),
}

impl<'a> Tokens<'a> {
    /// Takes the next byte of a string.
    fn byte(&mut self) -> Result<u8> {
        let Some(byte) = self.peek() else {
            return Err(self.invalid("EOF while parsing a string"));
        };
        self.advance();
        Ok(byte)
    }

    /// The string after its opening quote.
    #[inline]
    pub(super) fn rest_of_text(&mut self) -> Result<Cow<'a, str>> {
        let start = self.at;
        self.skip_plain();
        match self.peek() {
            Some(b'"') => {
                let text = self.json.get(start..self.at).unwrap_or_default();
                self.advance();
                Ok(Cow::Borrowed(text))
            }
            _ => self.text_with_escapes(start).map(Cow::Owned),
        }
    }

    /// Moves to the next quote, backslash or control character, or to the end.
    #[inline]
    pub(super) fn skip_plain(&mut self) {
        let rest = self.json.as_bytes().get(self.at..).unwrap_or_default();
        let mut skipped: usize = 0;
        for eight in rest.chunks_exact(8) {
            let eight = eight.first_chunk().copied().map_or(0, u64::from_le_bytes);
            let stops = stops(eight);
            if stops != 0 {
                let place = usize::try_from(stops.trailing_zeros() / 8).unwrap_or(0);
                self.at = self.at.saturating_add(skipped).saturating_add(place);
                return;
            }
            skipped = skipped.saturating_add(8);
        }
        let tail = rest.get(skipped..).unwrap_or_default();
        let stop = |&byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        let place = tail.iter().position(stop).unwrap_or(tail.len());
        self.at = self.at.saturating_add(skipped).saturating_add(place);
    }

    /// A string of which everything from `start` to here is plain.
    #[cold]
    fn text_with_escapes(&mut self, mut start: usize) -> Result<String> {
        let mut text = String::new();
        loop {
            let plain = self.json.get(start..self.at).unwrap_or_default();
            // And the longest character.
            text.try_reserve(plain.len().saturating_add(4))
                .map_err(|_| Error::out_of_memory())?;
            text.push_str(plain);
            match self.byte()? {
                b'"' => return Ok(text),
                b'\\' => text.push(self.escaped_char()?),
                _ => return Err(self.invalid(CONTROL)),
            }
            start = self.at;
            self.skip_plain();
        }
    }

    /// The character that an escape stands for, or two escapes together.
    fn escaped_char(&mut self) -> Result<char> {
        let high = match self.escape()? {
            Escape::Char(char) => return Ok(char),
            Escape::Surrogate(high) => high,
        };
        let lone = "lone leading surrogate in hex escape";
        if high >= 0xdc00 {
            return Err(self.invalid(lone));
        }
        for expected in *b"\\u" {
            if self.byte()? != expected {
                return Err(self.invalid("unexpected end of hex escape"));
            }
        }
        let low = self.hex()?;
        match char::decode_utf16([high, low]).next() {
            Some(Ok(char)) => Ok(char),
            _ => Err(self.invalid(lone)),
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<Escape> {
        Ok(Escape::Char(match self.byte()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex()?;
                match char::from_u32(unit.into()) {
                    Some(char) => char,
                    None => return Ok(Escape::Surrogate(unit)),
                }
            }
            _ => return Err(self.invalid("invalid escape")),
        }))
    }

    /// Four hexadecimal digits.
    fn hex(&mut self) -> Result<u16> {
        let rest = self.json.as_bytes().get(self.at..).unwrap_or_default();
        let Some(&four) = rest.first_chunk::<4>() else {
            self.at = self.json.len();
            return Err(self.invalid("EOF while parsing a string"));
        };
        self.at = self.at.saturating_add(4);
        let mut unit: u16 = 0;
        for digit in four {
            let digit = char::from(digit).to_digit(16);
            let Some(digit) = digit.and_then(|digit| u16::try_from(digit).ok()) else {
                return Err(self.invalid("invalid escape"));
            };
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }

    /// Moves past a string after its opening quote. Halves of characters are not looked at: nobody reads
    /// the string.
    pub(super) fn skip_text(&mut self) -> Result<()> {
        loop {
            self.skip_plain();
            match self.byte()? {
                b'"' => return Ok(()),
                b'\\' => {
                    self.escape()?;
                }
                _ => return Err(self.invalid(CONTROL)),
            }
        }
    }
}

/// The high bit of each byte that ends a plain string: a quote, a backslash or a control character.
/// Exact up to the lowest such byte, which is all that is asked for.
const fn stops(eight: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    const SPACES: u64 = u64::from_le_bytes([b' '; 8]);
    let quote = eight ^ u64::from_le_bytes([b'"'; 8]);
    let backslash = eight ^ u64::from_le_bytes([b'\\'; 8]);
    (quote.wrapping_sub(ONES) & !quote
        | backslash.wrapping_sub(ONES) & !backslash
        | eight.wrapping_sub(SPACES) & !eight)
        & HIGH
}

#[cfg(test)]
mod tests {
    use super::stops;

    #[test]
    fn a_string_ends_at_the_first_byte_that_is_not_plain() {
        for at in 0..8 {
            for byte in (0..=u8::MAX).step_by(if cfg!(miri) { 7 } else { 1 }) {
                let mut bytes = *b"abc\x7f\xc3\xa9! ";
                bytes[at] = byte;
                let stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
                let first = bytes.iter().position(stop);
                let found = stops(u64::from_le_bytes(bytes));
                let place = (found != 0).then(|| found.trailing_zeros() as usize / 8);
                assert_eq!(place, first, "{bytes:?}");
            }
        }
    }
}
