//! ONNX models, which are told apart and not read: protobuf without a magic number.
//!
//! A file is one if it starts with an `ir_version` and every field of it is known (onnx 1.19 `onnx.proto`).

/// One field of a message.
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    /// The bytes of a length-delimited field; empty for numbers.
    pub(crate) bytes: &'a [u8],
}

/// The fields of a message; `None` where it breaks off.
pub(crate) fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Option<Field<'_>>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let field = field(&mut bytes);
        if field.is_none() {
            bytes = &[];
        }
        Some(field)
    })
}

fn field<'a>(bytes: &mut &'a [u8]) -> Option<Field<'a>> {
    let tag = varint(bytes)?;
    let number = tag >> 3;
    let length = match tag & 7 {
        0 => {
            varint(bytes)?;
            0
        }
        1 => 8,
        2 => usize::try_from(varint(bytes)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    let value = if tag & 7 == 2 { value } else { &[] };
    Some(Field {
        number,
        bytes: value,
    })
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value: u64 = 0;
    for shift in 0..10_u32 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift.saturating_mul(7))?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Whether bytes are a model: an `ir_version` first, known fields only, a graph and operator sets.
pub(crate) fn is_model(bytes: &[u8]) -> bool {
    let (mut graph, mut operators) = (false, false);
    if !matches!(bytes, [0x08, 1..=64, ..]) {
        return false;
    }
    for field in fields(bytes) {
        let Some(field) = field else { return false };
        if !matches!(field.number, 1..=8 | 14 | 20 | 25 | 26) {
            return false;
        }
        graph |= field.number == 7;
        operators |= field.number == 8;
    }
    graph && operators
}
