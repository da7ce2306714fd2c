//! JSON, token by token: what the header's reader asks for, and nothing else.
//!
//! Grammar: RFC 8259. Accepted, refused and worded is what `serde_json` accepts, refuses and says (its
//! tests are `tests/headers.rs`); written by hand because a header's strings and numbers are all plain, and
//! scanning them eight bytes at a time is most of what opening a file costs. No recursion, no memory but for
//! a string with escapes.

mod ignored;
mod number;
mod string;

pub(super) use number::Number;

use std::borrow::Cow;

use serde::de::{Error as _, Unexpected};

use crate::bytes::to_u64;
use crate::error::{Error, Malformed, Result, shortened};

/// File offset of the header's first byte.
pub(super) const START: u64 = 8;

/// The text of a header, and how much of it was read.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) const fn new(json: &'a str) -> Self {
        Self { json, at: 0 }
    }

    /// How many bytes were read.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Takes a member's key and colon if they are next, just so, with the comma before them if it is not the
    /// first.
    #[inline]
    pub(super) fn take_member<const N: usize>(&mut self, first: &mut bool, key: &[u8; N]) -> bool {
        let bytes = self.json.as_bytes();
        let comma = usize::from(!*first);
        let start = self.at.saturating_add(comma);
        let next = bytes.get(start..).and_then(|next| next.first_chunk::<N>());
        let taken = next == Some(key) && (*first || self.peek() == Some(b','));
        if taken {
            self.at = start.saturating_add(N);
            *first = false;
        }
        taken
    }

    /// Takes a key without escapes and its colon if they are next, just so, as [`take_member`] does: the place
    /// of the key's first byte in the text, and the key.
    ///
    /// [`take_member`]: Self::take_member
    #[inline]
    pub(super) fn take_plain_key(&mut self, first: &mut bool) -> Option<(usize, &'a str)> {
        let before = self.at;
        let key = self.plain_key(*first);
        match key {
            Some(_) => *first = false,
            None => self.at = before,
        }
        key
    }

    #[inline]
    fn plain_key(&mut self, first: bool) -> Option<(usize, &'a str)> {
        if !first {
            self.take_byte(b',')?;
        }
        self.take_byte(b'"')?;
        let start = self.at;
        self.skip_plain();
        let key = self.json.get(start..self.at)?;
        self.take_byte(b'"')?;
        self.take_byte(b':')?;
        Some((start, key))
    }

    #[inline]
    pub(super) fn take_byte(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.advance())
    }

    /// Opens an object.
    pub(super) fn object(&mut self, expected: &'static str) -> Result<()> {
        self.open(b'{', expected)
    }

    /// Opens a list.
    pub(super) fn list(&mut self, expected: &'static str) -> Result<()> {
        self.open(b'[', expected)
    }

    fn open(&mut self, bracket: u8, expected: &'static str) -> Result<()> {
        match self.next() {
            Some(found) if found == bracket => {
                self.advance();
                Ok(())
            }
            Some(_) => Err(self.wrong_type(expected)),
            None => Err(self.invalid_here("EOF while parsing a value")),
        }
    }

    /// The next key of an object, with the place of its first byte in the text; the object's end is taken.
    /// `first` is whether no key came before.
    #[inline]
    pub(super) fn key(&mut self, first: &mut bool) -> Result<Option<(usize, Cow<'a, str>)>> {
        if !self.opens_key(first)? {
            return Ok(None);
        }
        let start = self.at;
        Ok(Some((start, self.rest_of_text()?)))
    }

    /// Whether an object has another key, of which the opening quote is taken.
    #[inline]
    fn opens_key(&mut self, first: &mut bool) -> Result<bool> {
        match self.next() {
            Some(b'}') => {
                self.advance();
                return Ok(false);
            }
            Some(b',') if !*first => {
                self.advance();
                match self.next() {
                    Some(b'"') => {}
                    Some(b'}') => return Err(self.invalid_here("trailing comma")),
                    Some(_) => return Err(self.invalid_here("key must be a string")),
                    None => return Err(self.invalid_here("EOF while parsing a value")),
                }
            }
            Some(b'"') if *first => {}
            Some(_) if *first => return Err(self.invalid_here("key must be a string")),
            Some(_) => return Err(self.invalid_here("expected `,` or `}`")),
            None => return Err(self.invalid_here("EOF while parsing an object")),
        }
        *first = false;
        self.advance();
        Ok(true)
    }

    /// The colon between a key and its value.
    #[inline]
    pub(super) fn colon(&mut self) -> Result<()> {
        match self.next() {
            Some(b':') => {
                self.advance();
                Ok(())
            }
            Some(_) => Err(self.invalid_here("expected `:`")),
            None => Err(self.invalid_here("EOF while parsing an object")),
        }
    }

    /// Whether a list has another item; its end is taken. `first` is whether none came before.
    #[inline]
    pub(super) fn item(&mut self, first: &mut bool) -> Result<bool> {
        match self.next() {
            Some(b']') => {
                self.advance();
                return Ok(false);
            }
            Some(b',') if !*first => {
                self.advance();
                match self.next() {
                    Some(b']') => return Err(self.invalid_here("trailing comma")),
                    Some(_) => {}
                    None => return Err(self.invalid_here("EOF while parsing a value")),
                }
            }
            Some(_) if *first => {}
            Some(_) => return Err(self.invalid_here("expected `,` or `]`")),
            None => return Err(self.invalid_here("EOF while parsing a list")),
        }
        *first = false;
        Ok(true)
    }

    /// A string, borrowed where it has no escapes.
    #[inline]
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>> {
        match self.next() {
            Some(b'"') => {
                self.advance();
                self.rest_of_text()
            }
            Some(_) => Err(self.wrong_type("a string")),
            None => Err(self.invalid_here("EOF while parsing a value")),
        }
    }

    /// Takes a `null`, if that is next.
    pub(super) fn null(&mut self) -> Result<bool> {
        if self.next() != Some(b'n') {
            return Ok(false);
        }
        self.word("null")?;
        Ok(true)
    }

    /// Checks that nothing follows.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.next() {
            None => Ok(()),
            Some(_) => Err(self.invalid_here("trailing characters")),
        }
    }

    /// The error of a broken grammar, at the last byte that was taken.
    #[cold]
    pub(super) fn invalid(&self, reason: &str) -> Error {
        self.invalid_at(reason, self.at)
    }

    /// The error of a broken grammar, at the next byte.
    #[cold]
    fn invalid_here(&self, reason: &str) -> Error {
        let taken = self.at.saturating_add(1).min(self.json.len());
        self.invalid_at(reason, taken)
    }

    #[cold]
    fn invalid_at(&self, reason: &str, taken: usize) -> Error {
        let last = taken.saturating_sub(1);
        // serde_json counts columns from 1 and a line's end as column 0 of the next.
        let at = match self.json.as_bytes().get(last) {
            Some(b'\n') => taken,
            _ => last,
        };
        let invalid = Malformed::Invalid {
            what: "the header",
            reason: shortened(reason),
        };
        Error::malformed(invalid).at(START.saturating_add(to_u64(at)))
    }

    /// The error of a value of another type, after the value if it is no list or object.
    #[cold]
    pub(super) fn wrong_type(&mut self, expected: &'static str) -> Error {
        let text;
        let found = match self.next() {
            Some(b'n') => self.word("null").map(|()| Unexpected::Unit),
            Some(b't') => self.word("true").map(|()| Unexpected::Bool(true)),
            Some(b'f') => self.word("false").map(|()| Unexpected::Bool(false)),
            Some(b'-' | b'0'..=b'9') => {
                self.other_number()
                    .map(|number| match (number.as_u64(), number.as_i64()) {
                        (Some(number), _) => Unexpected::Unsigned(number),
                        (_, Some(number)) => Unexpected::Signed(number),
                        _ => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
                    })
            }
            Some(b'"') => {
                self.advance();
                match self.rest_of_text() {
                    Ok(found) => {
                        // serde_json copies it whole.
                        text = shortened(&found);
                        Ok(Unexpected::Str(&text))
                    }
                    Err(error) => Err(error),
                }
            }
            Some(b'[') => Ok(Unexpected::Seq),
            Some(b'{') => Ok(Unexpected::Map),
            _ => Err(self.invalid_here("expected value")),
        };
        match found {
            Ok(found) => {
                let error = serde_json::Error::invalid_type(found, &expected);
                self.invalid(&error.to_string())
            }
            Err(error) => error,
        }
    }

    /// The next byte that is no white space, not taken.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.advance(),
                next => return next,
            }
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn advance(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    /// Takes one of `null`, `true` and `false`, of which the first byte was seen.
    fn word(&mut self, word: &'static str) -> Result<()> {
        self.advance();
        for expected in word.bytes().skip(1) {
            let found = self.peek();
            if found.is_none() {
                return Err(self.invalid("EOF while parsing a value"));
            }
            self.advance();
            if found != Some(expected) {
                return Err(self.invalid("expected ident"));
            }
        }
        Ok(())
    }
}
