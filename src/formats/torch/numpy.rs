//! NumPy arrays and scalars, as their pickles describe them.
//!
//! ```text
//! array    _reconstruct(ndarray, (0,), b"b") + BUILD (1, shape, dtype, is Fortran, data)
//! array    _frombuffer(data, dtype, shape, order)                    protocol 5
//! scalar   scalar(dtype, data)
//! dtype    dtype("f4", False, True) + BUILD (3, "<", …)
//! data     bytes, or a string that `_codecs.encode(…, "latin1")` turns into bytes
//! ```
//!
//! Source: NumPy 2.3 `_core/src/multiarray/methods.c` (`array_reduce`, `array_setstate`), `descriptor.c`
//! (`arraydescr_reduce`).

use std::borrow::Cow;

use super::call::Call;
use super::rebuild::{Data, Rebuilt, Spec};
use crate::bytes::{Endian, room, to_u64};
use crate::dtype::DType;
use crate::error::{Context, Error, Malformed, Result};
use crate::formats::pickle::{NodeId, Object, Tree, Value};
use crate::index::{Absence, ValueType};

/// NumPy's kind and item size, and the type that it is. Others are opaque.
const DTYPES: &[(&str, DType)] = &[
    ("b1", DType::BOOL),
    ("i1", DType::I8),
    ("i2", DType::I16),
    ("i4", DType::I32),
    ("i8", DType::I64),
    ("u1", DType::U8),
    ("u2", DType::U16),
    ("u4", DType::U32),
    ("u8", DType::U64),
    ("f2", DType::F16),
    ("f4", DType::F32),
    ("f8", DType::F64),
    ("c8", DType::C64),
    ("c16", DType::C128),
];

/// Reads a call of NumPy's.
pub(super) fn rebuild<'t>(
    call: Call<'t, '_>,
    module: &str,
    name: &str,
    object: Option<&'t Object>,
) -> Result<Rebuilt<'t>> {
    match (module, name) {
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
            let state = object.and_then(|object| call.tree.sequence(object.state?));
            let Some(&[_, shape, dtype, fortran, data]) = state else {
                return Ok(Rebuilt::Other);
            };
            let fortran = matches!(call.tree.value(fortran), Value::Bool(true));
            array(call, data, dtype, shape, fortran)
        }
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => {
            let &[data, dtype, shape, ref order @ ..] = call.arguments else {
                return Err(call.arguments_error());
            };
            let order = order.first().and_then(|&order| call.tree.str(order));
            array(call, data, dtype, shape, order == Some("F"))
        }
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => {
            let &[dtype, data] = call.arguments else {
                return Ok(Rebuilt::Other);
            };
            match self::dtype(call.tree, dtype) {
                Some((DType::Opaque, ..)) | None => Ok(Rebuilt::Other),
                Some((dtype, _, endian)) => Ok(Rebuilt::Scalar(dtype, endian, data)),
            }
        }
        _ => Ok(Rebuilt::Other),
    }
}

fn array<'t>(
    call: Call<'t, '_>,
    data: NodeId,
    dtype: NodeId,
    shape: NodeId,
    fortran: bool,
) -> Result<Rebuilt<'t>> {
    let (dtype, code, endian) = self::dtype(call.tree, dtype).ok_or_else(|| {
        let expected = "a call of numpy.dtype";
        call.error("the dtype of an array", "something else", expected)
    })?;
    if call.tree.sequence(data).is_some() {
        // An array of Python objects: its items are listed as those of a list.
        return Ok(Rebuilt::Other);
    }
    let data = match call.tree.value(data) {
        Value::Buffer => Data::Absent(Absence::OutOfBand),
        _ => Data::Inline(data, endian),
    };
    let mut spec = Spec {
        code,
        shape: call.numbers("an array's shape", shape)?,
        class: ("numpy", "ndarray"),
        ..Spec::new(dtype, data, call.declared_at)
    };
    spec.strides = strides(&spec.shape, fortran).at(call.declared_at)?;
    Ok(Rebuilt::Tensor(Box::new(spec)))
}

/// Row-major strides, or column-major ones for an array in Fortran's order.
fn strides(shape: &[u64], fortran: bool) -> Result<Vec<u64>> {
    let mut strides = Vec::new();
    room::resize(&mut strides, shape.len(), 0)?;
    let mut next: u64 = 1;
    let mut set = |stride: &mut u64, dimension: u64| -> Result<()> {
        *stride = next;
        next = next.checked_mul(dimension.max(1)).ok_or_else(|| {
            let what = "the number of elements";
            Error::malformed(Malformed::Overflow { what })
        })?;
        Ok(())
    };
    let pairs = strides.iter_mut().zip(shape.iter().copied());
    if fortran {
        for (stride, dimension) in pairs {
            set(stride, dimension)?;
        }
    } else {
        for (stride, dimension) in pairs.rev() {
            set(stride, dimension)?;
        }
    }
    Ok(strides)
}

