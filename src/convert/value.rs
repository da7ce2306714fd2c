//! Metadata values to be written, in GGUF's encoding.

use crate::bytes::{room, to_u64};
use crate::error::{Caller, Error, Format, Result};
use crate::index::{Value, ValueType};

/// A metadata value to write into a GGUF file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OutputValue<'a> {
    /// A 32-bit unsigned integer, as most keys of the specification have.
    U32(u32),
    /// A 64-bit unsigned integer.
    U64(u64),
    /// A 32-bit signed integer.
    I32(i32),
    /// A 32-bit float.
    F32(f32),
    /// A boolean.
    Bool(bool),
    /// Text.
    String(&'a str),
    /// A list of texts.
    Strings(&'a [&'a str]),
    /// A value of another file, copied as it is.
    Copied(Value<'a>),
}

impl OutputValue<'_> {
    /// Appends type and value, little-endian.
    ///
    /// # Errors
    /// `Caller` for an array of arrays; `Io` if there is no memory for the bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        match *self {
            Self::U32(number) => encode_value(Value::U32(number), out),
            Self::U64(number) => encode_value(Value::U64(number), out),
            Self::I32(number) => encode_value(Value::I32(number), out),
            Self::F32(number) => encode_value(Value::F32(number), out),
            Self::Bool(truth) => encode_value(Value::Bool(truth.into()), out),
            Self::Copied(value) => encode_value(value, out),
            Self::String(text) => {
                code(ValueType::String, out)?;
                string(text.as_bytes(), out)
            }
            Self::Strings(texts) => {
                code(ValueType::Array, out)?;
                code(ValueType::String, out)?;
                room::append(out, &to_u64(texts.len()).to_le_bytes())?;
                texts
                    .iter()
                    .try_for_each(|text| string(text.as_bytes(), out))
            }
        }
    }
}

fn encode_value(value: Value<'_>, out: &mut Vec<u8>) -> Result<()> {
    code(value.value_type(), out)?;
    let Value::Array(array) = value else {
        return scalar(value, out);
    };
    if array.value_type() == ValueType::Array {
        return Err(Error::caller(Caller::DoesNotFit {
            what: "an array of arrays",
            value: format!("{array:?}"),
            format: Format::Gguf,
        }));
    }
    code(array.value_type(), out)?;
    room::append(out, &array.len().to_le_bytes())?;
    array.iter().try_for_each(|element| scalar(element, out))
}

/// The code of a type: its place in the specification's list.
fn code(value_type: ValueType, out: &mut Vec<u8>) -> Result<()> {
    room::append(out, &value_type.code().to_le_bytes())
}

/// Length and bytes.
///
/// # Errors
/// `Io` if there is no memory for them.
pub(super) fn string(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    room::append(out, &to_u64(bytes.len()).to_le_bytes())?;
    room::append(out, bytes)
}

/// Anything but an array, without its type.
fn scalar(value: Value<'_>, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::U8(number) | Value::Bool(number) => room::push(out, number),
        Value::I8(number) => room::push(out, number.cast_unsigned()),
        Value::U16(number) => room::append(out, &number.to_le_bytes()),
        Value::I16(number) => room::append(out, &number.to_le_bytes()),
        Value::U32(number) => room::append(out, &number.to_le_bytes()),
        Value::I32(number) => room::append(out, &number.to_le_bytes()),
        Value::F32(number) => room::append(out, &number.to_le_bytes()),
        Value::U64(number) => room::append(out, &number.to_le_bytes()),
        Value::I64(number) => room::append(out, &number.to_le_bytes()),
        Value::F64(number) => room::append(out, &number.to_le_bytes()),
        Value::String(text) => string(text.as_bytes(), out),
        Value::Array(_) => Ok(()),
    }
}
