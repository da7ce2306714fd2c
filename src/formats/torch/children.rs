//! What the containers and objects of a pickle hold, with the part of a name that leads to each.

use std::collections::HashSet;

use crate::formats::pickle::{NodeId, Object, Tree, Value};

/// What a child adds to the path.
pub(super) enum Label<'t> {
    Text(&'t str),
    Number(i64),
    /// A tuple of plain values, as Python prints it.
    Described(String),
    /// Any other key: its place.
    Place(usize),
}

/// A value inside a container, and what leads to it.
pub(super) type Child<'t> = (Label<'t>, NodeId);

/// What a container holds, one after the other.
pub(super) enum Held<'t> {
    /// Labels that had to be made, or children from several places.
    Listed(std::vec::IntoIter<Child<'t>>),
    /// What is left of the items of a sequence, and the place of the first.
    Numbered(&'t [NodeId], usize),
    /// What is left of keys and values, and the place of the first pair.
    Pairs(&'t [NodeId], usize),
}

impl<'t> Held<'t> {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Listed(children) => children.as_slice().is_empty(),
            Self::Numbered(items, _) => items.is_empty(),
            // A key without a value is no child.
            Self::Pairs(pairs, _) => pairs.len() < 2,
        }
    }

    /// Bytes of heap that it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Listed(children) => {
                let count = children.as_slice().len();
                count.saturating_mul(size_of::<Child<'_>>())
            }
            Self::Numbered(..) | Self::Pairs(..) => 0,
        }
    }

    pub(super) fn next(&mut self, tree: &'t Tree<'_>) -> Option<Child<'t>> {
        match self {
            Self::Listed(children) => children.next(),
            Self::Numbered(items, place) => {
                let (&item, rest) = items.split_first()?;
                let child = (number(*place), item);
                (*items, *place) = (rest, place.saturating_add(1));
                Some(child)
            }
            Self::Pairs(pairs, place) => {
                let &[key, value, ref rest @ ..] = *pairs else {
                    return None;
                };
                let child = (Children { tree }.label(key, *place), value);
                (*pairs, *place) = (rest, place.saturating_add(1));
                Some(child)
            }
        }
    }
}

impl<'t> From<Vec<Child<'t>>> for Held<'t> {
    fn from(children: Vec<Child<'t>>) -> Self {
        Self::Listed(children.into_iter())
    }
}

/// What a container holds; `None` if the value is none.
pub(super) fn children<'t>(tree: &'t Tree<'_>, node: NodeId) -> Option<Held<'t>> {
    Children { tree }.of(node)
}

/// What the saved attributes of an object hold.
pub(super) fn state_children<'t>(tree: &'t Tree<'_>, state: NodeId, children: &mut Vec<Child<'t>>) {
    if !matches!(tree.value(state), Value::None) {
        Children { tree }.state_children(state, children);
    }
}

#[derive(Clone, Copy)]
struct Children<'t, 'a> {
    tree: &'t Tree<'a>,
}

