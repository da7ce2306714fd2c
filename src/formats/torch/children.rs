//! What the containers and objects of a pickle hold, with the part of a name that leads to each.

use crate::formats::pickle::{NodeId, Object, Tree, Value};

/// What a child adds to the path.
pub(super) enum Label<'t> {
    Text(&'t str),
    Number(i64),
    /// A key that is no text and no number: its place.
    Place(usize),
}

/// A value inside a container, and what leads to it.
pub(super) type Child<'t> = (Label<'t>, NodeId);

/// What a container holds; `None` if the value is none.
pub(super) fn children<'t>(tree: &'t Tree<'_>, node: NodeId) -> Option<Vec<Child<'t>>> {
    Children { tree }.of(node)
}

#[derive(Clone, Copy)]
struct Children<'t, 'a> {
    tree: &'t Tree<'a>,
}

impl<'t> Children<'t, '_> {
    fn of(self, node: NodeId) -> Option<Vec<Child<'t>>> {
        match self.tree.value(node) {
            Value::Tuple(items) | Value::List(items) | Value::Set(items) => Some(numbered(items)),
            Value::Dict(pairs) => Some(self.labelled(pairs)),
            Value::Object(object) => self.object_children(object),
            _ => None,
        }
    }

    fn object_children(self, object: &'t Object) -> Option<Vec<Child<'t>>> {
        let global = self.tree.global(object.callable);
        let name = global.map_or(("", ""), |global| (global.module, global.name));
        if is_plain_data(name) {
            return None;
        }
        let mut children = self.labelled(self.tree.object_pairs(object));
        children.extend(numbered(self.tree.object_items(object)));
        let arguments = self.tree.sequence(object.arguments).unwrap_or_default();
        if is_container(name) {
            // The pickles of Python 2 give the pairs as a list of lists.
            let first = arguments
                .first()
                .and_then(|&first| self.tree.sequence(first));
            for (place, &pair) in first.unwrap_or_default().iter().enumerate() {
                match self.tree.sequence(pair) {
                    Some(&[key, value]) => children.push((self.label(key, place), value)),
                    _ => children.push((Label::Place(place), pair)),
                }
            }
            return Some(children);
        }
        children.extend(numbered(arguments));
        if let Some(state) = object.state {
            self.state_children(state, &mut children);
        }
        Some(children)
    }

    /// The attributes of an object; for a module those of its `state_dict`.
    fn state_children(self, state: NodeId, children: &mut Vec<Child<'t>>) {
        let pairs = match self.tree.value(state) {
            Value::Dict(pairs) => pairs,
            // Attributes, then slots.
            Value::Tuple(&[attributes, slots]) => {
                for part in [attributes, slots] {
                    if let Value::Dict(pairs) = self.tree.value(part) {
                        children.extend(self.labelled(pairs));
                    }
                }
                return;
            }
            _ => {
                children.push((Label::Text("state"), state));
                return;
            }
        };
        let attribute = |wanted: &str| {
            pairs.chunks_exact(2).find_map(|pair| match pair {
                &[key, value] if self.tree.str(key) == Some(wanted) => Some(value),
                _ => None,
            })
        };
        let (Some(parameters), Some(modules)) = (attribute("_parameters"), attribute("_modules"))
        else {
            children.extend(self.labelled(pairs));
            return;
        };
        let hidden = attribute("_non_persistent_buffers_set").map(|set| self.tree.value(set));
        let hidden: Vec<&str> = match hidden {
            Some(Value::Set(names)) => names
                .iter()
                .filter_map(|&name| self.tree.str(name))
                .collect(),
            _ => Vec::new(),
        };
        children.extend(self.mapping(parameters));
        let buffers = attribute("_buffers").map(|buffers| self.mapping(buffers));
        let persistent =
            |(label, _): &Child<'_>| !matches!(label, Label::Text(name) if hidden.contains(name));
        children.extend(buffers.unwrap_or_default().into_iter().filter(persistent));
        children.extend(self.mapping(modules));
    }

    /// The pairs of a dict or of an `OrderedDict`.
    fn mapping(self, node: NodeId) -> Vec<Child<'t>> {
        match self.tree.value(node) {
            Value::Dict(pairs) => self.labelled(pairs),
            Value::Object(object) => self.object_children(object).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    fn labelled(self, pairs: &[NodeId]) -> Vec<Child<'t>> {
        let pairs = pairs.chunks_exact(2).enumerate();
        pairs
            .filter_map(|(place, pair)| match pair {
                &[key, value] => Some((self.label(key, place), value)),
                _ => None,
            })
            .collect()
    }

    fn label(self, key: NodeId, place: usize) -> Label<'t> {
        match (self.tree.str(key), self.tree.int(key)) {
            (Some(text), _) => Label::Text(text),
            (_, Some(number)) => Label::Number(number),
            _ => Label::Place(place),
        }
    }
}

fn numbered<'t>(items: &[NodeId]) -> Vec<Child<'t>> {
    let items = items.iter().enumerate();
    items
        .map(|(place, &item)| {
            (
                Label::Number(i64::try_from(place).unwrap_or(i64::MAX)),
                item,
            )
        })
        .collect()
}

/// Classes whose content is their items; attributes such as `_metadata` are no data of the user's.
fn is_container((module, name): (&str, &str)) -> bool {
    matches!(
        (module, name),
        (
            "collections",
            "OrderedDict" | "defaultdict" | "Counter" | "deque"
        ) | ("builtins", "dict" | "list" | "set" | "frozenset" | "tuple")
    )
}

/// Calls that stand for one plain value without tensors.
fn is_plain_data((module, name): (&str, &str)) -> bool {
    matches!(
        (module, name),
        ("torch", "Size" | "device" | "dtype" | "Generator")
            | ("_codecs", "encode")
            | ("torch.serialization", "_get_layout")
            | ("torch.torch_version", "TorchVersion")
            | ("datetime" | "decimal" | "uuid" | "pathlib", _)
            | ("builtins", "bytearray" | "complex" | "slice" | "range")
    )
}
