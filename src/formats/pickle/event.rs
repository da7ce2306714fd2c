//! What happens while a pickle is walked, for those who judge it.

use super::opcode::Opcode;
use super::tree::{NodeId, Tree};
use crate::error::Result;

/// Something that loading the pickle would do, or that no honest pickle does.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Event {
    /// Offset of the opcode in the file.
    pub offset: u64,
    /// The opcode.
    pub opcode: Opcode,
    /// What it would do.
    pub kind: EventKind,
}

/// The kinds of [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// Import a module and look a name up in it.
    Global(NodeId),
    /// Take an object from the extension registry.
    Extension(i32),
    /// Call something.
    Call {
        /// What is called.
        callable: NodeId,
        /// With what.
        arguments: NodeId,
        /// Keyword arguments, for NEWOBJ_EX.
        keywords: Option<NodeId>,
    },
    /// Give a state to an object: `__setstate__`, or its attributes.
    Build {
        /// The object.
        target: NodeId,
        /// The state.
        state: NodeId,
    },
    /// Call `append`, `extend`, `add` or `__setitem__` of something that is no list, set or dict.
    Mutation(NodeId),
    /// Ask the loader for an object of its own.
    PersistentId(NodeId),
    /// What no pickler writes.
    Anomaly(Anomaly),
    /// The end of the pickle.
    Stop,
}

/// What no pickler writes, though CPython may accept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Anomaly {
    /// A frame reaches past the input, starts inside another, or cuts an opcode.
    Frame,
    /// Values or marks are left when the pickle stops.
    Leftover,
    /// A call whose arguments are no tuple, or whose keywords are no dict.
    Arguments,
    /// A call of plain data.
    NotCallable,
    /// A state for plain data, or items for a tuple or other plain data.
    PlainTarget,
    /// A memo index far beyond the number of values.
    SparseMemo,
    /// The protocol changes after the first opcode.
    Protocol,
    /// A key of a dict, or an item of a set, that has no hash: a list, dict, set or byte array.
    Unhashable,
    /// A buffer that stands outside the pickle, which nobody hands to the loader; or anything else made
    /// read-only.
    Buffer,
    /// A number that is written as no pickler writes it: with white space, underscores or another base.
    Number,
    /// A key whose hash takes longer than the file is: tuples that hold one tuple many times.
    HashBomb,
}

impl Anomaly {
    /// A stable machine-readable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Leftover => "leftover",
            Self::Arguments => "arguments",
            Self::NotCallable => "not-callable",
            Self::PlainTarget => "plain-target",
            Self::SparseMemo => "sparse-memo",
            Self::Protocol => "protocol",
            Self::Unhashable => "unhashable",
            Self::Buffer => "buffer",
            Self::Number => "number",
            Self::HashBomb => "hash-bomb",
        }
    }
}

/// Takes the events of a walk as they happen; what came before an error stays taken.
pub trait Sink {
    /// Takes one event. Values stand in `tree`, as far as it is built.
    fn event(&mut self, event: &Event, tree: &Tree<'_>);

    /// How many bytes that are no opcodes follow the BUILD just heard of, of the `rest` of the input: a
    /// loader that reads from the file while it loads, as joblib's does, takes them. None by default.
    ///
    /// # Errors
    /// Whatever is wrong with them; the walk ends with it.
    fn foreign_bytes(&mut self, event: &Event, tree: &Tree<'_>, rest: &[u8]) -> Result<u64> {
        let _ = (event, tree, rest);
        Ok(0)
    }
}

/// Ignores every event.
impl Sink for () {
    fn event(&mut self, _: &Event, _: &Tree<'_>) {}
}

impl<F: FnMut(&Event, &Tree<'_>)> Sink for F {
    fn event(&mut self, event: &Event, tree: &Tree<'_>) {
        self(event, tree);
    }
}
