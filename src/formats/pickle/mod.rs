//! Python pickles, walked and never executed.
//!
//! A pickle is a program for a stack machine. [`load`] simulates that machine (the real stack, the
//! real memo, by reference) and gives a [`Tree`] of what the program describes, while a [`Sink`]
//! hears what loading it with Python would do: which globals it would import, what it would call.
//! There is no function in this module that could be called on a file's behalf.
//!
//! Rules: CPython 3.11 `Lib/pickle.py`, `Modules/_pickle.c`; protocols 0 to 5, all 68 opcodes.
//! Stricter than CPython: numbers written as text must be plain decimals; what follows others is heard all the same.
//!
//! ```text
//! | PROTO 2 | GLOBAL "torch._utils\n_rebuild_tensor_v2\n" | MARK | … | TUPLE | REDUCE | … | STOP |
//! ```

mod event;
mod global;
pub mod judge;
mod machine;
mod memo;
mod opcode;
mod python2;
mod text;
mod tree;

pub use event::{Anomaly, Event, EventKind, Sink};
pub use global::Global;
pub use judge::{Judge, Surroundings};
pub use opcode::Opcode;
pub use tree::{LONGEST_NAME, NodeId, Object, Tree, Value};

use crate::error::{Context, Error, ErrorKind, Format, Malformed, Result};
use crate::limits::Budget;

/// A pickle that was walked to its end.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded<'a> {
    /// Every value.
    pub tree: Tree<'a>,
    /// What the pickle describes.
    pub root: NodeId,
    /// How many bytes of the input it took, STOP included.
    pub length: usize,
}

/// Walks the pickle at the start of `input`, which stands at file offset `base`.
///
/// # Errors
/// `Malformed` where CPython would raise, with the offset of the opcode; `Limit` if a limit is
/// reached. The events before that were delivered.
///
/// # Example
/// ```
/// use weighbridge::formats::pickle::{Event, EventKind, Tree, load};
/// use weighbridge::limits::Budget;
/// let mut wanted = Vec::new();
/// let mut sink = |event: &Event, tree: &Tree<'_>| {
///     if let EventKind::Global(id) = event.kind {
///         let global = tree.global(id).unwrap();
///         wanted.push(format!("{}.{}", global.module, global.name));
///     }
/// };
/// load(b"cos\nsystem\n(S'id'\ntR.", 0, &mut sink, &mut Budget::default())?;
/// assert_eq!(wanted, ["os.system"]);
/// # Ok::<(), weighbridge::Error>(())
/// ```
pub fn load<'a>(
    input: &'a [u8],
    base: u64,
    sink: &mut dyn Sink,
    budget: &mut Budget,
) -> Result<Loaded<'a>> {
    machine::Machine::new(input, base, sink, budget)
        .run()
        .in_format(Format::Pickle)
}

/// Whether bytes that have no magic number are a pickle of protocol 0 or 1: they walk to STOP, or to a
/// limit, or at least as far as something that would be imported. What follows an import may be broken on
/// purpose: the import would have happened.
///
/// # Example
/// ```
/// use weighbridge::formats::pickle::is_pickle;
/// assert!(is_pickle(b"(dp0\nS'a'\np1\nI1\ns."));
/// assert!(is_pickle(b"cos\nsystem\n(S'id'\ntR and then nonsense"));
/// assert!(!is_pickle(b"import this"));
/// ```
#[must_use]
pub fn is_pickle(input: &[u8]) -> bool {
    tried(input).is_none()
}

/// Whether a file of `length` bytes that starts with `start` may turn out to be a pickle, as [`is_pickle`] says of
/// all of it: what was walked is right, and the rest is there.
pub(crate) fn may_be_pickle(start: &[u8], length: u64) -> bool {
    tried(start).is_none_or(|error| match error.as_malformed() {
        Some(&Malformed::Truncated { needed, .. }) => {
            let end = error.offset().unwrap_or_default().checked_add(needed);
            end.is_some_and(|end| end <= length)
        }
        _ => false,
    })
}

/// Why bytes are no pickle.
fn tried(input: &[u8]) -> Option<Error> {
    let mut imports = false;
    let mut sink = |event: &Event, tree: &Tree<'_>| {
        if let EventKind::Global(id) = event.kind {
            imports |= tree.global(id).is_some_and(is_plausible);
        }
    };
    let error = walk(input, 0, &mut sink, &mut Budget::default()).err()?;
    (!imports && error.kind() != ErrorKind::Limit).then_some(error)
}

/// Whether a global has names that a module and something in it may have: other bytes hardly ever do.
pub(crate) fn is_plausible(global: Global<'_>) -> bool {
    let is_name = |text: &str| {
        let mut letters = text.chars();
        letters.all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '.'))
    };
    is_name(global.raw_module) && is_name(global.raw_name)
}

/// Walks a pickle for its events alone.
///
/// # Errors
/// As [`load`].
pub fn walk(input: &[u8], base: u64, sink: &mut dyn Sink, budget: &mut Budget) -> Result<()> {
    load(input, base, sink, budget).map(|_| ())
}
