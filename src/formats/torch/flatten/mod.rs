//! Walks what a pickle describes and names its tensors by the path to them.
//!
//! The walk keeps its own list of open containers: a file may nest a million tuples, contain itself
//! or share one container a billion times over. Sharing is honest (`{"model": x, "ema": x}`), so
//! a container may be entered several times, but all visits together are bounded by the number of
//! values in the pickle.

mod push;

use std::collections::HashMap;

use crate::bytes::{Endian, Span, room, to_u64};
use crate::dtype::DType;
use crate::error::{Context, Error, Result, shortened};
use crate::findings::{Finding, Severity};
use crate::formats::pickle::{Loaded, NodeId, Tree, Value};
use crate::formats::torch::buffers::Buffers;
use crate::formats::torch::children::{Held, Label, children, state_children};
use crate::formats::torch::numpy;
use crate::formats::torch::rebuild::{Rebuilt, Spec, rebuild};
use crate::formats::torch::storages::Storages;
use crate::index::{Builder, ValueType};
use crate::limits::{Budget, Limit};

/// Bytes of names per byte of pickle. Honest files stay below 2.
const NAMES_PER_BYTE: u64 = 8;

/// The name of a tensor that is the whole object.
const ROOT: &str = "tensor";

/// Where a pickle came from, and what its tensors are called.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stream<'p> {
    /// What stands before every name.
    pub(super) prefix: &'p str,
    /// The source that holds the pickle itself.
    pub(super) source: u32,
    /// Whether a storage may be missing: then its tensors are listed without bytes.
    pub(super) partial: bool,
}

/// Adds every tensor of `loaded` to `builder`, and decoded arrays to `buffers`.
pub(super) fn tensors(
    loaded: &Loaded<'_>,
    stream: Stream<'_>,
    storages: &mut Storages<'_>,
    buffers: &mut Buffers,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    let values = loaded.tree.written();
    // Most tensors have a storage of their own, and one or two dimensions.
    if builder.is_empty() {
        let dimensions = storages.len().saturating_mul(2);
        builder.reserve(storages.len(), dimensions, budget)?;
    }
    let path = budget.join(&[stream.prefix])?;
    let mut on_path = Vec::new();
    budget.reserve(&mut on_path, loaded.tree.len())?;
    on_path.resize(loaded.tree.len(), false);
    let mut walk = Walk {
        tree: &loaded.tree,
        stream,
        storages,
        buffers,
        arrays: HashMap::new(),
        builder,
        budget,
        path,
        open: Vec::new(),
        on_path,
        visits_left: values.saturating_mul(4).saturating_add(64),
        metadata: HashMap::new(),
        metadata_full: false,
        decoded_left: to_u64(loaded.length),
        names_left: to_u64(loaded.length)
            .saturating_mul(NAMES_PER_BYTE)
            .saturating_add(64 * 1024),
    };
    walk.run(loaded.root)
}

/// Where the bytes of an array lie: its source, its span, and the storage that its aliases share.
#[derive(Clone, Copy)]
struct Array {
    source: u32,
    span: Span,
    storage: u32,
}

/// A container that is being walked.
struct Open<'t> {
    node: NodeId,
    children: Held<'t>,
    /// Length of the path up to and including the container.
    path: usize,
    charged: u64,
}

struct Walk<'t, 'a, 's, 'k> {
    tree: &'t Tree<'a>,
    stream: Stream<'s>,
    storages: &'s mut Storages<'k>,
    buffers: &'s mut Buffers,
    arrays: HashMap<NodeId, Array>,
    builder: &'s mut Builder,
    budget: &'s mut Budget,
    path: String,
    open: Vec<Open<'t>>,
    on_path: Vec<bool>,
    visits_left: u64,
    /// The paths of the values listed so far.
    metadata: HashMap<String, ()>,
    metadata_full: bool,
    /// Bytes that arrays written as text may still decode to: a memo could give one text to a million.
    decoded_left: u64,
    /// Bytes that names may still take: a long key over many values must not multiply.
    names_left: u64,
}

