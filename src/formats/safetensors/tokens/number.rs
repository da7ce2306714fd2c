//! Numbers: unsigned integers eight digits at a time, every other form as `serde_json` reads it.

use super::Tokens;
use crate::error::Result;

/// A number of JSON.
pub(in super::super) enum Number {
    /// An integer without sign, in 64 bits.
    Unsigned(u64),
    /// Any other.
    Other(serde_json::Number),
}

/// Powers of ten.
const TENS: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

impl Tokens<'_> {
    /// A number.
    #[inline]
    pub(in super::super) fn number(&mut self, expected: &'static str) -> Result<Number> {
        match self.next() {
            Some(b'0'..=b'9') => {}
            Some(b'-') => return self.other_number().map(Number::Other),
            Some(_) => return Err(self.wrong_type(expected)),
            None => return Err(self.invalid_here("EOF while parsing a value")),
        }
        let start = self.at;
        let number = self.digits();
        let plain = !matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        let zero_first = self.json.as_bytes().get(start) == Some(&b'0');
        match number {
            Some(number) if plain && !(zero_first && self.at > start.saturating_add(1)) => {
                Ok(Number::Unsigned(number))
            }
            _ => {
                self.at = start;
                self.other_number().map(Number::Other)
            }
        }
    }

    /// Takes a list of at most eight unsigned integers without any white space, if that is next: how many
    /// there were.
    #[inline]
    pub(in super::super) fn take_numbers(&mut self, numbers: &mut [u64; 8]) -> Option<usize> {
        let before = self.at;
        let count = self.few_numbers(numbers);
        if count.is_none() {
            self.at = before;
        }
        count
    }

    #[inline]
    fn few_numbers(&mut self, numbers: &mut [u64; 8]) -> Option<usize> {
        self.take_byte(b'[')?;
        if self.take_byte(b']').is_some() {
            return Some(0);
        }
        for (at, number) in numbers.iter_mut().enumerate() {
            *number = self.few_digits()?;
            match self.peek()? {
                b',' => self.advance(),
                b']' => {
                    self.advance();
                    return Some(at.saturating_add(1));
                }
                _ => return None,
            }
        }
        None
    }

    /// Takes an integer of at most 16 digits.
    #[inline]
    fn few_digits(&mut self) -> Option<u64> {
        let rest = self.json.as_bytes().get(self.at..)?;
        let eight = u64::from_le_bytes(*rest.first_chunk()?);
        let (count, value) = leading_digits(eight);
        let zero_first = eight.to_le_bytes().first() == Some(&b'0');
        if count == 0 || count > 1 && zero_first {
            return None;
        }
        if count < 8 {
            self.at = self.at.saturating_add(count);
            return Some(value);
        }
        let eight = rest.get(8..)?.first_chunk()?;
        let (count, low) = leading_digits(u64::from_le_bytes(*eight));
        if count == 8 && rest.get(16).is_some_and(u8::is_ascii_digit) {
            return None;
        }
        self.at = self.at.saturating_add(8).saturating_add(count);
        // At most 16 digits: nothing wraps.
        let tens = TENS.get(count).copied()?;
        Some(value.wrapping_mul(tens).wrapping_add(low))
    }

    /// Takes digits, eight at a time; `None` if their value needs more than 64 bits.
    fn digits(&mut self) -> Option<u64> {
        let mut number = Some(0_u64);
        loop {
            let rest = self.json.as_bytes().get(self.at..).unwrap_or_default();
            let (count, value) = match rest.first_chunk::<8>() {
                Some(&eight) => leading_digits(u64::from_le_bytes(eight)),
                // The end of the text: the bytes that are missing are no digits.
                None => {
                    let mut eight = [0; 8];
                    for (to, from) in eight.iter_mut().zip(rest) {
                        *to = *from;
                    }
                    leading_digits(u64::from_le_bytes(eight))
                }
            };
            self.at = self.at.saturating_add(count);
            let tens = TENS.get(count).copied().unwrap_or(1);
            number = number.and_then(|number| number.checked_mul(tens)?.checked_add(value));
            if count < 8 {
                return number;
            }
        }
    }

    /// A number of any form.
    #[cold]
    pub(super) fn other_number(&mut self) -> Result<serde_json::Number> {
        let start = self.at;
        self.skip_number()?;
        let token = self.json.get(start..self.at).unwrap_or_default();
        match serde_json::from_str(token) {
            Ok(number) => Ok(number),
            // The grammar was checked: it is out of range.
            Err(error) => {
                let taken = start.saturating_add(error.column());
                let text = error.to_string();
                let reason = text.split(" at line ").next().unwrap_or_default();
                Err(self.invalid_at(reason, taken))
            }
        }
    }

    /// Moves past a number.
    pub(super) fn skip_number(&mut self) -> Result<()> {
        if self.peek() == Some(b'-') {
            self.advance();
        }
        let first = self.peek();
        match first {
            Some(b'0'..=b'9') => self.advance(),
            Some(_) => {
                self.advance();
                return Err(self.invalid("invalid number"));
            }
            None => return Err(self.invalid("EOF while parsing a value")),
        }
        if first != Some(b'0') {
            self.skip_digits();
        } else if matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.invalid_here("invalid number"));
        }
        if self.peek() == Some(b'.') {
            self.advance();
            if self.skip_digits() == 0 {
                return Err(self.invalid_here(match self.peek() {
                    Some(_) => "invalid number",
                    None => "EOF while parsing a value",
                }));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.advance();
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.advance();
            }
            if self.skip_digits() == 0 {
                let end = self.peek().is_none();
                self.at = self.json.len().min(self.at.saturating_add(1));
                return Err(self.invalid(match end {
                    false => "invalid number",
                    true => "EOF while parsing a value",
                }));
            }
        }
        Ok(())
    }

    /// Moves past digits; how many there were.
    fn skip_digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.advance();
        }
        self.at.saturating_sub(start)
    }
}

/// How many digits stand at the start of eight bytes, and their value.
#[inline]
fn leading_digits(eight: u64) -> (usize, u64) {
    // Digits become 0 to 9. Adding 0x76 sets the high bit of every byte above 9; what it carries into the
    // next byte comes from no digit, and only the first such byte counts.
    let values = eight ^ u64::from_le_bytes([b'0'; 8]);
    let others = (values.wrapping_add(u64::from_le_bytes([0x76; 8])) | values)
        & u64::from_le_bytes([0x80; 8]);
    let bits = others.trailing_zeros() & !7;
    // The digits move to the end, behind zeros.
    let digits = values.checked_shl(64_u32.saturating_sub(bits)).unwrap_or(0);
    let pairs = (digits.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    let value = fours.wrapping_mul(10_000 << 32 | 1) >> 32;
    (usize::try_from(bits / 8).unwrap_or(0), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted_and_valued() {
        for byte in (0..=u8::MAX).step_by(if cfg!(miri) { 11 } else { 1 }) {
            for count in 0..=8 {
                let mut eight = *b"90817263";
                if let Some(end) = eight.get_mut(count) {
                    *end = byte;
                }
                let digits = eight
                    .iter()
                    .take_while(|byte| byte.is_ascii_digit())
                    .count();
                let text = std::str::from_utf8(&eight[..digits]).unwrap();
                let value = text.parse().unwrap_or(0);
                assert_eq!(leading_digits(u64::from_le_bytes(eight)), (digits, value));
            }
        }
    }
}
