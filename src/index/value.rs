//! Metadata values, read from the file when they are asked for.
//!
//! The value types are GGUF's (specification `docs/gguf.md`, `gguf_metadata_value_type`), which
//! contain those of every other format: safetensors has strings only, a pickle integers, floats,
//! booleans and strings.

use byteorder::{BigEndian, ByteOrder, LittleEndian};

use super::array::Array;
use super::encoding::Encoding;
use crate::bytes::{Cursor, Endian, to_u64};
use crate::error::{Error, Malformed, Result};

macro_rules! value_types {
    ($($(#[$doc:meta])* $variant:ident $code:literal $name:literal $bytes:expr;)*) => {
        /// The type of a metadata value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ValueType {
            $($(#[$doc])* $variant,)*
        }

        impl ValueType {
            /// Every type, in the order of their GGUF codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in the GGUF specification, in lower case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The type with this GGUF code.
            #[must_use]
            pub const fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The GGUF code of the type.
            #[must_use]
            pub const fn code(self) -> u32 {
                match self { $(Self::$variant => $code,)* }
            }

            /// Bytes of one value; `None` for strings and arrays.
            #[must_use]
            pub const fn bytes(self) -> Option<u64> {
                match self { $(Self::$variant => $bytes,)* }
            }
        }
    };
}

value_types! {
    /// 8-bit unsigned integer.
    U8 0 "uint8" Some(1);
    /// 8-bit signed integer.
    I8 1 "int8" Some(1);
    /// 16-bit unsigned integer.
    U16 2 "uint16" Some(2);
    /// 16-bit signed integer.
    I16 3 "int16" Some(2);
    /// 32-bit unsigned integer.
    U32 4 "uint32" Some(4);
    /// 32-bit signed integer.
    I32 5 "int32" Some(4);
    /// 32-bit floating-point number.
    F32 6 "float32" Some(4);
    /// One byte, 0 or 1.
    Bool 7 "bool" Some(1);
    /// Bytes that should be UTF-8.
    String 8 "string" None;
    /// Values of one type.
    Array 9 "array" None;
    /// 64-bit unsigned integer.
    U64 10 "uint64" Some(8);
    /// 64-bit signed integer.
    I64 11 "int64" Some(8);
    /// 64-bit floating-point number.
    F64 12 "float64" Some(8);
}

/// One metadata value, borrowed from the file.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// 8-bit unsigned integer.
    U8(u8),
    /// 8-bit signed integer.
    I8(i8),
    /// 16-bit unsigned integer.
    U16(u16),
    /// 16-bit signed integer.
    I16(i16),
    /// 32-bit unsigned integer.
    U32(u32),
    /// 32-bit signed integer.
    I32(i32),
    /// 32-bit floating-point number.
    F32(f32),
    /// The byte of a boolean: files exist that hold more than 0 and 1.
    Bool(u8),
    /// Text, not yet checked to be UTF-8.
    String(Text<'a>),
    /// Values of one type, not yet read.
    Array(Array<'a>),
    /// 64-bit unsigned integer.
    U64(u64),
    /// 64-bit signed integer.
    I64(i64),
    /// 64-bit floating-point number.
    F64(f64),
}

impl<'a> Value<'a> {
    /// The value's type.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::F32(_) => ValueType::F32,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
            Self::Array(_) => ValueType::Array,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F64(_) => ValueType::F64,
        }
    }

    /// The number, if the value is an integer of any width.
    #[must_use]
    pub fn as_integer(&self) -> Option<i128> {
        match *self {
            Self::U8(number) => Some(number.into()),
            Self::I8(number) => Some(number.into()),
            Self::U16(number) => Some(number.into()),
            Self::I16(number) => Some(number.into()),
            Self::U32(number) => Some(number.into()),
            Self::I32(number) => Some(number.into()),
            Self::U64(number) => Some(number.into()),
            Self::I64(number) => Some(number.into()),
            _ => None,
        }
    }

    /// The number, if the value is an unsigned integer or a signed one that is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.as_integer()
            .and_then(|number| u64::try_from(number).ok())
    }

    /// The number, if the value is a floating-point number of either width.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(number) => Some(number.into()),
            Self::F64(number) => Some(number),
            _ => None,
        }
    }

    /// The truth value, if the value is a boolean of 0 or 1.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(0) => Some(false),
            Self::Bool(1) => Some(true),
            _ => None,
        }
    }

    /// The text, if the value is a string of valid UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Self::String(text) => text.as_str().ok(),
            _ => None,
        }
    }

    /// The array, if the value is one.
    #[must_use]
    pub const fn as_array(&self) -> Option<Array<'a>> {
        match *self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// Reads one value of `value_type` at the cursor.
    pub(super) fn read<B: ByteOrder>(
        cursor: &mut Cursor<'a, B>,
        value_type: ValueType,
        encoding: Encoding,
    ) -> Result<Self> {
        const WHAT: &str = "a value";
        Ok(match value_type {
            ValueType::U8 => Self::U8(cursor.u8(WHAT)?),
            ValueType::I8 => Self::I8(cursor.u8(WHAT)?.cast_signed()),
            ValueType::U16 => Self::U16(cursor.u16(WHAT)?),
            ValueType::I16 => Self::I16(cursor.u16(WHAT)?.cast_signed()),
            ValueType::U32 => Self::U32(cursor.u32(WHAT)?),
            ValueType::I32 => Self::I32(cursor.i32(WHAT)?),
            ValueType::F32 => Self::F32(f32::from_bits(cursor.u32(WHAT)?)),
            ValueType::Bool => Self::Bool(cursor.u8(WHAT)?),
            ValueType::U64 => Self::U64(cursor.u64(WHAT)?),
            ValueType::I64 => Self::I64(cursor.i64(WHAT)?),
            ValueType::F64 => Self::F64(cursor.f64(WHAT)?),
            ValueType::String => {
                let length = encoding.length(cursor)?;
                Self::String(Text(cursor.take("a string", length)?))
            }
            ValueType::Array => Self::Array(Array::read(cursor, encoding)?),
        })
    }

    /// Reads one value at the start of `bytes`.
    pub(crate) fn decode(
        bytes: &'a [u8],
        value_type: ValueType,
        encoding: Encoding,
    ) -> Result<Self> {
        match encoding.endian {
            Endian::Little => Self::read(
                &mut Cursor::<LittleEndian>::new(bytes),
                value_type,
                encoding,
            ),
            Endian::Big => Self::read(&mut Cursor::<BigEndian>::new(bytes), value_type, encoding),
        }
    }
}