impl<'t> Walk<'t, '_, '_, '_> {
    fn run(&mut self, root: NodeId) -> Result<()> {
        self.visit(root)?;
        while let Some(open) = self.open.last_mut() {
            self.path.truncate(open.path);
            match open.children.next(self.tree, self.budget)? {
                Some((label, child)) => {
                    self.extend_path(&label)?;
                    self.visit(child)?;
                }
                None => self.close(),
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Some(closed) = self.open.pop() {
            self.budget.refund_heap(closed.charged);
            self.mark(closed.node, false);
        }
    }

    fn extend_path(&mut self, label: &Label<'_>) -> Result<()> {
        let before = self.path.len();
        use std::fmt::Write as _;
        let room = match label {
            Label::Text(text) => text.len(),
            Label::Described(text) => text.len(),
            Label::Number(_) | Label::Place(_) => 0,
        };
        // A number has at most 20 digits.
        self.budget.room(&mut self.path, room.saturating_add(24))?;
        // A key of the outermost container stands alone, even an empty one.
        if self.open.len() > 1 {
            self.path.push('.');
        }
        // Writing to a String cannot fail.
        let _ = match label {
            Label::Text(text) => self.path.write_str(text),
            Label::Number(number) => write!(self.path, "{number}"),
            Label::Described(text) => self.path.write_str(text),
            Label::Place(place) => write!(self.path, "#{place}"),
        };
        self.spend_names(self.path.len().saturating_sub(before))
    }

    /// Names and values are written once for each path that leads to them: a few bytes of the pickle
    /// must not ask for many.
    fn spend_names(&mut self, bytes: usize) -> Result<()> {
        let bytes = to_u64(bytes);
        self.names_left = self.names_left.checked_sub(bytes).ok_or_else(|| {
            let what = "the names and texts of all paths, in bytes";
            Error::limit(what, bytes, self.names_left)
        })?;
        Ok(())
    }

    fn mark(&mut self, node: NodeId, value: bool) -> bool {
        let slot = self.on_path.get_mut(node.position());
        slot.is_some_and(|slot| std::mem::replace(slot, value))
    }

    fn is_on_path(&self, node: NodeId) -> bool {
        self.on_path.get(node.position()).copied().unwrap_or(false)
    }

    fn note_cycle(&mut self) {
        let message = format!("{:?} contains itself", shortened(&self.path));
        self.builder
            .finding(Finding::new(Severity::Warning, "cycle", message));
    }

    fn visit(&mut self, node: NodeId) -> Result<()> {
        self.visits_left = self.visits_left.checked_sub(1).ok_or_else(|| {
            let most = self.tree.written().saturating_mul(4);
            Error::limit("visits of shared containers", u64::MAX, most)
        })?;
        if let Some(spec) = self.named_by_id(node)? {
            return self.tensor(node, spec);
        }
        match rebuild(self.tree, node).for_tensor(&self.path)? {
            Rebuilt::Tensor(spec) => self.tensor(node, *spec),
            Rebuilt::Parts(kind, parts) => {
                let message = format!(
                    "tensor {:?} is {kind}: its parts are listed as tensors",
                    shortened(&self.path)
                );
                let code = match kind {
                    "nested" => "nested-tensor",
                    _ => "sparse-tensor",
                };
                self.builder
                    .finding(Finding::new(Severity::Note, code, message));
                let parts = parts.into_iter();
                let parts = parts.map(|(name, part)| (Label::Text(name), part));
                let parts = self.budget.collect(parts)?;
                self.enter(node, parts.into())
            }
            Rebuilt::Scalar(dtype, endian, data) => self.numpy_scalar(dtype, endian, data),
            Rebuilt::Unknown(function) if !self.is_on_path(node) => {
                let message = format!(
                    "{:?} is made by {:?}, which is not known: its arguments are listed",
                    shortened(&self.path),
                    shortened(function.name)
                );
                self.builder
                    .finding(Finding::new(Severity::Warning, "unknown-rebuild", message));
                match children(self.tree, node, self.budget)? {
                    Some(children) => self.enter(node, children),
                    None => Ok(()),
                }
            }
            // Checked before its children are listed: a dict may hold itself a million times.
            _ if self.is_on_path(node) => {
                self.note_cycle();
                Ok(())
            }
            _ => match children(self.tree, node, self.budget)? {
                Some(children) => self.enter(node, children),
                None => self.scalar(node),
            },
        }
    }

    /// A tensor that the oldest files name by a number or its digits.
    fn named_by_id(&self, node: NodeId) -> Result<Option<Spec<'t>>> {
        if self.storages.tensors.is_empty() {
            return Ok(None);
        }
        let Value::PersistentId(id) = self.tree.value(node) else {
            return Ok(None);
        };
        let digits = self.tree.str(id).and_then(|digits| digits.parse().ok());
        let Some(key) = self.tree.int(id).or(digits) else {
            return Ok(None);
        };
        match self.storages.tensors.get(&key) {
            Some(spec) => Ok(Some(Spec {
                shape: room::list(spec.shape.iter().copied())?,
                strides: room::list(spec.strides.iter().copied())?,
                companions: spec.companions.clone(),
                data: spec.data.clone(),
                ..*spec
            })),
            None => Err(Error::missing("tensor", &key.to_string())),
        }
    }

    fn enter(&mut self, node: NodeId, children: Held<'t>) -> Result<()> {
        if children.is_empty() {
            return Ok(());
        }
        let depth = to_u64(self.open.len()).saturating_add(1);
        self.budget.allow(Limit::Nesting, depth)?;
        // What the list of children was charged when it was made.
        let charged = to_u64(children.bytes());
        if self.mark(node, true) {
            self.budget.refund_heap(charged);
            self.note_cycle();
            return Ok(());
        }
        self.budget.grow(&mut self.open)?;
        self.open.push(Open {
            node,
            children,
            path: self.path.len(),
            charged,
        });
        Ok(())
    }

    /// A number, truth value or text becomes metadata under its path.
    fn scalar(&mut self, node: NodeId) -> Result<()> {
        let value = self.tree.value(node);
        let text = match value {
            Value::Str(text) | Value::ByteString(text) => text,
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => &[],
            _ => return Ok(()),
        };
        let (value_type, bytes) = match value {
            Value::Bool(value) => (ValueType::Bool, vec![u8::from(value)]),
            Value::Int(value) => (ValueType::I64, value.to_le_bytes().to_vec()),
            Value::Float(value) => (ValueType::F64, value.to_le_bytes().to_vec()),
            _ => return self.metadata(ValueType::String, text),
        };
        self.metadata(value_type, &bytes)
    }

    /// A scalar of NumPy becomes metadata as a number of Python's does.
    fn numpy_scalar(&mut self, dtype: DType, endian: Endian, data: NodeId) -> Result<()> {
        match numpy::scalar(self.tree, dtype, endian, data).for_tensor(&self.path)? {
            Some((value_type, bytes)) => self.metadata(value_type, &bytes),
            None => {
                let message = format!("{:?}: a {dtype} scalar", shortened(&self.path));
                let finding = Finding::new(Severity::Note, "scalar", message);
                self.builder.finding(finding);
                Ok(())
            }
        }
    }

    fn metadata(&mut self, value_type: ValueType, bytes: &[u8]) -> Result<()> {
        let used = to_u64(self.builder.metadata().len()).saturating_add(1);
        let full = self.budget.allow(Limit::MetadataEntries, used).is_err();
        let cost = to_u64(self.path.len()).saturating_add(to_u64(bytes.len()));
        if self.open.is_empty() || full || cost > self.names_left {
            return self.note_full();
        }
        self.names_left = self.names_left.saturating_sub(cost);
        self.budget.grow_map(&mut self.metadata)?;
        let path = self.budget.join(&[&self.path])?;
        if self.metadata.insert(path, ()).is_some() {
            let message = format!("two values have the path {:?}", shortened(&self.path));
            self.builder
                .finding(Finding::new(Severity::Note, "repeated-path", message));
            return Ok(());
        }
        let metadata = self.builder.metadata();
        match (value_type, std::str::from_utf8(bytes)) {
            (ValueType::String, Ok(text)) => metadata.push_string(&self.path, text, 0, self.budget),
            (ValueType::String, Err(_)) => Ok(()),
            _ => metadata.push_scalar(&self.path, value_type, bytes, 0, self.budget),
        }
    }

    fn note_full(&mut self) -> Result<()> {
        if !self.open.is_empty() && !std::mem::replace(&mut self.metadata_full, true) {
            let message = "only the first values beside the tensors are listed";
            self.builder
                .finding(Finding::new(Severity::Note, "metadata-limit", message));
        }
        Ok(())
    }

    /// Makes room for the names to come, as long as those so far and one for each storage; but never more than
    /// growing by half would take, nor less than an eighth.
    fn make_room(&mut self, name: &str) -> Result<()> {
        let (used, free) = self.builder.text_room();
        if free >= name.len() {
            return Ok(());
        }
        let done = self.builder.len();
        let left = self.storages.len().saturating_sub(done);
        let mean = used.checked_div(done).unwrap_or_default();
        let expected = mean.saturating_add(1).saturating_mul(left);
        let expected = expected.clamp(used / 8, used / 2).max(64);
        let additional = expected.max(name.len());
        self.builder.reserve_text(additional, self.budget)
    }

    fn tensor(&mut self, node: NodeId, spec: Spec<'t>) -> Result<()> {
        // Lent for as long as the tensor is pushed.
        let path = std::mem::take(&mut self.path);
        let name = match path.strip_suffix('.') {
            // The whole pickle is one tensor.
            _ if path.is_empty() && self.open.is_empty() => ROOT,
            Some(stem) if self.open.is_empty() => stem,
            _ => &path,
        };
        self.spend_names(name.len())?;
        self.make_room(name)?;
        self.push(name, &spec)
            .for_tensor(name)
            .at(spec.declared_at)?;
        self.path = path;
        if spec.companions.is_empty() && spec.state.is_none() {
            if self.is_on_path(node) {
                self.note_cycle();
            }
            return Ok(());
        }
        let companions = spec.companions.into_iter();
        let companions = companions.map(|(label, node)| (Label::Text(label), node));
        let mut inner = self.budget.collect(companions)?;
        if let Some(state) = spec.state {
            state_children(self.tree, state, &mut inner, self.budget)?;
        }
        if self.is_on_path(node) {
            self.note_cycle();
            return Ok(());
        }
        self.enter(node, inner.into())
    }
}
