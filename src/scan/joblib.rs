//! joblib's files: a pickle in which the bytes of an array follow the BUILD of its wrapper.
//!
//! ```text
//! NumpyArrayWrapper() BUILD {"shape": (2, 3), "dtype": dtype("f8"), …} | padding | 48 bytes | opcodes …
//! NumpyArrayWrapper() BUILD {"shape": (2,), "dtype": dtype("O8"), …}   | another pickle     | opcodes …
//! ```
//!
//! Source: joblib 1.5 `numpy_pickle.py` (`NumpyArrayWrapper.read_array`): the padding, of one byte that
//! counts and as many, only where the state has `numpy_array_alignment_bytes`.

use crate::error::{Error, Malformed, Result};
use crate::findings::{Finding, Findings, Severity, Verdict};
use crate::formats::pickle::{self, Event, EventKind, Judge, NodeId, Sink, Tree, Value};
use crate::limits::Budget;

const WRAPPER: (&str, &str) = ("joblib.numpy_pickle", "NumpyArrayWrapper");

/// Hears a pickle, and steps over the arrays of joblib.
pub(super) struct Listener {
    judge: Judge,
    base: u64,
    /// For pickles of arrays of objects.
    budget: Budget,
    foreign: bool,
    inner: Findings,
}

impl Listener {
    pub(super) fn new(judge: Judge, base: u64, budget: Budget) -> Self {
        Self {
            judge,
            base,
            budget,
            foreign: false,
            inner: Findings::default(),
        }
    }

    /// Whether there were arrays, what was heard, and what was heard of pickles inside.
    pub(super) fn into_parts(self) -> (bool, Judge, Findings) {
        (self.foreign, self.judge, self.inner)
    }

    /// Walks the pickle of an array of objects; gives its length.
    fn objects(&mut self, event: &Event, rest: &[u8]) -> Result<u64> {
        let mut judge = Judge::new("array of objects", self.budget.policy());
        let loaded = pickle::load(rest, event.offset, &mut judge, &mut self.budget);
        self.inner.append(judge.into_findings());
        match loaded {
            Ok(loaded) => Ok(crate::bytes::to_u64(loaded.length)),
            // Arrays of objects that hold arrays: not followed, and never called safe.
            Err(error) => {
                let severity = Severity::Verdict(Verdict::Incomplete);
                let message = "an array of objects, which was not followed to its end";
                self.inner
                    .push(Finding::new(severity, "joblib-objects", message).at(event.offset));
                Err(error)
            }
        }
    }
}

impl Sink for Listener {
    fn event(&mut self, event: &Event, tree: &Tree<'_>) {
        self.judge.event(event, tree);
    }

    fn foreign_bytes(&mut self, event: &Event, tree: &Tree<'_>, rest: &[u8]) -> Result<u64> {
        let EventKind::Build { target, state } = event.kind else {
            return Ok(0);
        };
        let class = tree
            .object(target)
            .and_then(|object| tree.global(object.callable));
        if class.is_none_or(|class| (class.module, class.name) != WRAPPER) {
            return Ok(0);
        }
        self.foreign = true;
        let Some(array) = Array::read(tree, state) else {
            return Err(Error::missing("key", "shape and dtype").at(self.base));
        };
        if array.objects {
            return self.objects(event, rest);
        }
        let padding = match (array.aligned, rest.first()) {
            (true, Some(&count)) => u64::from(count).saturating_add(1),
            _ => 0,
        };
        let bytes = array.elements.checked_mul(array.item_bytes);
        bytes
            .and_then(|bytes| bytes.checked_add(padding))
            .ok_or_else(|| {
                let what = "the bytes of an array";
                Error::malformed(Malformed::Overflow { what }).at(event.offset)
            })
    }
}

/// What the state of a wrapper says.
struct Array {
    elements: u64,
    item_bytes: u64,
    objects: bool,
    aligned: bool,
}

impl Array {
    fn read(tree: &Tree<'_>, state: NodeId) -> Option<Self> {
        let Value::Dict(pairs) = tree.value(state) else {
            return None;
        };
        // A wrapper has five or six attributes: what has many is none.
        const MOST: usize = 64;
        let find = |name: &str| {
            let mut pairs = pairs.chunks_exact(2).take(MOST);
            pairs.find_map(|pair| match *pair {
                [key, value] if tree.str(key) == Some(name) => Some(value),
                _ => None,
            })
        };
        let mut elements: u64 = 1;
        for &size in tree.sequence(find("shape")?)? {
            let size = u64::try_from(tree.int(size)?).ok()?;
            elements = elements.checked_mul(size)?;
        }
        let (item_bytes, objects) = item(tree, find("dtype")?)?;
        let aligned = find("numpy_array_alignment_bytes");
        Some(Self {
            elements,
            item_bytes,
            objects,
            aligned: aligned.is_some_and(|id| !matches!(tree.value(id), Value::None)),
        })
    }
}

/// Bytes of one element, and whether the elements are Python objects.
fn item(tree: &Tree<'_>, dtype: NodeId) -> Option<(u64, bool)> {
    let object = tree.object(dtype)?;
    let text = tree.str(*tree.sequence(object.arguments)?.first()?)?;
    let text = text.trim_start_matches(['<', '>', '=', '|']);
    let kind = text.chars().next()?;
    if kind == 'O' {
        return Some((0, true));
    }
    // `(3, "<", subtype, names, fields, item bytes, alignment, flags)`: given for texts and records.
    let state = object.state.and_then(|state| tree.sequence(state));
    let stated = state.and_then(|state| tree.int(*state.get(5)?));
    let digits: u64 = text.get(1..)?.parse().ok().unwrap_or(1);
    let bytes = match (stated, kind) {
        (Some(stated), _) if stated > 0 => u64::try_from(stated).ok()?,
        (_, 'U') => digits.checked_mul(4)?,
        _ => digits,
    };
    Some((bytes, false))
}
