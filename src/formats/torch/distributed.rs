//! The `.metadata` of a distributed checkpoint: which tensors there are, and which bytes of which file hold
//! each of their chunks.
//!
//! ```text
//! Metadata
//!   state_dict_metadata   name -> TensorStorageMetadata(properties, size, chunks) | BytesStorageMetadata
//!   storage_data          MetadataIndex(fqn, offset) -> _StorageInfo(relative_path, offset, length)
//! ```
//!
//! Source: torch 2.15.0 `torch/distributed/checkpoint/metadata.py`, `filesystem.py`. torch reads this file
//! with Python's own unpickler, so that it runs what stands in it; here it is walked.

use std::collections::HashMap;

use super::rebuild::unsigned;
use crate::bytes::to_u64;
use crate::dtype::DType;
use crate::error::{Context, Error, Format, Malformed, Result};
use crate::findings::Findings;
use crate::formats::pickle::{self, Judge, NodeId, Surroundings, Tree, Value};
use crate::limits::{Budget, Limit};

/// More chunks of one tensor than any world size.
const MOST_CHUNKS: u64 = 4096;

/// Bytes of a file that hold one saved value: a whole archive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Stored {
    /// The file, relative to the folder; not checked.
    pub file: String,
    /// The first byte.
    pub offset: u64,
    /// How many there are.
    pub length: u64,
}

/// A box of a tensor's elements, and where it is stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Chunk {
    /// Indices of the first element.
    pub offsets: Vec<usize>,
    /// Dimensions.
    pub sizes: Vec<usize>,
    /// The bytes.
    pub stored: Stored,
}

/// A tensor of the checkpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Planned {
    /// The name.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The dimensions.
    pub shape: Vec<usize>,
    /// The parts that it is saved in.
    pub chunks: Vec<Chunk>,
}

/// What a `.metadata` file says.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Plan {
    /// Every tensor, in the file's order.
    pub tensors: Vec<Planned>,
    /// Every other value: its name and where it is stored.
    pub values: Vec<(String, Stored)>,
    /// What loading the file with Python would do.
    pub findings: Findings,
}

/// Reads a `.metadata` file.
///
/// # Errors
/// `Malformed` if it is no pickle of a `Metadata`, or a chunk has no bytes; `Limit` if it needs more than
/// allowed.
pub fn read(bytes: &[u8], budget: &mut Budget) -> Result<Plan> {
    read_plan(bytes, budget)
        .in_format(Format::TorchDistributed)
        .at(0)
}

fn read_plan(bytes: &[u8], budget: &mut Budget) -> Result<Plan> {
    budget.allow(Limit::PickleBytes, to_u64(bytes.len()))?;
    let mut judge = Judge::new("", budget.policy()).within(Surroundings::Distributed);
    let loaded = pickle::load(bytes, 0, &mut judge, budget)?;
    let mut plan = Plan {
        findings: judge.into_findings(),
        ..Plan::default()
    };
    let reader = Reader { tree: &loaded.tree };
    if reader.class(loaded.root) != Some("Metadata") || loaded.length != bytes.len() {
        let found = loaded.tree.value(loaded.root).kind();
        return Err(Error::unexpected(
            "the pickle",
            found,
            "one Metadata object",
        ));
    }
    let stored = reader.stored(loaded.root, budget)?;
    let described = reader.attribute(loaded.root, "state_dict_metadata");
    for (name, value) in reader.pairs(described) {
        let name = reader.text(name, "a tensor's name")?;
        budget.allow(Limit::NameBytes, to_u64(name.len()))?;
        budget.spend_heap(to_u64(name.len()).saturating_add(128))?;
        if reader.class(value) == Some("TensorStorageMetadata") {
            let count = to_u64(plan.tensors.len()).saturating_add(1);
            budget.allow(Limit::Tensors, count)?;
            let tensor = reader.tensor(name, value, &stored, budget);
            let tensor = tensor.for_tensor(name)?;
            budget.grow(&mut plan.tensors)?;
            plan.tensors.push(tensor);
        } else if let Some(stored) = stored.get(&(name, Vec::new())) {
            budget.grow(&mut plan.values)?;
            plan.values.push((name.to_owned(), stored.clone()));
        }
    }
    Ok(plan)
}

/// Where each chunk is stored: by name and offsets.
type Storage<'t> = HashMap<(&'t str, Vec<usize>), Stored>;

#[derive(Clone, Copy)]
struct Reader<'t, 'a> {
    tree: &'t Tree<'a>,
}

