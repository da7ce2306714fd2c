//! Which arguments the allowed functions get in honest files.
//!
//! A harmless function is not harmless with every argument: `_codecs.encode` runs decoders, a constructor
//! that is given a number reserves as many elements. What no pickler writes is refused.

use crate::formats::pickle::tree::{Global, NodeId, Tree, Value};
use crate::policy::{Policy, Standing};

/// Modules of NumPy's functions, before and from version 2 on.
const MULTIARRAY: [&str; 2] = ["numpy.core.multiarray", "numpy._core.multiarray"];

/// Digits that CPython converts to an integer; more take quadratic time.
const MOST_DIGITS: usize = 4_300;

/// What is odd about the arguments of an allowed function.
pub(super) fn objection(
    tree: &Tree<'_>,
    policy: &Policy,
    global: Global<'_>,
    arguments: &[NodeId],
) -> Option<&'static str> {
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
        _ => None,
    }
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
            refuse(!arguments.iter().all(is_data), "it is made by its size")
        }
        "list" | "tuple" | "set" | "frozenset" | "dict" => contents(tree, arguments),
        "range" => {
            let all = arguments.iter().all(|&id| tree.int(id).is_some());
            refuse(!all, "not integers")
        }
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
    let state = match tree.value(state) {
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
    let text = text.trim_start_matches(['<', '>', '=', '|']);
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
    let empty = !shape.is_empty() && shape.iter().all(|&id| tree.int(id) == Some(0));
    refuse(
        tree.global(class).is_none() || !empty,
        "the array is not made empty",
    )
}
