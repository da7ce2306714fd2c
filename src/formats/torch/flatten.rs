//! Walks what a pickle describes and names its tensors by the path to them.
//!
//! The walk keeps its own list of open containers: a file may nest a million tuples, contain itself
//! or share one container a billion times over. Sharing is honest (`{"model": x, "ema": x}`), so
//! a container may be entered several times, but all visits together are bounded by the number of
//! values in the pickle.

use super::children::{Label, children};
use super::rebuild::{Rebuilt, Spec, StorageId, rebuild};
use super::storages::Storages;
use crate::bytes::{Span, to_u64};
use crate::dtype::DType;
use crate::error::{Context, Error, Malformed, Result, shortened};
use crate::findings::{Finding, Severity};
use crate::formats::pickle::{Loaded, NodeId, Tree, Value};
use crate::index::{Absence, Builder, Draft, ValueType};
use crate::limits::{Budget, Limit};

/// Bytes of names per byte of pickle. Honest files stay below 2.
const NAMES_PER_BYTE: u64 = 8;

/// The name of a tensor that is the whole object.
const ROOT: &str = "tensor";

/// Adds every tensor of `loaded` to `builder`.
pub(super) fn tensors(
    loaded: &Loaded<'_>,
    storages: &mut Storages<'_>,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    let nodes = to_u64(loaded.tree.len());
    let mut walk = Walk {
        tree: &loaded.tree,
        storages,
        builder,
        budget,
        path: String::new(),
        open: Vec::new(),
        on_path: vec![false; loaded.tree.len()],
        visits_left: nodes.saturating_mul(4).saturating_add(64),
        metadata: std::collections::HashSet::new(),
        metadata_full: false,
        names_left: to_u64(loaded.length)
            .saturating_mul(NAMES_PER_BYTE)
            .saturating_add(64 * 1024),
    };
    walk.run(loaded.root)
}

/// A container that is being walked.
struct Open<'t> {
    node: NodeId,
    children: std::vec::IntoIter<(Label<'t>, NodeId)>,
    /// Length of the path up to and including the container.
    path: usize,
    charged: u64,
}

struct Walk<'t, 'a, 's, 'k> {
    tree: &'t Tree<'a>,
    storages: &'s mut Storages<'k>,
    builder: &'s mut Builder,
    budget: &'s mut Budget,
    path: String,
    open: Vec<Open<'t>>,
    on_path: Vec<bool>,
    visits_left: u64,
    metadata: std::collections::HashSet<String>,
    metadata_full: bool,
    /// Bytes that names may still take: a long key over many values must not multiply.
    names_left: u64,
}

