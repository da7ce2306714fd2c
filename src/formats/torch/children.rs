//! What the containers and objects of a pickle hold, with the part of a name that leads to each.

use std::collections::HashMap;

use crate::error::Result;
use crate::formats::pickle::{NodeId, Object, Tree, Value};
use crate::limits::Budget;

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
    /// Children from several places, charged when they were listed.
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

    /// Bytes of heap that it was charged.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Listed(children) => {
                let count = children.as_slice().len();
                count.saturating_mul(size_of::<Child<'_>>())
            }
            Self::Numbered(..) | Self::Pairs(..) => 0,
        }
    }

    /// The next child.
    ///
    /// # Errors
    /// As [`children`].
    pub(super) fn next(
        &mut self,
        tree: &'t Tree<'_>,
        budget: &mut Budget,
    ) -> Result<Option<Child<'t>>> {
        Ok(match self {
            Self::Listed(children) => children.next(),
            Self::Numbered(items, place) => match items.split_first() {
                Some((&item, rest)) => {
                    let child = (number(*place), item);
                    (*items, *place) = (rest, place.saturating_add(1));
                    Some(child)
                }
                None => None,
            },
            Self::Pairs(pairs, place) => match *pairs {
                &[key, value, ref rest @ ..] => {
                    let child = (label(tree, key, *place, budget)?, value);
                    (*pairs, *place) = (rest, place.saturating_add(1));
                    Some(child)
                }
                _ => None,
            },
        })
    }
}

impl<'t> From<Vec<Child<'t>>> for Held<'t> {
    fn from(children: Vec<Child<'t>>) -> Self {
        Self::Listed(children.into_iter())
    }
}

/// What a container holds; `None` if the value is none.
///
/// # Errors
/// `Limit` if the budget is spent, `Io` if there is no memory left.
pub(super) fn children<'t>(
    tree: &'t Tree<'_>,
    node: NodeId,
    budget: &mut Budget,
) -> Result<Option<Held<'t>>> {
    Ok(match tree.value(node) {
        Value::Tuple(items) | Value::List(items) | Value::Set(items) => {
            Some(Held::Numbered(items, 0))
        }
        Value::Dict(pairs) => Some(Held::Pairs(pairs, 0)),
        Value::Object(object) => object_children(tree, object, budget)?,
        _ => None,
    })
}

fn object_children<'t>(
    tree: &'t Tree<'_>,
    object: &'t Object,
    budget: &mut Budget,
) -> Result<Option<Held<'t>>> {
    let global = tree.global(object.callable);
    let name = global.map_or(("", ""), |global| (global.module, global.name));
    if is_plain_data(name) {
        return Ok(None);
    }
    let arguments = tree.sequence(object.arguments).unwrap_or_default();
    if name.0 == "torch.jit._pickle" {
        // Lists of TorchScript: the first argument is the list, or a value with its type.
        let Some(first) = arguments.get(..1) else {
            return Ok(None);
        };
        return Ok(Some(match first.first().map(|&first| tree.value(first)) {
            Some(Value::Tuple(items) | Value::List(items)) => Held::Numbered(items, 0),
            Some(Value::Dict(pairs)) => Held::Pairs(pairs, 0),
            _ => Held::Numbered(first, 0),
        }));
    }
    if name.1 == "_reconstruct" && name.0.starts_with("numpy.") {
        // An array of objects: its items.
        let state = object.state.and_then(|state| tree.sequence(state));
        let items = state.and_then(|state| tree.sequence(*state.get(4)?));
        return Ok(Some(Held::Numbered(items.unwrap_or_default(), 0)));
    }
    let pairs = tree.object_pairs(object);
    if is_container(name) && !pairs.is_empty() && arguments.is_empty() {
        // What `state_dict` gives: nothing beside the pairs.
        return Ok(Some(Held::Pairs(pairs, 0)));
    }
    let mut found = Vec::new();
    let mut list = Children {
        tree,
        found: &mut found,
        budget,
    };
    list.items(object)?;
    if !is_container(name) {
        list.numbered(arguments)?;
        if let Some(state) = object.state {
            list.state_children(state)?;
        }
    }
    Ok(Some(found.into()))
}

/// Adds what the saved attributes of an object hold.
///
/// # Errors
/// As [`children`].
pub(super) fn state_children<'t>(
    tree: &'t Tree<'_>,
    state: NodeId,
    found: &mut Vec<Child<'t>>,
    budget: &mut Budget,
) -> Result<()> {
    if matches!(tree.value(state), Value::None) {
        return Ok(());
    }
    Children {
        tree,
        found,
        budget,
    }
    .state_children(state)
}

/// Collects children, charged before they are listed.
struct Children<'t, 'a, 'l> {
    tree: &'t Tree<'a>,
    found: &'l mut Vec<Child<'t>>,
    budget: &'l mut Budget,
}

impl<'t> Children<'t, '_, '_> {
    /// What was put into an object by SETITEM and APPEND, and the pairs that the pickles of Python 2
    /// give an `OrderedDict` as a list of lists.
    fn items(&mut self, object: &'t Object) -> Result<()> {
        self.labelled(self.tree.object_pairs(object))?;
        self.numbered(self.tree.object_items(object))?;
        let global = self.tree.global(object.callable);
        if !global.is_some_and(|global| is_container((global.module, global.name))) {
            return Ok(());
        }
        let first = first_sequence(self.tree, object).unwrap_or_default();
        self.budget.reserve(self.found, first.len())?;
        for (place, &pair) in first.iter().enumerate() {
            let child = match self.tree.sequence(pair) {
                Some(&[key, value]) => (label(self.tree, key, place, self.budget)?, value),
                _ => (number(place), pair),
            };
            self.found.push(child);
        }
        Ok(())
    }

