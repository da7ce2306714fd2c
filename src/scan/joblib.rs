//! joblib's files: a pickle in which the bytes of an array follow the BUILD of its wrapper.
//!
//! ```text
//! NumpyArrayWrapper() BUILD {"shape": (2, 3), "dtype": dtype("f8"), …} | padding | 48 bytes | opcodes …
//! NumpyArrayWrapper() BUILD {"shape": (2,), "dtype": dtype("O8"), …}   | another pickle     | opcodes …
//! ```
//!
//! Source: joblib 1.5 `numpy_pickle.py` (`NumpyArrayWrapper.read_array`): the padding, of one byte that
//! counts and as many, only where the state has `numpy_array_alignment_bytes`. Releases before 1.2 know of
//! no padding, and a plain unpickler knows of no arrays: what either takes for opcodes is walked too.

use crate::error::{Error, Malformed, Result};
use crate::findings::{Finding, Findings, Severity, Verdict};
use crate::formats::pickle::{
    self, Event, EventKind, Global, Judge, NodeId, Opcode, Sink, Tree, Value,
};
use crate::limits::Budget;
use crate::shape;

const WRAPPER: (&str, &str) = ("joblib.numpy_pickle", "NumpyArrayWrapper");

/// Who loads the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Loader {
    Joblib,
    /// Of a release that takes no padding.
    Unpadded,
    /// Python's own unpickler.
    Plain,
}

/// Hears a pickle, and steps over the arrays of joblib.
pub(super) struct Listener {
    judge: Judge,
    base: u64,
    /// For pickles of arrays of objects.
    budget: Budget,
    loader: Loader,
    heard: Heard,
    inner: Findings,
    /// Where the last wrapper was made.
    last: Option<u64>,
}

/// What there was beside findings.
#[derive(Clone, Copy, Default)]
pub(super) struct Heard {
    /// Arrays between the opcodes.
    pub(super) arrays: bool,
    /// Some of them with padding before them.
    pub(super) padding: bool,
    /// Something with the name of a module is imported: bytes that are no pickle hardly ever do that. Of a
    /// loader other than joblib, after its way parted from joblib's.
    pub(super) imports: bool,
    /// Something is called; likewise.
    pub(super) calls: bool,
    /// It comes to a STOP, and may be refused all the same.
    pub(super) stops: bool,
}

impl Listener {
    pub(super) fn new(judge: Judge, base: u64, budget: Budget, loader: Loader) -> Self {
        Self {
            judge,
            base,
            budget,
            loader,
            heard: Heard::default(),
            inner: Findings::default(),
            last: None,
        }
    }

    /// What there was, what was heard, and what was heard of pickles inside.
    pub(super) fn into_parts(self) -> (Heard, Judge, Findings) {
        (self.heard, self.judge, self.inner)
    }

    /// Whether the walk is where joblib would be.
    const fn is_joblibs(&self) -> bool {
        match self.loader {
            Loader::Joblib => true,
            Loader::Unpadded => !self.heard.padding,
            Loader::Plain => !self.heard.arrays,
        }
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
        let astray = !self.is_joblibs();
        if astray || self.loader == Loader::Joblib {
            match event.kind {
                EventKind::Global(id) => {
                    self.heard.imports |= tree.global(id).is_some_and(pickle::is_plausible);
                }
                EventKind::Call { .. } => self.heard.calls = true,
                EventKind::Stop => self.heard.stops = true,
                _ => {}
            }
        }
        // Another way through an honest file is odd all along: what counts is what it would run.
        if !(astray && matches!(event.kind, EventKind::Anomaly(_))) {
            self.judge.event(event, tree);
        }
    }

