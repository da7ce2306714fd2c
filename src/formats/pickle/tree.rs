//! What a pickle describes, as nodes in an arena: ids instead of references, nothing to run.
//!
//! Strings and bytes stay in the input. A container that is filled after it was shared is seen
//! filled by everybody, because all share its id. Walking a tree is the caller's affair: a tree may
//! contain itself, or describe 2^64 leaves in 454 bytes.

use std::fmt;
use std::num::NonZeroU32;

use super::global::{Global, GlobalNode, Name};
use super::opcode::Opcode;
use crate::bytes::{to_u64, to_usize};
use crate::limits::Budget;

/// Bytes of the longest name, key or other text that is looked at as such. Honest ones have fewer than
/// 200.
pub const LONGEST_NAME: usize = 4096;

/// The place of a node in its [`Tree`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(NonZeroU32);

impl NodeId {
    /// The id of the node at this place; counted from 1 inside, so that an `Option` of it has the same size.
    #[inline]
    pub(super) fn at(position: usize) -> Option<Self> {
        let number = u32::try_from(position).ok()?.checked_add(1)?;
        NonZeroU32::new(number).map(Self)
    }

    /// The place in the order in which the pickle makes its values, from 0. Mentions of one small number, and
    /// of other values that are always the same, share one place.
    #[must_use]
    #[inline]
    pub fn position(self) -> usize {
        usize::try_from(self.0.get()).map_or(usize::MAX, |number| number.wrapping_sub(1))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#{}", self.position())
    }
}

/// One value. 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// Two's complement, little-endian, of more than 8 bytes.
    BigInt(usize, u32),
    /// Decimal digits that exceed 64 bits.
    BigDecimal,
    Float(f64),
    /// UTF-8.
    Str(usize, u32),
    /// UTF-8 but for lone surrogates.
    SurrogateStr(usize, u32),
    /// UTF-8 from the pool of decoded strings, surrogates allowed.
    DecodedStr(usize, u32),
    /// A string of Python 2: bytes that were text.
    ByteString(usize, u32),
    DecodedByteString(usize, u32),
    Bytes(usize, u32),
    ByteArray(usize, u32),
    /// Items in [`Tree::items`], and the steps that a hash takes: [`NO_HASH`] if there is none.
    Tuple(usize, u32, u16),
    /// Index into [`Tree::containers`], or `EMPTY`.
    List(u32),
    Dict(u32),
    Set(u32),
    FrozenSet(usize, u32),
    /// Index into [`Tree::globals`].
    Global(u32),
    /// Index into [`Tree::objects`].
    Object(u32),
    PersistentId(NodeId),
    /// A code of the extension registry: what it means depends on the process.
    Extension(i32),
    Buffer,
}

/// In place of a tuple's steps: an item has no hash.
pub(super) const NO_HASH: u16 = u16::MAX;
/// So many steps or more.
pub(super) const MOST_HASH: u16 = u16::MAX - 1;

/// The container index of a list, dict or set that nothing was added to yet.
pub(super) const EMPTY: u32 = u32::MAX;

/// The result of a call that was not made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Object {
    /// REDUCE, NEWOBJ, NEWOBJ_EX, INST or OBJ.
    pub opcode: Opcode,
    /// What would be called: a global in honest files.
    pub callable: NodeId,
    /// The arguments: a tuple in honest files.
    pub arguments: NodeId,
    /// Keyword arguments, for NEWOBJ_EX.
    pub keywords: Option<NodeId>,
    /// The state given by the last BUILD.
    pub state: Option<NodeId>,
    /// What was appended or set: single items or key-value pairs.
    pub(super) items: u32,
    /// Whether `items` are pairs.
    pub(super) pairs: bool,
    /// Offset of the opcode.
    pub offset: u64,
}