/// The type that a call of `numpy.dtype` makes: ours, NumPy's name for it, and its byte order.
fn dtype<'t>(tree: &'t Tree<'_>, id: NodeId) -> Option<(DType, &'t str, Endian)> {
    let object = tree.object(id)?;
    let global = tree.global(object.callable)?;
    if (global.module, global.name) != ("numpy", "dtype") {
        return None;
    }
    let code = tree.str(*tree.sequence(object.arguments)?.first()?)?;
    let order = object
        .state
        .and_then(|state| tree.str(*tree.sequence(state)?.get(1)?));
    let endian = match order {
        Some(">") => Endian::Big,
        _ => Endian::Little,
    };
    let known = DTYPES.iter().find(|(name, _)| *name == code);
    let dtype = known.map_or(DType::Opaque, |&(_, dtype)| dtype);
    Some((dtype, code, endian))
}

/// The bytes of an array or scalar, decoded where they are written as text.
///
/// # Errors
/// `Malformed` if the value is none of the forms that NumPy writes.
pub(super) fn data<'t>(tree: &'t Tree<'_>, id: NodeId) -> Result<Cow<'t, [u8]>> {
    match tree.value(id) {
        Value::Bytes(bytes) | Value::ByteArray(bytes) | Value::ByteString(bytes) => {
            Ok(Cow::Borrowed(bytes))
        }
        // `_codecs.encode(text, "latin1")`; the empty one is written `bytes()`.
        Value::Object(object) => {
            let global = tree.global(object.callable);
            let arguments = tree.sequence(object.arguments).unwrap_or_default();
            match (global.map(|global| (global.module, global.name)), arguments) {
                (Some(("_codecs", "encode")), &[text, codec]) => {
                    let Value::Str(text) = tree.value(text) else {
                        return Err(unexpected("no text"));
                    };
                    if !matches!(tree.str(codec), Some("latin1" | "latin-1")) {
                        return Err(unexpected("text of another encoding"));
                    }
                    latin1(text).map(Cow::Owned)
                }
                (Some(("builtins", "bytes")), &[]) => Ok(Cow::Borrowed(&[])),
                _ => Err(unexpected("the result of a call")),
            }
        }
        other => Err(unexpected(other.kind())),
    }
}

/// The value of a scalar, little-endian; `None` for types without a metadata value.
///
/// # Errors
/// `Malformed` if it does not have the bytes of its type.
pub(super) fn scalar(
    tree: &Tree<'_>,
    dtype: DType,
    endian: Endian,
    id: NodeId,
) -> Result<Option<(ValueType, Vec<u8>)>> {
    let value_type = match dtype {
        DType::BOOL => ValueType::Bool,
        DType::I8 => ValueType::I8,
        DType::I16 => ValueType::I16,
        DType::I32 => ValueType::I32,
        DType::I64 => ValueType::I64,
        DType::U8 => ValueType::U8,
        DType::U16 => ValueType::U16,
        DType::U32 => ValueType::U32,
        DType::U64 => ValueType::U64,
        DType::F16 | DType::F32 => ValueType::F32,
        DType::F64 => ValueType::F64,
        _ => return Ok(None),
    };
    // A text of Latin-1 has at most two bytes for each; a memo may give a long one to a million scalars.
    let most = to_u64(dtype.block_bytes()).saturating_mul(2);
    if most_bytes(tree, id) > most {
        return Err(unexpected("longer than its dtype"));
    }
    let mut bytes = data(tree, id)?;
    if bytes.len() != dtype.block_bytes() {
        let found = format!("{} bytes long", bytes.len());
        let expected = "as long as its dtype";
        return Err(Error::unexpected("a scalar", found, expected));
    }
    if endian == Endian::Big {
        bytes.to_mut().reverse();
    }
    if let (DType::F16, Some(&half)) = (dtype, bytes.first_chunk()) {
        let wide = half::f16::from_le_bytes(half).to_f32().to_le_bytes();
        bytes = Cow::Owned(wide.to_vec());
    }
    Ok(Some((value_type, bytes.into_owned())))
}

/// How many bytes decoded data takes at most: what [`data`] may allocate.
pub(super) fn most_bytes(tree: &Tree<'_>, id: NodeId) -> u64 {
    let text = tree
        .object(id)
        .and_then(|object| tree.sequence(object.arguments)?.first().copied());
    match text.map(|text| tree.value(text)) {
        Some(Value::Str(text)) => to_u64(text.len()),
        _ => 0,
    }
}

/// UTF-8 of characters below 256, as the bytes that they stand for.
fn latin1(text: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(text.len())
        .map_err(|_| Error::out_of_memory())?;
    let mut rest = text.iter();
    while let Some(&first) = rest.next() {
        bytes.push(match first {
            0..=0x7f => first,
            0xc2 => *rest.next().unwrap_or(&0),
            0xc3 => rest.next().unwrap_or(&0) | 0x40,
            _ => return Err(unexpected("text outside Latin-1")),
        });
    }
    Ok(bytes)
}

#[cold]
fn unexpected(found: &str) -> Error {
    Error::unexpected("the data of an array", found, "bytes")
}
