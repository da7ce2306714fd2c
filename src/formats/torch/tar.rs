//! The tar archive that `torch.save` wrote before 0.1.10.
//!
//! ```text
//! storages   count | (key, location, class) i64-count elements | … | [(key, root, offset, count), …]
//! tensors    count | (key, storage, class) i32-rank 4-bytes i64-sizes i64-strides i64-offset | …
//! pickle     the object; its persistent ids are keys of tensors
//! ```
//!
//! Every part but the numbers is a pickle, and each of them could run code. Source: torch 2.15.0
//! `serialization.py`, `legacy_load`. `sys_info` is not read by torch either.

use std::collections::HashMap;

use super::buffers::Buffers;
use super::flatten::{self, Stream};
use super::rebuild::{Data, Spec};
use super::storages::{Storage, Storages};
use crate::bytes::{Cursor, Endian, Span, to_u64, to_usize};
use crate::dtype::DType;
use crate::error::{Context, Error, Format, Malformed, Result};
use crate::findings::{Finding, Severity};
use crate::formats::pickle::{self, Judge, Loaded, Tree};
use crate::formats::tar::{Archive, Member};
use crate::formats::{Parsed, torch::rebuild::unsigned};
use crate::index::Builder;
use crate::limits::{Budget, Limit};
use crate::shape;

/// Whether an archive is one of torch's.
pub(crate) fn is_legacy(archive: &Archive) -> bool {
    let parts = ["storages", "tensors", "pickle"];
    parts.iter().all(|part| archive.find(part).is_some())
}

/// Reads a whole archive.
///
/// # Errors
/// `Malformed` if the archive, a pickle, a storage or a tensor breaks a rule; `Limit` if the file needs
/// more than allowed.
pub(crate) fn read(bytes: &[u8], archive: Archive, budget: &mut Budget) -> Result<Parsed> {
    let mut builder = Builder::new();
    let mut buffers = Buffers::default();
    read_archive(bytes, &archive, &mut buffers, &mut builder, budget)
        .in_format(Format::TorchTar)?;
    builder.findings(archive.into_findings());
    Ok(Parsed {
        format: Format::TorchTar,
        index: builder.finish(bytes, budget).in_format(Format::TorchTar)?,
        inflated: buffers.into_list(),
    })
}

fn read_archive(
    bytes: &[u8],
    archive: &Archive,
    buffers: &mut Buffers,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    let part = |name: &str| {
        let member = archive.find(name);
        member.ok_or_else(|| Error::missing("member", name).at(0))
    };
    let (storages, tensors, pickle) = (part("storages")?, part("tensors")?, part("pickle")?);
    let held = Part::new(bytes, storages, "storages").storages(builder, budget)?;
    let mut described = Storages::new(Endian::Little);
    described.tensors = Part::new(bytes, tensors, "tensors").tensors(&held, builder, budget)?;
    let mut main = Part::new(bytes, pickle, "pickle");
    let object = main.load(builder, budget)?;
    main.expect_end(builder);
    let stream = Stream::default();
    flatten::tensors(&object, stream, &mut described, buffers, builder, budget)
        .in_member("pickle")
        .at(pickle.data.start())?;
    // torch does not look at the last part, but an old one did.
    if let Some(member) = archive.find("sys_info") {
        Part::new(bytes, member, "sys_info").load(builder, budget)?;
    }
    Ok(())
}

/// A storage and the type of its elements.
#[derive(Clone, Copy, Debug)]
struct Held {
    storage: Storage,
    dtype: DType,
}

/// One member that is being read.
struct Part<'a> {
    bytes: &'a [u8],
    name: &'static str,
    at: u64,
    end: u64,
}

impl<'a> Part<'a> {
    fn new(file: &'a [u8], member: &Member, name: &'static str) -> Self {
        Self {
            bytes: file,
            name,
            at: member.data.start(),
            end: member.data.end(),
        }
    }

