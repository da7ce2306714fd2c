//! Arguments written as text, and the checks of text arguments.

use crate::bytes::to_u64;
use crate::error::{Error, Malformed, Result, shortened};
use crate::limits::{Budget, Limit};

/// A decimal integer: the line of INT, LONG, GET or PUT.
///
/// CPython also takes other bases, underscores and white space, which no pickler writes; a pickle
/// that needs them is refused, so that no two readers can disagree on a number.
pub(super) fn integer(line: &[u8], budget: &Budget) -> Result<Option<i64>> {
    let (sign, digits) = match line {
        [b'-', digits @ ..] => (-1_i128, digits),
        digits => (1, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(invalid("a decimal integer", line));
    }
    budget.allow(Limit::PickleDigits, to_u64(digits.len()))?;
    let mut value: i128 = 0;
    for digit in digits {
        let digit = i128::from(digit.saturating_sub(b'0'));
        value = match value
            .checked_mul(10)
            .and_then(|value| value.checked_add(digit))
        {
            Some(value) => value,
            None => return Ok(None),
        };
    }
    Ok(i64::try_from(value.saturating_mul(sign)).ok())
}

/// Whether CPython takes a line for an integer that is no plain decimal: with white space around it, a plus,
/// a base, underscores or leading zeros.
pub(super) fn is_odd_integer(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let line = line.strip_suffix(b"L").unwrap_or(line);
    let digits = match line {
        [b'+' | b'-', digits @ ..] => digits,
        digits => digits,
    };
    match digits {
        [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', digits @ ..] => {
            let mut digits = digits.iter();
            digits.all(|digit| digit.is_ascii_hexdigit() || *digit == b'_')
        }
        [b'0'..=b'9', digits @ ..] => {
            let mut digits = digits.iter();
            digits.all(|digit| digit.is_ascii_digit() || *digit == b'_')
        }
        _ => false,
    }
}

/// A number without the white space, plus and underscores that CPython's text forms may have.
///
/// # Errors
/// As [`Budget::grow`].
pub(super) fn plain(line: &[u8], budget: &mut Budget) -> Result<Vec<u8>> {
    let line = line.trim_ascii();
    let line = line.strip_prefix(b"+").unwrap_or(line);
    let digits = line.iter().copied();
    let plain = budget.collect(digits.filter(|&digit| digit != b'_'))?;
    budget.refund_heap(to_u64(plain.capacity()));
    Ok(plain)
}

/// INT and LONG with leading zeros are octal to one unpickler and an error to the next.
pub(super) fn check_leading_zeros(line: &[u8]) -> Result<()> {
    match line.strip_prefix(b"-").unwrap_or(line) {
        [b'0', _, ..] => Err(invalid("a decimal integer", line)),
        _ => Ok(()),
    }
}

/// The line of FLOAT. Digits too large for a float are an error to one unpickler and infinite to the next.
pub(super) fn float(line: &[u8]) -> Result<f64> {
    let fits = |value: &f64| value.is_finite() || !line.iter().any(u8::is_ascii_digit);
    std::str::from_utf8(line)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(fits)
        .ok_or_else(|| invalid("a float", line))
}

/// The line of STRING: quoted, with the escapes of a Python 2 string literal.
pub(super) fn string(line: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let quoted = match line {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return Err(invalid("a quoted string", line)),
    };
    let mut rest = quoted;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        rest = escape(rest, out).ok_or_else(|| invalid("an escape", line))?;
    }
    Ok(())
}

/// One escape after its backslash; gives what follows it.
fn escape<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (&kind, rest) = rest.split_first()?;
    let plain = match kind {
        b'\n' => return Some(rest),
        b'\\' | b'\'' | b'"' => kind,
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'x' => {
            let (digits, rest) = rest.split_first_chunk::<2>()?;
            let digits = std::str::from_utf8(digits).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            return Some(rest);
        }
        b'0'..=b'7' => {
            let more = rest
                .iter()
                .take(2)
                .take_while(|byte| (b'0'..=b'7').contains(byte));
            let more = more.count();
            let (digits, rest) = rest.split_at_checked(more)?;
            let value = digits.iter().fold(u32::from(kind & 7), |value, digit| {
                (value << 3) | u32::from(digit & 7)
            });
            out.push(u8::try_from(value & 0xff).ok()?);
            return Some(rest);
        }
        // Python keeps the backslash of an escape that it does not know.
        other => {
            out.push(b'\\');
            other
        }
    };
    out.push(plain);
    Some(rest)
}

