//! Which arguments the allowed functions get in honest files.
//!
//! A harmless function is not harmless with every argument: `_codecs.encode` runs decoders, a constructor
//! that is given a number reserves as many elements. What no pickler writes is refused.

use crate::formats::pickle::Global;
use crate::formats::pickle::tree::{NodeId, Tree, Value};
use crate::policy::{Policy, Standing};

/// Modules of NumPy's functions, before and from version 2 on.
const MULTIARRAY: [&str; 2] = ["numpy.core.multiarray", "numpy._core.multiarray"];

const NUMERIC: [&str; 2] = ["numpy.core.numeric", "numpy._core.numeric"];

/// Arguments of any function here but those that get an object's attributes one by one: a memo may give one
/// long tuple to a million calls.
const MOST_ARGUMENTS: usize = 16;

/// Dimensions of a tensor or array; NumPy and torch stop at 64.
const MOST_DIMENSIONS: usize = 64;

/// Digits that CPython converts to an integer; more take quadratic time.
const MOST_DIGITS: usize = 4_300;

/// What is odd about the arguments of an allowed function.
pub(super) fn objection(
    tree: &Tree<'_>,
    policy: &Policy,
    global: Global<'_>,
    arguments: &[NodeId],
) -> Option<&'static str> {
    if arguments.len() > MOST_ARGUMENTS && global.module != "pathlib" {
        return Some("too many arguments");
    }
    // Most calls: their arguments are looked at where tensors are made of them.
    if global.module == "torch._utils" {
        return None;
    }
    match (global.module, global.name) {
        ("_codecs", "encode") => codec(tree, arguments),
        ("builtins", name) => builtin(tree, name, arguments),
        ("collections", "OrderedDict" | "Counter" | "deque") => contents(tree, arguments),
        ("collections", "defaultdict") => contents(tree, arguments.get(1..).unwrap_or_default()),
        ("copyreg", "_reconstructor") => reconstructor(tree, arguments),
        ("torch", name) | ("torch.cuda" | "torch.sparse" | "torch.cuda.sparse", name) => {
            torch(tree, name, arguments)
        }
        ("torch.storage", _) => refuse(true, "a storage is made by its size"),
        ("torch._tensor", _) => rebuild(tree, policy, arguments),
        ("torch.serialization", "_get_layout") => {
            let layout = arguments.first().and_then(|&name| tree.str(name));
            let known = layout.is_some_and(|name| name.starts_with("torch."));
            refuse(!known, "the layout is not named torch.…")
        }
        ("numpy", "ndarray") => refuse(true, "an array is made by its size"),
        ("numpy", "dtype") => dtype(tree, arguments),
        (module, "_reconstruct") if MULTIARRAY.contains(&module) => array(tree, arguments),
        (module, "scalar") if MULTIARRAY.contains(&module) => scalar(tree, arguments),
        (module, "_frombuffer") if NUMERIC.contains(&module) => buffer(tree, arguments),
        _ => None,
    }
}

/// The argument that becomes the attributes of the result.
pub(super) fn state(global: Global<'_>, arguments: &[NodeId]) -> Option<NodeId> {
    let takes_state = match global.module {
        "torch._utils" => global.name == "_rebuild_parameter_with_state",
        module => module == "torch._tensor",
    };
    arguments.get(3).copied().filter(|_| takes_state)
}