impl<'t> Walk<'t, '_, '_, '_> {
    fn run(&mut self, root: NodeId) -> Result<()> {
        self.visit(root)?;
        while let Some(open) = self.open.last_mut() {
            self.path.truncate(open.path);
            match open.children.next() {
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
            let nodes = to_u64(self.tree.len());
            Error::limit(
                "visits of shared containers",
                u64::MAX,
                nodes.saturating_mul(4),
            )
        })?;
        match rebuild(self.tree, node).for_tensor(&self.path)? {
            Rebuilt::Tensor(spec) => self.tensor(node, *spec),
            Rebuilt::Parts(parts) => {
                let message = format!(
                    "tensor {:?} is sparse: its parts are listed as tensors",
                    shortened(&self.path)
                );
                self.builder
                    .finding(Finding::new(Severity::Note, "sparse-tensor", message));
                let parts = parts.into_iter();
                self.enter(
                    node,
                    parts
                        .map(|(name, part)| (Label::Text(name), part))
                        .collect(),
                )
            }
            // Checked before its children are listed: a dict may hold itself a million times.
            Rebuilt::Other if self.is_on_path(node) => {
                self.note_cycle();
                Ok(())
            }
            Rebuilt::Other => match children(self.tree, node) {
                Some(children) => self.enter(node, children),
                None => self.scalar(node),
            },
        }
    }

    fn enter(&mut self, node: NodeId, children: Vec<(Label<'t>, NodeId)>) -> Result<()> {
        if children.is_empty() {
            return Ok(());
        }
        let depth = to_u64(self.open.len()).saturating_add(1);
        self.budget.allow(Limit::Nesting, depth)?;
        if self.mark(node, true) {
            self.note_cycle();
            return Ok(());
        }
        let charged = to_u64(
            children
                .len()
                .saturating_mul(size_of::<(Label<'_>, NodeId)>()),
        );
        self.budget.spend_heap(charged)?;
        self.open.push(Open {
            node,
            children: children.into_iter(),
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
        let used = to_u64(self.builder.metadata().len()).saturating_add(1);
        let full = self.budget.allow(Limit::MetadataEntries, used).is_err();
        let cost = to_u64(self.path.len()).saturating_add(to_u64(text.len()));
        if self.open.is_empty() || full || cost > self.names_left {
            return self.note_full();
        }
        self.names_left = self.names_left.saturating_sub(cost);
        let (value_type, bytes) = match value {
            Value::Bool(value) => (ValueType::Bool, vec![u8::from(value)]),
            Value::Int(value) => (ValueType::I64, value.to_le_bytes().to_vec()),
            Value::Float(value) => (ValueType::F64, value.to_le_bytes().to_vec()),
            _ => (ValueType::String, text.to_vec()),
        };
        self.budget
            .spend_heap(to_u64(self.path.len()).saturating_add(48))?;
        if !self.metadata.insert(self.path.clone()) {
            let message = format!("two values have the path {:?}", shortened(&self.path));
            self.builder
                .finding(Finding::new(Severity::Note, "repeated-path", message));
            return Ok(());
        }
        let metadata = self.builder.metadata();
        match (value_type, std::str::from_utf8(&bytes)) {
            (ValueType::String, Ok(text)) => metadata.push_string(&self.path, text, 0, self.budget),
            (ValueType::String, Err(_)) => Ok(()),
            _ => metadata.push_scalar(&self.path, value_type, &bytes, 0, self.budget),
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

    fn tensor(&mut self, node: NodeId, spec: Spec<'t>) -> Result<()> {
        let name = if self.open.is_empty() {
            ROOT.to_owned()
        } else {
            self.path.clone()
        };
        self.spend_names(name.len())?;
        self.push(&name, &spec)
            .for_tensor(&name)
            .at(spec.declared_at)?;
        let companions = spec.companions.into_iter();
        let companions = companions.map(|(label, node)| (Label::Text(label), node));
        self.enter(node, companions.collect())
    }

    fn push(&mut self, name: &str, spec: &Spec<'_>) -> Result<()> {
        let mut draft = Draft {
            name,
            dtype: spec.dtype,
            code: spec.code,
            shape: &spec.shape,
            endian: self.storages.endian,
            signs: spec.signs,
            declared_at: spec.declared_at,
            ..Draft::default()
        };
        let empty = spec.shape.contains(&0);
        let found = match &spec.storage {
            None => {
                draft.absent = Some(Absence::ShapeOnly);
                return self.builder.push(&draft, self.budget);
            }
            Some(id) => (self.storages.find(id.key), id),
        };
        let (storage, id) = match found {
            (Some(storage), id) => (storage, id),
            // An empty tensor needs no bytes, and some writers leave its storage out.
            (None, _) if empty => return self.builder.push(&draft, self.budget),
            (None, id) => return Err(Error::missing("storage", id.key)),
        };
        draft.source = storage.source;
        draft.storage = Some(storage.number);
        let window = self.window(storage.span, id)?;
        if empty {
            draft.span = window.part(0, 0).unwrap_or_default();
        } else {
            draft.span = part(window, spec)?;
            draft.strides = Some(&spec.strides);
        }
        self.builder.push(&draft, self.budget)
    }

    /// The bytes of the storage that a tensor may use: all, or those of a legacy view.
    fn window(&self, span: Span, id: &StorageId<'_>) -> Result<Span> {
        let bytes = id.elements.checked_mul(id.element_bytes);
        if bytes != Some(span.length()) {
            return Err(Error::malformed(Malformed::Mismatch {
                what: "the bytes of a storage",
                found: span.length(),
                expected: bytes.unwrap_or(u64::MAX),
            }));
        }
        let Some((first, count)) = id.view else {
            return Ok(span);
        };
        first
            .checked_mul(id.element_bytes)
            .zip(count.checked_mul(id.element_bytes))
            .and_then(|(start, length)| span.part(start, length))
            .ok_or_else(|| outside(first.saturating_add(count), id.elements))
    }
}

/// The bytes from a tensor's first element to its last.
fn part(window: Span, spec: &Spec<'_>) -> Result<Span> {
    let reach = spec.reach()?;
    let block = to_u64(spec.dtype.block_elements());
    let block_bytes = match spec.dtype {
        // Nobody knows its size: everything from the offset on.
        DType::Opaque => return Ok(window),
        dtype => to_u64(dtype.block_bytes()),
    };
    let bytes = |elements: u64| elements.div_ceil(block).checked_mul(block_bytes);
    bytes(spec.offset)
        .zip(bytes(reach))
        .and_then(|(start, length)| window.part(start, length))
        .ok_or_else(|| {
            let held = window.length().checked_div(block_bytes).unwrap_or_default();
            outside(
                spec.offset.saturating_add(reach),
                held.saturating_mul(block),
            )
        })
}

#[cold]
fn outside(needed: u64, held: u64) -> Error {
    Error::malformed(Malformed::OutOfRange {
        what: "the last element of a tensor in its storage",
        value: needed.into(),
        expected: if held == 0 {
            "none: the storage is empty"
        } else {
            "inside the storage"
        },
    })
}