    /// The attributes of an object; for a module those of its `state_dict`.
    fn state_children(mut self, state: NodeId) -> Result<()> {
        let pairs = match self.tree.value(state) {
            Value::Dict(pairs) => pairs,
            // Attributes, then slots.
            Value::Tuple(&[attributes, slots]) => {
                for part in [attributes, slots] {
                    if let Value::Dict(pairs) = self.tree.value(part) {
                        self.labelled(pairs)?;
                    }
                }
                return Ok(());
            }
            _ => {
                self.budget.grow(self.found)?;
                self.found.push((Label::Text("state"), state));
                return Ok(());
            }
        };
        let tree = self.tree;
        let attribute = |wanted: &str| {
            pairs.chunks_exact(2).find_map(|pair| match pair {
                &[key, value] if tree.is_text(key, wanted) => Some(value),
                _ => None,
            })
        };
        let (Some(parameters), Some(modules)) = (attribute("_parameters"), attribute("_modules"))
        else {
            return self.labelled(pairs);
        };
        self.mapping(parameters)?;
        if let Some(buffers) = attribute("_buffers") {
            let hidden = attribute("_non_persistent_buffers_set");
            self.buffers(buffers, hidden)?;
        }
        self.mapping(modules)
    }

    /// The buffers of a module without those that its `state_dict` leaves out.
    fn buffers(&mut self, buffers: NodeId, hidden: Option<NodeId>) -> Result<()> {
        let mut names = HashMap::new();
        for &item in hidden.map_or(&[][..], |set| members(self.tree, set)) {
            if let Some(name) = self.tree.str(item) {
                self.budget.grow_map(&mut names)?;
                names.insert(name, ());
            }
        }
        let start = self.found.len();
        self.mapping(buffers)?;
        let mut place = 0_usize;
        self.found.retain(|(label, _)| {
            let is_buffer = place >= start;
            place = place.saturating_add(1);
            !is_buffer || !matches!(label, Label::Text(name) if names.contains_key(name))
        });
        Ok(())
    }

    /// The pairs of a dict or of an `OrderedDict`.
    fn mapping(&mut self, node: NodeId) -> Result<()> {
        match self.tree.value(node) {
            Value::Dict(pairs) => self.labelled(pairs),
            Value::Object(object) => self.items(object),
            _ => Ok(()),
        }
    }

    fn labelled(&mut self, pairs: &[NodeId]) -> Result<()> {
        self.budget.reserve(self.found, pairs.len() / 2)?;
        for (place, pair) in pairs.chunks_exact(2).enumerate() {
            if let &[key, value] = pair {
                let label = label(self.tree, key, place, self.budget)?;
                self.found.push((label, value));
            }
        }
        Ok(())
    }

    fn numbered(&mut self, items: &[NodeId]) -> Result<()> {
        self.budget.reserve(self.found, items.len())?;
        let items = items.iter().enumerate();
        self.found
            .extend(items.map(|(place, &item)| (number(place), item)));
        Ok(())
    }
}

fn label<'t>(
    tree: &'t Tree<'_>,
    key: NodeId,
    place: usize,
    budget: &mut Budget,
) -> Result<Label<'t>> {
    Ok(match (tree.str(key), tree.int(key)) {
        (Some(text), _) => Label::Text(text),
        (_, Some(number)) => Label::Number(number),
        _ => match described(tree, key, budget)? {
            Some(text) => Label::Described(text),
            None => Label::Place(place),
        },
    })
}

/// A short tuple of numbers and texts, as Python prints it.
fn described(tree: &Tree<'_>, key: NodeId, budget: &mut Budget) -> Result<Option<String>> {
    const LONGEST: usize = 8;
    let items = tree.sequence(key);
    let Some(items) = items.filter(|items| items.len() <= LONGEST) else {
        return Ok(None);
    };
    let mut text = String::from("(");
    for (place, &item) in items.iter().enumerate() {
        let number;
        let (quote, part) = match tree.value(item) {
            Value::Int(value) => {
                number = value.to_string();
                ("", number.as_str())
            }
            Value::Bool(true) => ("", "True"),
            Value::Bool(false) => ("", "False"),
            Value::None => ("", "None"),
            _ => match tree.str(item) {
                Some(part) => ("'", part),
                None => return Ok(None),
            },
        };
        // The quotes, a comma and a space, and what may end the tuple.
        budget.room(&mut text, part.len().saturating_add(6))?;
        let separator = if place == 0 { "" } else { ", " };
        for piece in [separator, quote, part, quote] {
            text.push_str(piece);
        }
    }
    text.push_str(if items.len() == 1 { ",)" } else { ")" });
    Ok(Some(text))
}

/// The items of a set: protocols below 4 write it as a call with a list.
fn members<'t>(tree: &'t Tree<'_>, set: NodeId) -> &'t [NodeId] {
    let items = match tree.value(set) {
        Value::Set(items) => Some(items),
        Value::Object(object) => first_sequence(tree, object),
        _ => None,
    };
    items.unwrap_or_default()
}

/// The first argument of a call, if it is a list or tuple.
fn first_sequence<'t>(tree: &'t Tree<'_>, object: &Object) -> Option<&'t [NodeId]> {
    let arguments = tree.sequence(object.arguments)?;
    tree.sequence(*arguments.first()?)
}

fn number<'t>(place: usize) -> Label<'t> {
    Label::Number(i64::try_from(place).unwrap_or(i64::MAX))
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
