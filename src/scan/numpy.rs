//! NumPy's array files: an array of Python objects is a pickle.
//!
//! ```text
//! | "\x93NUMPY" | major u8 | minor u8 | header length u16, from version 2 on u32 | header | array |
//! header   {'descr': '|O', 'fortran_order': False, 'shape': (3,), }
//! ```
//!
//! Source: NumPy 2.3 `lib/_format_impl.py`.

use super::look::{Look, Part, Reason};
use super::pickles;
use crate::bytes::{Cursor, to_usize};
use crate::error::{Error, Result};

/// An array file.
pub(super) fn look<'a>(look: &mut Look<'a, '_>, part: &Part<'a>) -> String {
    match header(part.data.bytes()) {
        Err(error) => look.error(&error.at(part.base), part),
        Ok((start, descr)) => {
            let length = part.data.bytes().len();
            let array = Part {
                stream: part.stream.clone(),
                base: part.base.saturating_add(crate::bytes::to_u64(start)),
                data: part.data.part(start, length),
                depth: part.depth.saturating_add(1),
                reason: Reason::Whole,
                surroundings: part.surroundings,
            };
            // `'|O'`, or a record with a field `'O'`: objects are written as one pickle. NumPy evaluates the
            // header, and has more names for objects than are told here: no array may hide a pickle.
            if contains(descr, b"O'") || contains(descr, b"O\"") {
                pickles::look(look, &array);
            } else {
                pickles::suspected(look, &array);
            }
        }
    }
    "numpy".into()
}

/// Where the array starts, and the header.
fn header(bytes: &[u8]) -> Result<(usize, &[u8])> {
    let mut cursor: Cursor<'_> = Cursor::at(bytes, 0);
    cursor.take("the magic number", 6)?;
    let [major, _minor] = match cursor.take("the version", 2)? {
        &[major, minor] => [major, minor],
        _ => [0, 0],
    };
    let length = match major {
        1 => cursor.u16("the header's length")?.into(),
        2 | 3 => u64::from(cursor.u32("the header's length")?),
        other => return Err(Error::unsupported("NumPy file version", other)),
    };
    let header = cursor.take("the header", length)?;
    if !contains(header, b"'descr'") {
        return Err(Error::missing("key", "descr"));
    }
    Ok((to_usize(cursor.offset()).unwrap_or(usize::MAX), header))
}

/// Whether `part` stands in `bytes`, which need not be text.
fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