    fn rest(&self) -> &'a [u8] {
        let length = self.end.saturating_sub(self.at);
        let span = Span::new("a member", self.at, length, to_u64(self.bytes.len()));
        let rest = span.ok().and_then(|span| span.slice(self.bytes));
        rest.unwrap_or_default()
    }

    /// The next pickle.
    fn load(&mut self, builder: &mut Builder, budget: &mut Budget) -> Result<Loaded<'a>> {
        let mut judge = Judge::new(self.name, budget.policy());
        let loaded = pickle::load(self.rest(), self.at, &mut judge, budget);
        builder.findings(judge.into_findings());
        let loaded = loaded.in_member(self.name)?;
        budget.allow(Limit::PickleBytes, to_u64(loaded.length))?;
        self.at = self.at.saturating_add(to_u64(loaded.length));
        Ok(loaded)
    }

    fn count(&mut self, builder: &mut Builder, budget: &mut Budget) -> Result<u64> {
        let at = self.at;
        let count = self.load(builder, budget)?;
        unsigned(&count.tree, count.root).ok_or_else(|| {
            let found = count.tree.value(count.root).kind();
            let error = Error::unexpected("a count", found, "a number from 0 up");
            error.at(at).in_member(self.name)
        })
    }

    fn expect_end(&self, builder: &mut Builder) {
        let left = self.end.saturating_sub(self.at);
        if left > 0 {
            let message = format!("{left} bytes follow the last of {:?}", self.name);
            let finding = Finding::new(Severity::Warning, "trailing-bytes", message);
            builder.finding(finding.at(self.at).in_stream(self.name));
        }
    }

    fn storages(
        &mut self,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<HashMap<i64, Held>> {
        let mut held = HashMap::new();
        for _ in 0..self.count(builder, budget)? {
            let at = self.at;
            let described = self.load(builder, budget)?;
            let (key, dtype) = storage(&described).at(at).in_member(self.name)?;
            let mut cursor: Cursor<'_> = Cursor::at(self.rest(), self.at);
            let count = cursor.i64("a storage's element count")?;
            // A count below 0 is too large as well.
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            let each = to_u64(dtype.block_bytes());
            let length = shape::bytes_of("the bytes of a storage", count, each).at(at)?;
            let start = cursor.offset();
            cursor.take("a storage", length)?;
            self.at = cursor.offset();
            let storage = Storage {
                source: 0,
                span: Span::new("a storage", start, length, to_u64(self.bytes.len()))?,
                number: builder.new_storage(),
            };
            insert(&mut held, key, Held { storage, dtype }, "storage", budget).at(at)?;
        }
        let at = self.at;
        let views = self.load(builder, budget)?;
        self.expect_end(builder);
        for &view in views.tree.sequence(views.root).unwrap_or_default() {
            let view = view_of(&views.tree, view, &held)
                .at(at)
                .in_member(self.name);
            let (key, view) = view?;
            insert(&mut held, key, view, "storage", budget).at(at)?;
        }
        Ok(held)
    }

    fn tensors(
        &mut self,
        held: &HashMap<i64, Held>,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<HashMap<i64, Spec<'static>>> {
        let mut tensors = HashMap::new();
        for _ in 0..self.count(builder, budget)? {
            let at = self.at;
            let described = self.load(builder, budget)?;
            let ids = described.tree.sequence(described.root);
            let ids = ids.and_then(|ids| match ids {
                &[key, storage, _] => described.tree.int(key).zip(described.tree.int(storage)),
                _ => None,
            });
            let (key, storage) = ids.ok_or_else(|| {
                let expected = "a key, a storage and a class";
                Error::unexpected("a tensor", "something else", expected).at(at)
            })?;
            let held = held
                .get(&storage)
                .ok_or_else(|| Error::missing("storage", &storage.to_string()).at(at))?;
            let mut cursor: Cursor<'_> = Cursor::at(self.rest(), self.at);
            let mut spec = Spec::new(held.dtype, Data::Placed(held.storage), at);
            let rank = cursor.u32("a tensor's rank")?;
            budget.allow(Limit::Rank, rank.into()).at(at)?;
            cursor.take("the upper half of the rank", 4)?;
            spec.shape = list(&mut cursor, rank, "a tensor's size", budget)?;
            spec.strides = list(&mut cursor, rank, "a tensor's stride", budget)?;
            spec.offset = positive(&mut cursor, "a tensor's storage offset")?;
            self.at = cursor.offset();
            budget.spend_heap(to_u64(size_of::<Spec<'_>>()))?;
            insert(&mut tensors, key, spec, "tensor", budget).at(at)?;
        }
        self.expect_end(builder);
        Ok(tensors)
    }
}

/// So many numbers, of which the file may have fewer.
fn list(
    cursor: &mut Cursor<'_>,
    count: u32,
    what: &'static str,
    budget: &mut Budget,
) -> Result<Vec<u64>> {
    let most = u64::from(count).min(cursor.remaining() / 8);
    let mut numbers = Vec::new();
    budget.reserve(&mut numbers, to_usize(most).unwrap_or(usize::MAX))?;
    for _ in 0..count {
        numbers.push(positive(cursor, what)?);
    }
    Ok(numbers)
}

fn positive(cursor: &mut Cursor<'_>, what: &'static str) -> Result<u64> {
    let at = cursor.offset();
    let number = cursor.i64(what)?;
    u64::try_from(number).map_err(|_| {
        Error::malformed(Malformed::OutOfRange {
            what,
            value: number.into(),
            expected: "0 or more",
        })
        .at(at)
    })
}

fn insert<T>(
    map: &mut HashMap<i64, T>,
    key: i64,
    value: T,
    what: &'static str,
    budget: &mut Budget,
) -> Result<()> {
    budget.grow_map(map)?;
    match map.insert(key, value) {
        None => Ok(()),
        Some(_) => Err(Error::duplicate(what, &key.to_string())),
    }
}

/// `(key, location, storage class)`.
fn storage(described: &Loaded<'_>) -> Result<(i64, DType)> {
    let tree = &described.tree;
    let parts = match tree.sequence(described.root) {
        Some(&[key, _, class]) => tree.int(key).zip(tree.global(class)),
        _ => None,
    };
    parts
        .and_then(|(key, class)| {
            let torch = matches!(class.module, "torch" | "torch.cuda");
            let dtype = DType::from_torch_storage(class.name).filter(|_| torch)?;
            Some((key, dtype))
        })
        .ok_or_else(|| {
            let expected = "a key, a location and a storage class";
            Error::unexpected("a storage", "something else", expected)
        })
}

/// `(key, root key, first element, element count)`.
fn view_of(
    tree: &Tree<'_>,
    view: pickle::NodeId,
    held: &HashMap<i64, Held>,
) -> Result<(i64, Held)> {
    let view = match tree.sequence(view) {
        Some(&[key, root, first, count]) => tree
            .int(key)
            .zip(tree.int(root))
            .zip(unsigned(tree, first).zip(unsigned(tree, count))),
        _ => None,
    };
    let ((key, root), (first, count)) = view.ok_or_else(|| {
        let expected = "a key, a root, an offset and a count";
        Error::unexpected("a storage view", "something else", expected)
    })?;
    let root = held
        .get(&root)
        .ok_or_else(|| Error::missing("storage", &root.to_string()))?;
    let bytes = |elements| shape::bytes(elements, to_u64(root.dtype.block_bytes()));
    let span = bytes(first)
        .zip(bytes(count))
        .and_then(|(start, length)| root.storage.span.part(start, length));
    let span = span.ok_or_else(|| {
        Error::malformed(Malformed::OutOfRange {
            what: "the end of a storage view",
            value: first.saturating_add(count).into(),
            expected: "inside its storage",
        })
    })?;
    let storage = Storage {
        span,
        ..root.storage
    };
    Ok((key, Held { storage, ..*root }))
}