    fn foreign_bytes(&mut self, event: &Event, tree: &Tree<'_>, rest: &[u8]) -> Result<u64> {
        let EventKind::Build { target, state } = event.kind else {
            return Ok(0);
        };
        if !is_wrapper(tree, target).map_err(|error| error.at(event.offset))? {
            return Ok(0);
        }
        // joblib replaces the wrapper by the array: a second state would be another object's.
        let made_at = tree.object(target).map(|object| object.offset);
        if self.last.is_some_and(|last| made_at <= Some(last)) {
            let found = "one that has its array";
            return Err(Error::unexpected("a wrapper", found, "a new one").at(event.offset));
        }
        self.last = made_at;
        self.heard.arrays = true;
        if self.loader == Loader::Plain {
            return Ok(0);
        }
        let Some(array) = Array::read(tree, state) else {
            return Err(Error::missing("key", "shape and dtype").at(self.base));
        };
        if array.objects {
            return self.objects(event, rest);
        }
        self.heard.padding |= array.aligned;
        let padded = array.aligned && self.loader == Loader::Joblib;
        let padding = match (padded, rest.first()) {
            (true, Some(&count)) => u64::from(count).saturating_add(1),
            _ => 0,
        };
        let bytes = shape::bytes(array.elements, array.item_bytes);
        bytes
            .and_then(|bytes| bytes.checked_add(padding))
            .ok_or_else(|| {
                let what = "the bytes of an array";
                Error::malformed(Malformed::Overflow { what }).at(event.offset)
            })
    }
}

/// Whether an object is a wrapper: made without arguments, which would be attributes that the state leaves
/// out.
fn is_wrapper(tree: &Tree<'_>, target: NodeId) -> Result<bool> {
    let is = |class: Option<Global<'_>>, of: (&str, &str)| {
        class.is_some_and(|class| (class.module, class.name) == of)
    };
    let Some(object) = tree.object(target) else {
        return Ok(false);
    };
    let arguments = tree.sequence(object.arguments).unwrap_or_default();
    let class = tree.global(object.callable);
    if is(class, WRAPPER) && object.opcode == Opcode::NewObj && arguments.is_empty() {
        return Ok(true);
    }
    let named = arguments
        .iter()
        .take(16)
        .any(|&id| is(tree.global(id), WRAPPER));
    // As protocols 0 and 1 write it.
    if let (true, &[_, base, state]) = (named, arguments)
        && is(class, ("copyreg", "_reconstructor"))
        && is(tree.global(base), ("builtins", "object"))
        && matches!(tree.value(state), Value::None)
    {
        return Ok(true);
    }
    if is(class, WRAPPER) || named {
        let found = "made in another way";
        return Err(Error::unexpected("an array's wrapper", found, "made empty"));
    }
    Ok(false)
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
        /// A wrapper has five or six attributes: what has many is none.
        const MOST: usize = 16;
        let Value::Dict(pairs) = tree.value(state) else {
            return None;
        };
        let mut keys: Vec<&str> = Vec::new();
        for &key in pairs.iter().step_by(2).take(MOST) {
            keys.push(tree.str(key)?);
        }
        keys.sort_unstable();
        // Of two values for one key, Python takes the last.
        if pairs.len() > MOST || keys.windows(2).any(|pair| pair.first() == pair.last()) {
            return None;
        }
        let find = |name: &str| {
            let mut pairs = pairs.chunks_exact(2);
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

/// Bytes of one element, and whether the elements are Python objects; `None` if NumPy could see another size.
fn item(tree: &Tree<'_>, dtype: NodeId) -> Option<(u64, bool)> {
    let object = tree.object(dtype)?;
    let text = tree.str(*tree.sequence(object.arguments)?.first()?)?;
    let text = text.strip_prefix(['<', '>', '=', '|']).unwrap_or(text);
    let kind = text.chars().next()?;
    // `(3, "<", subtype, names, fields, item bytes, alignment, flags)`: the size for texts and records, else -1.
    let (stated, flags) = match object.state {
        None => (None, None),
        Some(state) => {
            let state = tree.sequence(state)?;
            let number = |place: usize| tree.int(*state.get(place)?);
            (Some(number(5)?), Some(number(7)?))
        }
    };
    if kind == 'O' || flags.is_some_and(|flags| flags & 1 == 1) {
        return flags
            .is_none_or(|flags| flags & 1 == 1)
            .then_some((0, true));
    }
    let digits: u64 = match text.get(1..)? {
        "" if matches!(kind, '?' | 'b' | 'B') => 1,
        digits => digits.parse().ok()?,
    };
    let bytes = match kind {
        'U' => digits.checked_mul(4)?,
        _ => digits,
    };
    let right = stated.is_none_or(|stated| stated == -1 || u64::try_from(stated) == Ok(bytes));
    right.then_some((bytes, false))
}