fn refuse(odd: bool, why: &'static str) -> Option<&'static str> {
    odd.then_some(why)
}

/// `encode(text, "latin1")`: how picklers of protocols below 3 write bytes.
fn codec(tree: &Tree<'_>, arguments: &[NodeId]) -> Option<&'static str> {
    let &[text, codec] = arguments else {
        return Some("not a text and latin1");
    };
    let is_text = matches!(tree.value(text), Value::Str(_) | Value::ByteString(_));
    refuse(
        !is_text || tree.str(codec) != Some("latin1"),
        "not a text and latin1",
    )
}

/// Bytes as a pickler of any protocol writes them: protocol 2 makes empty ones by a call.
pub(super) fn is_bytes(tree: &Tree<'_>, id: NodeId) -> bool {
    match tree.value(id) {
        Value::Bytes(_) | Value::ByteString(_) | Value::Str(_) => true,
        Value::Object(object) => tree.global(object.callable).is_some_and(|class| {
            let empty = ("builtins", "bytes");
            (class.module, class.name) == empty || is_encoded(tree, id)
        }),
        _ => false,
    }
}

fn is_encoded(tree: &Tree<'_>, id: NodeId) -> bool {
    let function = tree
        .object(id)
        .and_then(|object| tree.global(object.callable));
    function.is_some_and(|global| (global.module, global.name) == ("_codecs", "encode"))
}

fn builtin(tree: &Tree<'_>, name: &str, arguments: &[NodeId]) -> Option<&'static str> {
    match name {
        "bytes" | "bytearray" => {
            let is_data = |&id: &NodeId| {
                let value = tree.value(id);
                matches!(
                    value,
                    Value::Str(_)
                        | Value::ByteString(_)
                        | Value::Bytes(_)
                        | Value::ByteArray(_)
                        | Value::List(_)
                        | Value::Tuple(_)
                ) || is_encoded(tree, id)
            };
            // `bytearray(text, "latin-1")` of protocol 2: other codecs may take quadratic time.
            let latin = match *arguments {
                [] | [_] => true,
                [_, codec] => matches!(tree.str(codec), Some("latin-1" | "latin1")),
                _ => false,
            };
            let data = arguments.iter().take(1).all(is_data);
            refuse(!latin || !data, "it is made by its size, or by a codec")
        }
        "list" | "set" | "frozenset" | "dict" => contents(tree, arguments),
        // Tuples are written as such. One that a call makes hides how much there is to hash.
        "tuple" => refuse(!arguments.is_empty(), "a tuple is no call"),
        "slice" => {
            let deep = |&id: &NodeId| match tree.value(id) {
                Value::Tuple(_) => true,
                Value::Object(object) => tree
                    .global(object.callable)
                    .is_some_and(|class| class.module == "builtins"),
                _ => false,
            };
            refuse(arguments.iter().any(deep), "a slice of slices")
        }
        "range" => range(tree, arguments),
        "object" => refuse(!arguments.is_empty(), "an object takes none"),
        "int" | "float" | "complex" | "bool" | "str" => {
            let is_plain = |&id: &NodeId| match tree.value(id) {
                Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => true,
                Value::Str(text) | Value::ByteString(text) => text.len() <= MOST_DIGITS,
                _ => false,
            };
            refuse(!arguments.iter().all(is_plain), "not plain numbers or text")
        }
        _ => None,
    }
}

/// A range that something may make a list of.
fn range(tree: &Tree<'_>, arguments: &[NodeId]) -> Option<&'static str> {
    const MOST: i128 = 1 << 24;
    let number = |&id: &NodeId| tree.int(id).map(i128::from);
    let (start, stop, step) = match arguments {
        [stop] => (Some(0), number(stop), Some(1)),
        [start, stop] => (number(start), number(stop), Some(1)),
        [start, stop, step] => (number(start), number(stop), number(step)),
        _ => return Some("not one to three integers"),
    };
    let length = stop.zip(start).and_then(|(stop, start)| {
        let distance = stop.saturating_sub(start);
        distance.checked_div(step?)
    });
    refuse(
        length.is_none_or(|length| length > MOST),
        "not integers, or too far",
    )
}

/// A container is given its contents, or numbers such as a deque's length: never what a call makes, which
/// may be endless.
fn contents(tree: &Tree<'_>, arguments: &[NodeId]) -> Option<&'static str> {
    let made = |&id: &NodeId| {
        matches!(
            tree.value(id),
            Value::Object(_) | Value::PersistentId(_) | Value::Extension(_)
        )
    };
    refuse(
        arguments.iter().any(made),
        "the contents are what another call gives",
    )
}

/// `_reconstructor(class, base, state)`.
fn reconstructor(tree: &Tree<'_>, arguments: &[NodeId]) -> Option<&'static str> {
    const BASES: &[&str] = &[
        "object",
        "dict",
        "list",
        "tuple",
        "set",
        "frozenset",
        "int",
        "float",
        "str",
    ];
    let &[class, base, state] = arguments else {
        return Some("not a class, a base and a state");
    };
    let base = tree.global(base);
    let plain = base.is_some_and(|base| base.module == "builtins" && BASES.contains(&base.name));
    let builtin = tree
        .global(class)
        .is_some_and(|class| class.module == "builtins" && class.name != "object");
    if builtin {
        return Some("a class that is no class of anybody's");
    }
    let state = match tree.value(state) {
        Value::Str(text) | Value::ByteString(text) => {
            text.len() <= MOST_DIGITS || base.is_some_and(|base| base.name == "str")
        }
        Value::Int(_) | Value::Float(_) => {
            base.is_some_and(|base| matches!(base.name, "int" | "float"))
        }
        Value::Object(_) | Value::PersistentId(_) | Value::BigInt(_) => false,
        _ => true,
    };
    refuse(
        tree.global(class).is_none() || !plain || !state,
        "not a class, a plain base and a state",
    )
}

/// Tensors and storages are made empty and filled by BUILD; a dtype is not called.
fn torch(tree: &Tree<'_>, name: &str, arguments: &[NodeId]) -> Option<&'static str> {
    match name {
        "Size" => {
            let sizes = arguments.first().and_then(|&sizes| tree.sequence(sizes));
            let sizes = sizes.filter(|sizes| sizes.len() <= MOST_DIMENSIONS);
            let numbers = sizes.is_some_and(|sizes| sizes.iter().all(|&id| tree.int(id).is_some()));
            refuse(arguments.len() != 1 || !numbers, "not one tuple of sizes")
        }
        "device" => {
            let name = arguments
                .first()
                .is_some_and(|&name| tree.str(name).is_some());
            let plain = |&id: &NodeId| tree.str(id).is_some() || tree.int(id).is_some();
            refuse(!name || !arguments.iter().all(plain), "not a device's name")
        }
        _ if name.ends_with("Tensor") || name.ends_with("Storage") => {
            refuse(!arguments.is_empty(), "it is made by its size")
        }
        _ => Some("it is no function"),
    }
}

/// `_rebuild_from_type_v2(function, type, arguments, state)` calls the function.
fn rebuild(tree: &Tree<'_>, policy: &Policy, arguments: &[NodeId]) -> Option<&'static str> {
    let inner = arguments
        .first()
        .and_then(|&function| tree.global(function));
    let Some(inner) = inner.filter(|inner| inner.module == "torch._utils") else {
        return Some("the function is none that rebuilds tensors");
    };
    refuse(
        policy.standing(inner.module, inner.name) != Standing::Tensor,
        "the function is none that rebuilds tensors",
    )
}

/// One letter and a size, as `numpy.dtype.str` writes it without its byte order.
fn dtype(tree: &Tree<'_>, arguments: &[NodeId]) -> Option<&'static str> {
    let Some(text) = arguments.first().and_then(|&text| tree.str(text)) else {
        return Some("the dtype is no text");
    };
    let text = text.strip_prefix(['<', '>', '=', '|']).unwrap_or(text);
    let mut letters = text.chars();
    let kind = letters
        .next()
        .is_some_and(|kind| "?bBhHiIlLqQefdgFDGSUVOMmuc".contains(kind));
    let size = letters.as_str();
    let digits = size.len() <= 9 && size.bytes().all(|byte| byte.is_ascii_digit());
    refuse(!kind || !digits, "the dtype is none of NumPy's")
}

/// `_reconstruct(ndarray, (0,), b"b")`: an empty array, which BUILD fills.
fn array(tree: &Tree<'_>, arguments: &[NodeId]) -> Option<&'static str> {
    let &[class, shape, _] = arguments else {
        return Some("not a class, a shape and a type");
    };
    let shape = tree.sequence(shape).unwrap_or_default();
    let empty = (1..=MOST_DIMENSIONS).contains(&shape.len())
        && shape.iter().all(|&id| tree.int(id) == Some(0));
    refuse(
        tree.global(class).is_none() || !empty,
        "the array is not made empty",
    )
}

/// The kind of a type, as NumPy's letters name it; `None` if it is no call of `numpy.dtype` with one.
pub(super) fn array_kind(tree: &Tree<'_>, dtype: NodeId) -> Option<char> {
    let object = tree.object(dtype)?;
    let class = tree.global(object.callable)?;
    let text = tree.str(*tree.sequence(object.arguments)?.first()?)?;
    let text = text.strip_prefix(['<', '>', '=', '|']).unwrap_or(text);
    let kind = text.chars().next()?;
    ((class.module, class.name) == ("numpy", "dtype")).then_some(kind)
}

/// `scalar(dtype, bytes)`: without the bytes it reserves as many as the type says.
fn scalar(tree: &Tree<'_>, arguments: &[NodeId]) -> Option<&'static str> {
    let &[dtype, data] = arguments else {
        return Some("not a type and bytes");
    };
    // A record with objects has an array of itself.
    let is_array =
        |class: Global<'_>| MULTIARRAY.contains(&class.module) && class.name == "_reconstruct";
    let made = tree.object(data).map(|object| object.callable);
    let made = made.and_then(|class| tree.global(class));
    let is_data = is_bytes(tree, data) || made.is_some_and(is_array);
    let plain = array_kind(tree, dtype).is_some_and(|kind| kind != 'O');
    refuse(!plain || !is_data, "not a type and bytes")
}

/// `_frombuffer(bytes, dtype, shape, order)`.
fn buffer(tree: &Tree<'_>, arguments: &[NodeId]) -> Option<&'static str> {
    let dtype = arguments.get(1).copied();
    let kind = dtype.and_then(|dtype| array_kind(tree, dtype));
    let shape = arguments.get(2).and_then(|&shape| tree.sequence(shape));
    let plain = kind.is_some_and(|kind| kind != 'O');
    let shape = shape.is_some_and(|shape| shape.len() <= MOST_DIMENSIONS);
    refuse(!plain || !shape, "not a type and a shape")
}
