//! Arrays of metadata values, read from the file when they are asked for.

use byteorder::{BigEndian, ByteOrder, LittleEndian};

use super::encoding::Encoding;
use super::value::{Text, Value, ValueType};
use crate::bytes::{Cursor, Endian};
use crate::error::{Caller, Context, Error, Result};
use crate::shape;

/// An array of a file, whose elements are read when asked for.
///
/// # Example
/// ```
/// # fn tokens(metadata: weighbridge::MetadataView<'_>) -> Option<()> {
/// let tokens = metadata.get("tokenizer.ggml.tokens")?.as_array()?;
/// for token in tokens.iter() {
///     println!("{token:?}");
/// }
/// # Some(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct Array<'a> {
    value_type: ValueType,
    length: u64,
    bytes: &'a [u8],
    encoding: Encoding,
}

impl<'a> Array<'a> {
    pub(super) fn read<B: ByteOrder>(
        cursor: &mut Cursor<'a, B>,
        encoding: Encoding,
    ) -> Result<Self> {
        let at = cursor.offset();
        let code = cursor.u32("an array's element type")?;
        let value_type = ValueType::from_code(code)
            .ok_or_else(|| Error::unsupported("metadata value type", code).at(at))?;
        let length = encoding.length(cursor)?;
        let bytes = match value_type.bytes() {
            Some(each) => {
                let bytes = shape::bytes_of("the size of an array", length, each).at(at)?;
                cursor.take("an array", bytes)?
            }
            None => cursor.rest(),
        };
        Ok(Self {
            value_type,
            length,
            bytes,
            encoding,
        })
    }

    /// The type of the elements.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// The number of elements.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The elements, one after the other, without an allocation.
    ///
    /// The walk ends early only if the bytes changed since the file was opened.
    #[must_use]
    pub const fn iter(&self) -> Elements<'a> {
        Elements {
            rest: self.bytes,
            left: self.length,
            value_type: self.value_type,
            encoding: self.encoding,
        }
    }

    /// The elements of a string array.
    ///
    /// # Errors
    /// `Caller` if the elements are no strings.
    pub fn strings(&self) -> Result<impl Iterator<Item = Text<'a>> + use<'a>> {
        self.expect(ValueType::String)?;
        let Self {
            mut bytes,
            length,
            encoding,
            ..
        } = *self;
        // By itself rather than through `iter`: a vocabulary has a quarter of a million.
        Ok((0..length).map_while(move |_| {
            let (text, rest) = encoding.split_string(bytes)?;
            bytes = rest;
            Some(Text(text))
        }))
    }

    /// Checks that every string of the array is UTF-8: many strings at a time, so that a vocabulary costs about what
    /// reading it costs.
    ///
    /// # Errors
    /// `Caller` if the elements are no strings; `Malformed` as [`Text::as_str`] says for the first string that is
    /// not UTF-8.
    pub fn check_utf8(&self) -> Result<()> {
        self.expect(ValueType::String)?;
        if self.encoding.are_utf8(self.bytes, self.length) {
            return Ok(());
        }
        // One by one, for the place.
        self.strings()?.try_for_each(|text| text.as_str().map(drop))
    }

    /// The bytes of the elements, for arrays of numbers: little-endian unless the file is not.
    ///
    /// # Errors
    /// `Caller` if the elements are of another type.
    pub fn number_bytes(&self, value_type: ValueType) -> Result<&'a [u8]> {
        self.expect(value_type)?;
        Ok(self.bytes)
    }

    fn expect(&self, wanted: ValueType) -> Result<()> {
        if self.value_type == wanted {
            return Ok(());
        }
        Err(Error::caller(Caller::ValueType {
            key: String::from("[]"),
            found: self.value_type.name(),
            wanted: wanted.name(),
        }))
    }
}

impl std::fmt::Debug for Array<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Elements are left out: printing must not recurse on the file's structure.
        write!(formatter, "[{}; {}]", self.value_type.name(), self.length)
    }
}

/// Iterator over the elements of an [`Array`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
    left: u64,
    value_type: ValueType,
    encoding: Encoding,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (value, rest) = match self.encoding.endian {
            Endian::Little => self.step::<LittleEndian>()?,
            Endian::Big => self.step::<BigEndian>()?,
        };
        self.rest = rest;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, usize::try_from(self.left).ok())
    }
}

impl<'a> Elements<'a> {
    fn step<B: ByteOrder>(&self) -> Option<(Value<'a>, &'a [u8])> {
        let mut cursor = Cursor::<B>::new(self.rest);
        let value = Value::read(&mut cursor, self.value_type, self.encoding).ok()?;
        Some((value, cursor.rest()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoding::Encoding;
    use super::super::value::{Value, ValueType};
    use crate::bytes::Endian;

    fn array(texts: &[Vec<u8>], encoding: Encoding) -> Vec<u8> {
        let number = |number: u64, bytes: usize| {
            let mut number = number.to_le_bytes()[..bytes].to_vec();
            if encoding.endian == Endian::Big {
                number.reverse();
            }
            number
        };
        let length = |length: usize| {
            let bytes = if encoding.short_lengths { 4 } else { 8 };
            number(length as u64, bytes)
        };
        let mut file = number(8, 4);
        file.extend(length(texts.len()));
        for text in texts {
            file.extend(length(text.len()));
            file.extend(text);
        }
        // What follows an array is none of its business.
        file.push(0xFF);
        file
    }

    #[test]
    fn strings_are_checked_one_by_one_or_together_with_one_result() {
        let long = |bytes: usize| "é".repeat(bytes / 2).into_bytes();
        let words = ["", "a", "é", "▁the", "😀"].map(|word| word.as_bytes().to_vec());
        let wrong = [b"\xE2\x96".to_vec(), b"\x81x".to_vec(), b"\xFF".to_vec()];
        let mut lists = vec![vec![], words.to_vec()];
        let lengths: &[usize] = match cfg!(miri) {
            true => &[126, 128],
            false => &[126, 128, 200, 256, 384, 20_000, 40_000],
        };
        for &bytes in lengths {
            lists.push([&words[..], &[long(bytes)], &words[..]].concat());
        }
        let many = if cfg!(miri) { 10 } else { 30_000 };
        lists.push(words.iter().cycle().take(many).cloned().collect());
        for valid in lists.clone() {
            for place in [0, valid.len() / 2, valid.len()] {
                for wrong in &wrong {
                    let mut list = valid.clone();
                    list.insert(place, wrong.clone());
                    lists.push(list);
                }
                // The two halves of a character in two strings are no character.
                let mut list = valid.clone();
                list.splice(place..place, [b"\xC3".to_vec(), b"\xA9".to_vec()]);
                lists.push(list);
            }
        }
        for endian in [Endian::Little, Endian::Big] {
            for short_lengths in [false, true] {
                let encoding = Encoding {
                    endian,
                    short_lengths,
                };
                for list in &lists {
                    let file = array(list, encoding);
                    let value = Value::decode(&file, ValueType::Array, encoding).unwrap();
                    let array = value.as_array().unwrap();
                    let expected = list.iter().all(|text| std::str::from_utf8(text).is_ok());
                    assert_eq!(array.check_utf8().is_ok(), expected, "{encoding:?}");
                    assert_eq!(array.strings().unwrap().count(), list.len());
                }
            }
        }
    }
}