impl<'t> Reader<'t, '_> {
    fn stored(self, root: NodeId, budget: &mut Budget) -> Result<Storage<'t>> {
        let mut storage = Storage::new();
        for (key, value) in self.pairs(self.attribute(root, "storage_data")) {
            let name = self.attribute(key, "fqn");
            let name = name.ok_or_else(|| Error::missing("attribute", "fqn"))?;
            let name = self.text(name, "a tensor's name")?;
            let offsets = match self.attribute(key, "offset") {
                Some(offsets) => self.numbers(offsets, "a chunk's offset", budget)?,
                None => Vec::new(),
            };
            let file = self.attribute(value, "relative_path");
            let file = file.ok_or_else(|| Error::missing("attribute", "relative_path"))?;
            let file = self.text(file, "a file name")?;
            let number = |name| {
                let value = self.attribute(value, name);
                value
                    .and_then(|value| unsigned(self.tree, value))
                    .ok_or_else(|| Error::unexpected(name, "no number", "0 or more"))
            };
            let stored = Stored {
                file: file.to_owned(),
                offset: number("offset")?,
                length: number("length")?,
            };
            if let Some(transforms) = self.attribute(value, "transform_descriptors")
                && self
                    .tree
                    .sequence(transforms)
                    .is_none_or(|list| !list.is_empty())
            {
                return Err(Error::unsupported("transformed chunks of", name));
            }
            budget.spend_heap(to_u64(file.len()))?;
            budget.grow_map(&mut storage)?;
            if storage.insert((name, offsets), stored).is_some() {
                return Err(Error::duplicate("chunk", name));
            }
        }
        Ok(storage)
    }

    fn tensor(
        self,
        name: &'t str,
        value: NodeId,
        storage: &Storage<'t>,
        budget: &mut Budget,
    ) -> Result<Planned> {
        let size = self.attribute(value, "size");
        let size = size.ok_or_else(|| Error::missing("attribute", "size"))?;
        let shape = self.numbers(size, "a tensor's size", budget)?;
        let chunks = self.attribute(value, "chunks");
        let listed = chunks.and_then(|chunks| self.tree.sequence(chunks));
        let listed = listed.ok_or_else(|| Error::missing("attribute", "chunks"))?;
        let count = to_u64(listed.len());
        if count > MOST_CHUNKS {
            return Err(Error::limit("the chunks of one tensor", count, MOST_CHUNKS));
        }
        let mut chunks = Vec::new();
        for &chunk in listed {
            let numbers = |attribute, budget: &mut Budget| {
                let value = self.attribute(chunk, attribute);
                let value = value.ok_or_else(|| Error::missing("attribute", attribute))?;
                self.numbers(value, "a chunk", budget)
            };
            let offsets = numbers("offsets", budget)?;
            let sizes = numbers("sizes", budget)?;
            let stored = storage.get(&(name, offsets.clone()));
            let stored = stored
                .ok_or_else(|| Error::missing("bytes of the chunk at", &format!("{offsets:?}")))?;
            budget.grow(&mut chunks)?;
            budget.spend_heap(to_u64(stored.file.len()))?;
            chunks.push(Chunk {
                offsets,
                sizes,
                stored: stored.clone(),
            });
        }
        Ok(Planned {
            name: name.to_owned(),
            dtype: self.dtype(value)?,
            shape,
            chunks,
        })
    }

    /// `TensorProperties` has a tuple for state, of which the dtype is the first.
    fn dtype(self, tensor: NodeId) -> Result<DType> {
        let properties = self.attribute(tensor, "properties");
        let state = properties
            .and_then(|properties| self.tree.object(properties)?.state)
            .and_then(|state| self.tree.sequence(state)?.first().copied());
        let global = state.and_then(|dtype| self.tree.global(dtype));
        global
            .filter(|global| global.module == "torch")
            .and_then(|global| DType::from_torch(global.name))
            .ok_or_else(|| Error::unexpected("a dtype", "unknown", "a torch dtype"))
    }

    fn class(self, value: NodeId) -> Option<&'t str> {
        let object = self.tree.object(value)?;
        self.tree.global(object.callable).map(|class| class.name)
    }

    /// An attribute of an object that has one and is not `None`.
    fn attribute(self, object: NodeId, name: &str) -> Option<NodeId> {
        let state = self.tree.object(object)?.state?;
        // Honest objects have ten attributes; a memo could share a million pairs a million times.
        let mut pairs = self.pairs(Some(state)).take(64);
        let found = pairs.find(|&(key, _)| self.tree.str(key) == Some(name));
        found
            .map(|(_, value)| value)
            .filter(|&value| !matches!(self.tree.value(value), Value::None))
    }

    fn pairs(self, dict: Option<NodeId>) -> impl Iterator<Item = (NodeId, NodeId)> + use<'t> {
        let pairs = match dict.map(|dict| self.tree.value(dict)) {
            Some(Value::Dict(pairs)) => pairs,
            _ => &[],
        };
        pairs.chunks_exact(2).filter_map(|pair| match pair {
            &[key, value] => Some((key, value)),
            _ => None,
        })
    }

    fn text(self, value: NodeId, what: &'static str) -> Result<&'t str> {
        let found = self.tree.value(value).kind();
        let text = self.tree.str(value);
        text.ok_or_else(|| Error::unexpected(what, found, "a text of at most 4096 bytes"))
    }

    /// A tuple of numbers, or a `torch.Size` of one.
    fn numbers(self, value: NodeId, what: &'static str, budget: &mut Budget) -> Result<Vec<usize>> {
        let sequence = match self.tree.object(value) {
            Some(size) => self
                .tree
                .sequence(size.arguments)
                .and_then(|arguments| self.tree.sequence(*arguments.first()?)),
            None => self.tree.sequence(value),
        };
        let sequence =
            sequence.ok_or_else(|| Error::unexpected(what, "no tuple", "a tuple of numbers"))?;
        budget.allow(Limit::Rank, to_u64(sequence.len()))?;
        let mut numbers = Vec::new();
        budget.reserve(&mut numbers, sequence.len())?;
        for &number in sequence {
            let number =
                unsigned(self.tree, number).and_then(|number| usize::try_from(number).ok());
            numbers.push(number.ok_or_else(|| {
                Error::malformed(Malformed::OutOfRange {
                    what,
                    value: -1,
                    expected: "numbers from 0 up",
                })
            })?);
        }
        Ok(numbers)
    }
}