impl<'t> Children<'t, '_> {
    fn of(self, node: NodeId) -> Option<Held<'t>> {
        match self.tree.value(node) {
            Value::Tuple(items) | Value::List(items) | Value::Set(items) => {
                Some(Held::Numbered(items, 0))
            }
            Value::Dict(pairs) => Some(Held::Pairs(pairs, 0)),
            Value::Object(object) => self.object_children(object),
            _ => None,
        }
    }

    fn object_children(self, object: &'t Object) -> Option<Held<'t>> {
        let global = self.tree.global(object.callable);
        let name = global.map_or(("", ""), |global| (global.module, global.name));
        if is_plain_data(name) {
            return None;
        }
        let arguments = self.tree.sequence(object.arguments).unwrap_or_default();
        if name.0 == "torch.jit._pickle" {
            // Lists of TorchScript: the first argument is the list, or a value with its type.
            let first = arguments.first().copied()?;
            return Some(match self.tree.value(first) {
                Value::Tuple(items) | Value::List(items) => Held::Numbered(items, 0),
                Value::Dict(pairs) => Held::Pairs(pairs, 0),
                _ => vec![(number(0), first)].into(),
            });
        }
        if name.1 == "_reconstruct" && name.0.starts_with("numpy.") {
            // An array of objects: its items.
            let state = object.state.and_then(|state| self.tree.sequence(state));
            let items = state.and_then(|state| self.tree.sequence(*state.get(4)?));
            return Some(Held::Numbered(items.unwrap_or_default(), 0));
        }
        let pairs = self.tree.object_pairs(object);
        if is_container(name) && !pairs.is_empty() && arguments.is_empty() {
            // What `state_dict` gives: nothing beside the pairs.
            return Some(Held::Pairs(pairs, 0));
        }
        let mut children = self.items(object);
        if is_container(name) {
            return Some(children.into());
        }
        children.extend(numbered(arguments));
        if let Some(state) = object.state {
            self.state_children(state, &mut children);
        }
        Some(children.into())
    }

    /// What was put into an object by SETITEM and APPEND, and the pairs that the pickles of Python 2
    /// give an `OrderedDict` as a list of lists.
    fn items(self, object: &'t Object) -> Vec<Child<'t>> {
        let mut items = self.labelled(self.tree.object_pairs(object));
        items.extend(numbered(self.tree.object_items(object)));
        let global = self.tree.global(object.callable);
        if global.is_some_and(|global| is_container((global.module, global.name))) {
            let first = self.first_sequence(object).unwrap_or_default();
            for (place, &pair) in first.iter().enumerate() {
                match self.tree.sequence(pair) {
                    Some(&[key, value]) => items.push((self.label(key, place), value)),
                    _ => items.push((number(place), pair)),
                }
            }
        }
        items
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
                &[key, value] if self.tree.is_text(key, wanted) => Some(value),
                _ => None,
            })
        };
        let (Some(parameters), Some(modules)) = (attribute("_parameters"), attribute("_modules"))
        else {
            children.extend(self.labelled(pairs));
            return;
        };
        let hidden = attribute("_non_persistent_buffers_set").map(|set| self.members(set));
        let hidden = hidden.unwrap_or_default();
        children.extend(self.mapping(parameters));
        let buffers = attribute("_buffers").map(|buffers| self.mapping(buffers));
        let persistent =
            |(label, _): &Child<'_>| !matches!(label, Label::Text(name) if hidden.contains(name));
        children.extend(buffers.unwrap_or_default().into_iter().filter(persistent));
        children.extend(self.mapping(modules));
    }

    /// The texts in a set: protocols below 4 write it as a call with a list.
    fn members(self, set: NodeId) -> HashSet<&'t str> {
        let items = match self.tree.value(set) {
            Value::Set(items) => Some(items),
            Value::Object(object) => self.first_sequence(object),
            _ => None,
        };
        let items = items.unwrap_or_default().iter();
        items.filter_map(|&item| self.tree.str(item)).collect()
    }

    /// The first argument of a call, if it is a list or tuple.
    fn first_sequence(self, object: &Object) -> Option<&'t [NodeId]> {
        let arguments = self.tree.sequence(object.arguments)?;
        self.tree.sequence(*arguments.first()?)
    }

    /// A short tuple of numbers and texts, as Python prints it.
    fn described(self, key: NodeId) -> Option<String> {
        const LONGEST: usize = 8;
        let items = self
            .tree
            .sequence(key)
            .filter(|items| items.len() <= LONGEST)?;
        let each = items.iter().map(|&item| match self.tree.value(item) {
            Value::Int(number) => Some(number.to_string()),
            Value::Bool(true) => Some(String::from("True")),
            Value::Bool(false) => Some(String::from("False")),
            Value::None => Some(String::from("None")),
            _ => self.tree.str(item).map(|text| format!("'{text}'")),
        });
        let each: Vec<String> = each.collect::<Option<_>>()?;
        Some(match each.as_slice() {
            [only] => format!("({only},)"),
            several => format!("({})", several.join(", ")),
        })
    }

    /// The pairs of a dict or of an `OrderedDict`.
    fn mapping(self, node: NodeId) -> Vec<Child<'t>> {
        match self.tree.value(node) {
            Value::Dict(pairs) => self.labelled(pairs),
            Value::Object(object) => self.items(object),
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
            _ => match self.described(key) {
                Some(text) => Label::Described(text),
                None => Label::Place(place),
            },
        }
    }
}

fn number<'t>(place: usize) -> Label<'t> {
    Label::Number(i64::try_from(place).unwrap_or(i64::MAX))
}

fn numbered<'t>(items: &[NodeId]) -> Vec<Child<'t>> {
    let items = items.iter().enumerate();
    items.map(|(place, &item)| (number(place), item)).collect()
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
            | ("numpy", "dtype")
            | ("builtins", "bytearray" | "complex" | "slice" | "range")
    )
}