/// The line of UNICODE: Latin-1 with `\uXXXX` and `\UXXXXXXXX` (raw-unicode-escape).
pub(super) fn unicode(line: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut rest = line;
    while let [first, tail @ ..] = rest {
        let digits = match rest {
            [b'\\', b'u', digits @ ..] => digits.get(..4),
            [b'\\', b'U', digits @ ..] => digits.get(..8),
            // Any other pair is taken whole: the second of two backslashes starts nothing.
            [b'\\', second, after @ ..] => {
                push_code_point(u32::from(b'\\'), out);
                push_code_point(u32::from(*second), out);
                rest = after;
                continue;
            }
            _ => {
                push_code_point(u32::from(*first), out);
                rest = tail;
                continue;
            }
        };
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .filter(|&code| code <= 0x10_ffff)
            .ok_or_else(|| invalid("a unicode escape", line))?;
        push_code_point(code, out);
        let taken = digits.map_or(0, <[u8]>::len).saturating_add(2);
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(())
}

/// UTF-8 of a code point; a surrogate becomes the three bytes that `surrogatepass` gives.
fn push_code_point(code: u32, out: &mut Vec<u8>) {
    if let Some(character) = char::from_u32(code) {
        let mut buffer = [0; 4];
        out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        return;
    }
    let low = |shift: u32| u8::try_from((code >> shift) & 63).unwrap_or_default() | 0x80;
    out.extend([0xed, low(6), low(0)]);
}

/// Whether the bytes are UTF-8. Names are short and ASCII, and this is faster on them.
#[inline]
pub(super) fn is_utf8(bytes: &[u8]) -> bool {
    bytes.is_ascii() || std::str::from_utf8(bytes).is_ok()
}

/// Whether the bytes are UTF-8, with lone surrogates allowed as CPython allows them.
pub(super) fn is_utf8_with_surrogates(mut bytes: &[u8]) -> bool {
    loop {
        let Err(error) = std::str::from_utf8(bytes) else {
            return true;
        };
        let wrong = bytes.get(error.valid_up_to()..).unwrap_or_default();
        match wrong {
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, rest @ ..] => bytes = rest,
            _ => return false,
        }
    }
}

#[cold]
fn invalid(what: &'static str, line: &[u8]) -> Error {
    // More than an error keeps, and never a copy of a line of gigabytes.
    let line = line.get(..1024).unwrap_or(line);
    let reason = format!("{:?}", shortened(&String::from_utf8_lossy(line)));
    Error::malformed(Malformed::Invalid { what, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_decimal() {
        let budget = Budget::default();
        assert_eq!(integer(b"-12", &budget).unwrap(), Some(-12));
        assert_eq!(
            integer(b"123456789012345678901234567890", &budget).unwrap(),
            None
        );
        for wrong in [&b""[..], b"-", b"0x10", b"1_0", b" 1", b"1\r"] {
            assert!(integer(wrong, &budget).is_err(), "{wrong:?}");
        }
        assert!(integer(&[b'1'; 4301], &budget).is_err());
        // The memo's numbers are decimal with any zeros, values are not.
        assert_eq!(integer(b"007", &budget).unwrap(), Some(7));
        assert!(check_leading_zeros(b"-010").is_err() && check_leading_zeros(b"0").is_ok());
    }

    /// What `int(line, 0)` of CPython takes beside plain decimals, and may take.
    #[test]
    fn odd_integers_have_digits_only() {
        for odd in [
            "+1", " 1", "1\r", "007", "-007", "1_000", "0x1F", "-0Xff", "0o17", "0O7_7", "0b101",
            "0B1", "12L", "0x_f",
        ] {
            assert!(is_odd_integer(odd.as_bytes()), "{odd:?}");
        }
        for none in [
            "", " ", "-", "+", "L", "abc", "1x", "1.5", "1e3", "0xg", "0x-1", "1-1", "--1", "x1",
            "1 2",
        ] {
            assert!(!is_odd_integer(none.as_bytes()), "{none:?}");
        }
    }

    /// `float("1e999")` is infinite to CPython's `pickle`, and an error to its C twin.
    #[test]
    fn floats_are_infinite_only_in_words() {
        for (line, value) in [
            ("1.5", 1.5),
            ("-0.25e2", -25.0),
            ("inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(float(line.as_bytes()).unwrap(), value);
        }
        assert!(float(b"nan").unwrap().is_nan());
        for wrong in [&b"1e999"[..], b"-1e999", b"", b"x", b"1,5", b"\xff"] {
            assert!(float(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn strings_and_unicode_lines_follow_python() {
        let mut out = Vec::new();
        string(br"'a\n\x41\101\'\q'", &mut out).unwrap();
        assert_eq!(out, b"a\nAA'\\q");
        out.clear();
        unicode(
            "a\\u00e9\\U0001F600\u{e9}".as_bytes().get(..17).unwrap(),
            &mut out,
        )
        .unwrap();
        assert_eq!(String::from_utf8_lossy(&out), "aé😀");
        out.clear();
        unicode(b"\\ud800", &mut out).unwrap();
        assert_eq!(out, [0xed, 0xa0, 0x80]);
        assert!(is_utf8_with_surrogates(&out));
        assert!(!is_utf8_with_surrogates(&[0xff]));
        assert!(unicode(b"\\u12", &mut out).is_err());
        out.clear();
        unicode(br"\u006f \\u0073 \\\u0073 \q\", &mut out).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), r"o \\u0073 \\s \q\");
    }
}
