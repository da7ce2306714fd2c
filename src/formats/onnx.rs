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

#[cfg(test)]
mod tests {
    use super::*;

    /// `ir_version` 8, then these fields.
    fn model(fields: &[&[u8]]) -> Vec<u8> {
        [b"\x08\x08", fields.concat().as_slice()].concat()
    }

    const GRAPH: &[u8] = b"\x3a\x00";
    const OPERATORS: &[u8] = b"\x42\x02\x10\x0d";

    #[test]
    fn a_model_has_a_version_a_graph_and_operators() {
        assert!(is_model(&model(&[GRAPH, OPERATORS])));
        assert!(is_model(&model(&[OPERATORS, GRAPH])));
        assert!(!is_model(&model(&[GRAPH])));
        assert!(!is_model(&model(&[OPERATORS])));
        assert!(!is_model(&model(&[])));
        // The version comes first, and is a small number.
        assert!(!is_model(&[GRAPH, OPERATORS].concat()));
        assert!(!is_model(&[b"\x08\x41", GRAPH, OPERATORS].concat()));
        // A field 9 is in no model.
        assert!(!is_model(&model(&[GRAPH, OPERATORS, b"\x4a\x00"])));
        // A field cut off.
        assert!(!is_model(&model(&[GRAPH, OPERATORS, b"\x3a\x01"])));
    }

    /// Protocol Buffers, "Encoding": wire types 0 (varint), 1 (8 bytes), 2 (length, bytes), 5 (4 bytes).
    #[test]
    fn fields_have_the_lengths_of_their_wire_types() {
        let bytes = b"\x08\x96\x01\x11\x01\x02\x03\x04\x05\x06\x07\x08\x1a\x02hi\x25\x01\x02\x03\x04\x2a\x00";
        let found: Vec<(u64, &[u8])> = fields(bytes)
            .map(|field| field.map(|field| (field.number, field.bytes)).unwrap())
            .collect();
        let expected: [(u64, &[u8]); 5] = [(1, b""), (2, b""), (3, b"hi"), (4, b""), (5, b"")];
        assert_eq!(found, expected);
        for broken in [
            &b"\x11\x01\x02"[..],
            b"\x25\x01",
            b"\x1a\x02h",
            b"\x0b",
            b"\x08\x80",
        ] {
            let mut found = fields(broken);
            assert!(found.next().unwrap().is_none(), "{broken:?}");
            assert!(found.next().is_none(), "{broken:?}");
        }
    }

    #[test]
    fn numbers_end_at_a_byte_below_128() {
        for (bytes, number, rest) in [
            (&b"\x7f\x01"[..], 127, 1),
            (b"\x80\x00", 0, 0),
            (b"\x80\x01\x05", 128, 1),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", u64::MAX, 0),
        ] {
            let mut left = bytes;
            assert_eq!(varint(&mut left), Some(number), "{bytes:x?}");
            assert_eq!(left.len(), rest, "{bytes:x?}");
        }
        assert_eq!(varint(&mut &[0x80; 10][..]), None);
    }
}