/// Text of a file: bytes that should be UTF-8, and need not be.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<'a>(pub(crate) &'a [u8]);

impl<'a> Text<'a> {
    /// The bytes as they stand in the file.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The text.
    ///
    /// # Errors
    /// `Malformed` if the bytes are not UTF-8; the offset is that of the first wrong byte, counted
    /// from the start of the string.
    pub fn as_str(&self) -> Result<&'a str> {
        std::str::from_utf8(self.0).map_err(|error| {
            Error::malformed(Malformed::NotUtf8 { what: "a string" })
                .at(to_u64(error.valid_up_to()))
        })
    }

    /// The text with each wrong sequence replaced, for display.
    #[must_use]
    pub fn to_string_lossy(&self) -> std::borrow::Cow<'a, str> {
        String::from_utf8_lossy(self.0)
    }
}

impl std::fmt::Debug for Text<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write as _;

        // As `str` prints it, piece by piece: a copy with what is wrong replaced takes three times the room.
        formatter.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '\'' => formatter.write_char(letter)?,
                    _ => write!(formatter, "{}", letter.escape_debug())?,
                }
            }
            if !chunk.invalid().is_empty() {
                formatter.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        formatter.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn text_prints_as_the_lossy_copy_of_it() {
        let letters: String = ('\0'..='\u{3ff}').chain(['\u{200d}', '語', '😀']).collect();
        for bytes in [
            letters.as_bytes(),
            b"",
            b"it's \"quoted\"\n",
            b"a\xff\xfe\xf0\x9f\x98b\xe8\xaa",
            "e\u{301}\u{301}".as_bytes(),
            "\u{301}".as_bytes(),
        ] {
            let text = Text(bytes);
            assert_eq!(format!("{text:?}"), format!("{:?}", text.to_string_lossy()));
        }
    }
}
