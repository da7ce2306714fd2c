//! What objects of allowed classes get as their state in honest files.
//!
//! A state becomes the attributes of an object, and an unpickler looks some of them up and calls them. NumPy's
//! objects reserve what their state says.

use super::signatures::{array_kind, is_bytes};
use crate::formats::pickle::Global;
use crate::formats::pickle::tree::{NodeId, Tree, Value};

/// What an unpickler looks up on an object by name and calls.
const METHODS: &[&str] = &[
    "__setstate__",
    "__class__",
    "__reduce__",
    "__reduce_ex__",
    "__getattr__",
    "__getattribute__",
    "append",
    "extend",
    "add",
];

/// The dicts of a state: itself, or the two parts of `(attributes, slots)`.
pub(super) fn parts<'t>(tree: &'t Tree<'_>, state: &'t NodeId) -> &'t [NodeId] {
    match tree.value(*state) {
        Value::Tuple(parts) => parts.get(..2).unwrap_or(parts),
        _ => std::slice::from_ref(state),
    }
}

/// Whether a state, or one of the two parts of `(attributes, slots)`, is what a call gives: a dict of some
/// class, whose names are not looked at.
pub(super) fn is_made(tree: &Tree<'_>, state: NodeId) -> bool {
    let made = |id: NodeId| matches!(tree.value(id), Value::Object(_));
    match tree.value(state) {
        Value::Tuple(&[attributes, slots]) => made(attributes) || made(slots),
        _ => made(state),
    }
}

/// The name of a method among attributes, if its value may be something that runs when it is called. A name
/// that a call gives may be any; only classes that nobody knows have other keys than text.
pub(super) fn planted(tree: &Tree<'_>, pairs: &[NodeId], known: bool) -> Option<String> {
    pairs.chunks_exact(2).find_map(|pair| match *pair {
        [key, value] if can_be_called(tree, value) => match tree.str(key) {
            Some(name) => METHODS.contains(&name).then(|| name.to_owned()),
            None => {
                let made = matches!(tree.value(key), Value::Object(_) | Value::PersistentId(_));
                (known && made).then(|| String::from("a name that a call gives"))
            }
        },
        _ => None,
    })
}

fn can_be_called(tree: &Tree<'_>, id: NodeId) -> bool {
    matches!(
        tree.value(id),
        Value::Global(_) | Value::Object(_) | Value::PersistentId(_) | Value::Extension(_)
    )
}

/// What is odd about the state of an array: `(1, shape, dtype, Fortran order, bytes or a list)`.
///
/// An array of objects takes room for as many as its shape says, before it looks at the list.
pub(super) fn array(tree: &Tree<'_>, class: Global<'_>, state: NodeId) -> Option<&'static str> {
    if class.name != "_reconstruct" {
        return None;
    }
    let (shape, dtype, data) = match tree.sequence(state) {
        Some(&[_, shape, dtype, _, data] | &[shape, dtype, _, data]) => (shape, dtype, data),
        _ => return Some("no version, shape, type, order and data"),
    };
    let (Some(sizes), Some(kind)) = (tree.sequence(shape), array_kind(tree, dtype)) else {
        return Some("no shape, or no type");
    };
    // NumPy stops at 64 dimensions.
    if sizes.len() > 64 {
        return Some("more than 64 dimensions");
    }
    match tree.value(data) {
        Value::List(items) => {
            let count = sizes.iter().try_fold(1_u64, |count, &size| {
                count.checked_mul(u64::try_from(tree.int(size)?).ok()?)
            });
            let right = count == Some(crate::bytes::to_u64(items.len()));
            (!right).then_some("another number of objects than its shape says")
        }
        _ if kind != 'O' && is_bytes(tree, data) => None,
        _ => Some("the elements are neither bytes nor a list"),
    }
}

/// What is odd about the state of a dtype:
/// `(3, order, subarray, names, fields, item bytes, alignment, flags)`, and metadata behind a 4.
///
/// Types of one letter and a size have none of the parts; only texts and records have a size here.
pub(super) fn dtype(
    tree: &Tree<'_>,
    class: Global<'_>,
    target: NodeId,
    state: NodeId,
) -> Option<&'static str> {
    if (class.module, class.name) != ("numpy", "dtype") {
        return None;
    }
    let kind = array_kind(tree, target)?;
    let parts = tree.sequence(state).unwrap_or_default();
    let &[
        version,
        _order,
        subarray,
        names,
        fields,
        bytes,
        alignment,
        flags,
        ..,
    ] = parts
    else {
        return Some("no type's state");
    };
    let length = match tree.int(version) {
        Some(3) => 8,
        Some(4) => 9,
        _ => return Some("a version that is not known"),
    };
    let (Some(bytes), Some(_), Some(flags)) =
        (tree.int(bytes), tree.int(alignment), tree.int(flags))
    else {
        return Some("no sizes");
    };
    if parts.len() != length {
        return Some("another number of parts");
    }
    let flexible = matches!(kind, 'S' | 'U' | 'V' | 'a');
    let none = |id: NodeId| matches!(tree.value(id), Value::None);
    let plain = none(subarray) && none(names) && none(fields);
    let simple = plain && bytes == -1;
    if !flexible && !simple {
        return Some("parts that only records and texts have");
    }
    // Whoever reads a pointer from bytes follows it.
    let objects = flags & 1 == 1;
    let right = match kind {
        'O' => objects,
        'V' => objects || !has_objects(tree, fields, subarray),
        _ => !objects,
    };
    (!right).then_some("it hides or invents objects")
}

/// Whether a record has objects in it, as far as the types of its fields say.
fn has_objects(tree: &Tree<'_>, fields: NodeId, subarray: NodeId) -> bool {
    /// Fields looked at: a record of more counts as one with objects.
    const MOST: usize = 256;
    let of_objects = |place: NodeId| {
        let dtype = tree
            .sequence(place)
            .and_then(|place| place.first().copied());
        dtype.is_none_or(|dtype| {
            let state = tree.object(dtype).and_then(|object| object.state);
            let state = state.and_then(|state| tree.sequence(state));
            let flags = state.and_then(|state| tree.int(*state.get(7)?));
            array_kind(tree, dtype).is_none_or(|kind| kind == 'O')
                || flags.is_some_and(|flags| flags & 1 == 1)
        })
    };
    let in_subarray = !matches!(tree.value(subarray), Value::None) && of_objects(subarray);
    let in_fields = match tree.value(fields) {
        Value::None => false,
        Value::Dict(pairs) => {
            let mut places = pairs.iter().skip(1).step_by(2);
            pairs.len() > MOST || places.any(|&place| of_objects(place))
        }
        _ => true,
    };
    in_subarray || in_fields
}