/// A value of a pickle, as seen by a caller.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Value<'t> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A larger integer: two's complement, little-endian; empty if it was written in decimal.
    BigInt(&'t [u8]),
    /// A float.
    Float(f64),
    /// Text; bytes that are UTF-8 but for lone surrogates.
    Str(&'t [u8]),
    /// A string of Python 2.
    ByteString(&'t [u8]),
    /// Bytes.
    Bytes(&'t [u8]),
    /// A byte array.
    ByteArray(&'t [u8]),
    /// A tuple.
    Tuple(&'t [NodeId]),
    /// A list.
    List(&'t [NodeId]),
    /// A dict: key, value, key, value, …
    Dict(&'t [NodeId]),
    /// A set or frozen set.
    Set(&'t [NodeId]),
    /// A module and name, as CPython looks them up.
    Global(Global<'t>),
    /// The result of a call that was not made.
    Object(&'t Object),
    /// Whatever the loader's `persistent_load` gives for this value.
    PersistentId(NodeId),
    /// A code of the extension registry.
    Extension(i32),
    /// An out-of-band buffer.
    Buffer,
}

impl Value<'_> {
    /// What kind of value it is, in Python's words.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) | Self::BigInt(_) => "an int",
            Self::Float(_) => "a float",
            Self::Str(_) | Self::ByteString(_) => "a str",
            Self::Bytes(_) | Self::ByteArray(_) => "bytes",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Set(_) => "a set",
            Self::Global(_) => "a global",
            Self::Object(_) => "an object",
            Self::PersistentId(_) => "a persistent id",
            Self::Extension(_) => "an extension code",
            Self::Buffer => "a buffer",
        }
    }
}

/// The arena of one pickle.
pub struct Tree<'a> {
    pub(super) input: &'a [u8],
    pub(super) base: u64,
    pub(super) decoded: Vec<u8>,
    pub(super) nodes: Vec<Node>,
    pub(super) items: Vec<NodeId>,
    pub(super) containers: Vec<Vec<NodeId>>,
    pub(super) globals: Vec<GlobalNode<'a>>,
    pub(super) objects: Vec<Object>,
    /// Mentions of values beyond those that have a node of their own.
    pub(super) shared: u64,
}

impl Tree<'_> {
    /// How many values there are. A small number counts once, however often it is written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// How many values the pickle writes: what one visit of each takes.
    pub(crate) fn written(&self) -> u64 {
        to_u64(self.nodes.len()).saturating_add(self.shared)
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The value of an id.
    #[must_use]
    pub fn value(&self, id: NodeId) -> Value<'_> {
        let Some(node) = self.node(id) else {
            return Value::None;
        };
        match node {
            Node::None => Value::None,
            Node::Bool(value) => Value::Bool(value),
            Node::Int(value) => Value::Int(value),
            Node::BigInt(start, length) => Value::BigInt(self.bytes(start, length, false)),
            Node::BigDecimal => Value::BigInt(&[]),
            Node::Float(value) => Value::Float(value),
            Node::Str(start, length) | Node::SurrogateStr(start, length) => {
                Value::Str(self.bytes(start, length, false))
            }
            Node::DecodedStr(start, length) => Value::Str(self.bytes(start, length, true)),
            Node::ByteString(start, length) => Value::ByteString(self.bytes(start, length, false)),
            Node::DecodedByteString(start, length) => {
                Value::ByteString(self.bytes(start, length, true))
            }
            Node::Bytes(start, length) => Value::Bytes(self.bytes(start, length, false)),
            Node::ByteArray(start, length) => Value::ByteArray(self.bytes(start, length, false)),
            Node::Tuple(start, length, _) => Value::Tuple(self.range(start, length)),
            Node::FrozenSet(start, length) => Value::Set(self.range(start, length)),
            Node::List(container) => Value::List(self.container(container)),
            Node::Dict(container) => Value::Dict(self.container(container)),
            Node::Set(container) => Value::Set(self.container(container)),
            Node::Global(global) => self.global_at(global).map_or(Value::None, Value::Global),
            Node::Object(object) => self.object_at(object).map_or(Value::None, Value::Object),
            Node::PersistentId(value) => Value::PersistentId(value),
            Node::Extension(code) => Value::Extension(code),
            Node::Buffer => Value::Buffer,
        }
    }

    /// The text, if the value is text of either Python, valid UTF-8 and at most [`LONGEST_NAME`] bytes
    /// long: short enough to be looked at again and again, as a memo lets a file ask for.
    #[must_use]
    pub fn str(&self, id: NodeId) -> Option<&str> {
        match self.value(id) {
            Value::Str(text) | Value::ByteString(text) if text.len() <= LONGEST_NAME => {
                std::str::from_utf8(text).ok()
            }
            _ => None,
        }
    }

    /// Whether the value is such text, without looking at it again.
    pub(super) fn is_str(&self, id: NodeId) -> bool {
        match self.node(id) {
            Some(Node::Str(_, length)) => {
                to_usize(length.into()).is_some_and(|length| length <= LONGEST_NAME)
            }
            _ => self.str(id).is_some(),
        }
    }

    /// Whether the value is this text, of either Python.
    pub(crate) fn is_text(&self, id: NodeId, wanted: &str) -> bool {
        match self.node(id) {
            Some(Node::Str(start, length) | Node::ByteString(start, length)) => {
                self.bytes(start, length, false) == wanted.as_bytes()
            }
            _ => self.str(id) == Some(wanted),
        }
    }

    /// The integer, if the value is one of at most 64 bits. A boolean is none.
    #[must_use]
    pub fn int(&self, id: NodeId) -> Option<i64> {
        match self.node(id) {
            Some(Node::Int(value)) => Some(value),
            _ => None,
        }
    }

    /// The items, if the value is a tuple or list.
    #[must_use]
    pub fn sequence(&self, id: NodeId) -> Option<&[NodeId]> {
        match self.node(id)? {
            Node::Tuple(start, length, _) => Some(self.range(start, length)),
            Node::List(container) => Some(self.container(container)),
            _ => None,
        }
    }

    /// The global, if the value is one.
    #[must_use]
    pub fn global(&self, id: NodeId) -> Option<Global<'_>> {
        match self.node(id)? {
            Node::Global(global) => self.global_at(global),
            _ => None,
        }
    }

    /// The object, if the value is one.
    #[must_use]
    pub fn object(&self, id: NodeId) -> Option<&Object> {
        match self.node(id)? {
            Node::Object(object) => self.object_at(object),
            _ => None,
        }
    }

    /// Key, value, key, value, …: what SETITEM and SETITEMS put into an object.
    #[must_use]
    pub fn object_pairs(&self, object: &Object) -> &[NodeId] {
        if object.pairs {
            self.container(object.items)
        } else {
            &[]
        }
    }

    /// What APPEND, APPENDS and ADDITEMS put into an object.
    #[must_use]
    pub fn object_items(&self, object: &Object) -> &[NodeId] {
        if object.pairs {
            &[]
        } else {
            self.container(object.items)
        }
    }

    /// Where the bytes of a bytes value lie in the file; `None` for other values.
    #[must_use]
    pub fn bytes_offset(&self, id: NodeId) -> Option<u64> {
        match self.node(id)? {
            Node::Bytes(start, _) | Node::ByteArray(start, _) | Node::ByteString(start, _) => {
                self.base.checked_add(to_u64(start))
            }
            _ => None,
        }
    }

    /// Gives back the room that is left in the lists.
    pub(super) fn shrink(&mut self, budget: &mut Budget) {
        shrink(&mut self.nodes, budget);
        shrink(&mut self.items, budget);
        shrink(&mut self.objects, budget);
    }

    #[inline]
    pub(super) fn node(&self, id: NodeId) -> Option<Node> {
        self.nodes.get(id.position()).copied()
    }

    pub(super) fn global_at<'t>(&'t self, global: u32) -> Option<Global<'t>> {
        let (module, name, translation) = match self.globals.get(usize::try_from(global).ok()?)? {
            GlobalNode::Found(global) => return Some(*global),
            GlobalNode::Decoded {
                module,
                name,
                translation,
            } => (*module, *name, *translation),
        };
        let text = |name: Name<'t>| match name {
            Name::Written(name) => name,
            Name::Decoded(start, length) => {
                std::str::from_utf8(self.bytes(start, length, true)).unwrap_or_default()
            }
        };
        Some(Global::found(text(module), text(name), translation))
    }

    fn object_at(&self, object: u32) -> Option<&Object> {
        self.objects.get(usize::try_from(object).ok()?)
    }

    fn container(&self, container: u32) -> &[NodeId] {
        usize::try_from(container)
            .ok()
            .and_then(|container| self.containers.get(container))
            .map_or(&[], Vec::as_slice)
    }

    fn range(&self, start: usize, length: u32) -> &[NodeId] {
        slice(&self.items, start, length)
    }

    fn bytes(&self, start: usize, length: u32, decoded: bool) -> &[u8] {
        let pool = if decoded { &self.decoded } else { self.input };
        slice(pool, start, length)
    }
}

fn shrink<T>(list: &mut Vec<T>, budget: &mut Budget) {
    let before = list.capacity();
    list.shrink_to_fit();
    let freed = before.saturating_sub(list.capacity());
    budget.refund_heap(to_u64(freed.saturating_mul(size_of::<T>())));
}

fn slice<T>(pool: &[T], start: usize, length: u32) -> &[T] {
    usize::try_from(length)
        .ok()
        .and_then(|length| start.checked_add(length))
        .and_then(|end| pool.get(start..end))
        .unwrap_or_default()
}

impl fmt::Debug for Tree<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nodes are left out: printing must not follow what a file describes.
        write!(formatter, "Tree({} values)", self.nodes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_is_left_is_given_back() {
        let limits = crate::limits::Limits {
            heap_bytes: 4 * 100,
            ..crate::limits::Limits::default()
        };
        let mut budget = Budget::new(limits, crate::limits::Strictness::Strict);
        let mut list: Vec<u32> = Vec::new();
        budget.reserve(&mut list, 100).unwrap();
        list.extend(0..10);
        shrink(&mut list, &mut budget);
        assert_eq!(list.capacity(), 10);
        assert!(budget.spend_heap(4 * 90 + 1).is_err());
        budget.spend_heap(4 * 90).unwrap();
    }
}
