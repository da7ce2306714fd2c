//! The stream that `torch.save` wrote from 0.1.10 to 1.5, and bare pickles.
//!
//! ```text
//! | magic number | protocol version | system info | object | storage keys |   five pickles
//! | element count i64 | elements | element count i64 | elements | …             in key order
//! ```
//!
//! The elements are little-endian, whatever the system info says. The element size stands in the
//! persistent ids of the object, not beside the count.

use std::collections::HashMap;

use super::buffers::Buffers;
use super::flatten::{self, Stream};
use super::storage_id::StorageId;
use super::storages::Storages;
use crate::bytes::{Cursor, Endian, Span, to_u64};
use crate::error::{Context, Error, ErrorKind, Format, Malformed, Result};
use crate::findings::{Finding, Severity, Verdict};
use crate::formats::Parsed;
use crate::formats::pickle::{self, Event, EventKind, Judge, Loaded, Sink, Tree, Value};
use crate::index::Builder;
use crate::limits::{Budget, Limit};
use crate::shape;

/// `MAGIC_NUMBER`, 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The same as the whole pickle that protocols 0 and 1 write.
const TEXT_MAGIC: &[u8] = b"L119547037146038801333356L\n.";
/// `PROTOCOL_VERSION`.
const VERSION: i64 = 1001;

/// Reads a file that starts with a pickle: a legacy checkpoint, or a pickle alone.
///
/// # Errors
/// `Malformed` if a pickle, a storage or a tensor breaks a rule; `Limit` if the file needs more
/// than allowed.
pub fn read(bytes: &[u8], budget: &mut Budget) -> Result<Parsed> {
    let mut builder = Builder::new();
    let mut judge = Judge::new("", budget.policy());
    let mut reader = Reader {
        bytes,
        at: 0,
        buffers: Buffers::default(),
    };
    let first = reader.load(&mut judge, budget)?;
    // The first value decides, as in torch, whatever protocol it was written with.
    let is_legacy = matches!(first.tree.value(first.root), Value::BigInt(MAGIC))
        || bytes.starts_with(TEXT_MAGIC);
    let (format, read) = if is_legacy {
        let read = reader.read_legacy(judge, &mut builder, budget);
        (Format::TorchLegacy, read)
    } else {
        let read = reader.read_pickle(&first, judge, &mut builder, budget);
        (Format::Pickle, read)
    };
    read.in_format(format)?;
    Ok(Parsed {
        format,
        index: builder.finish(bytes, budget).in_format(format)?,
        inflated: reader.buffers.into_list(),
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Arrays that had to be decoded.
    buffers: Buffers,
}

/// Hears the events for the judge, and keeps the storages that the object asks for.
struct Listener<'p> {
    judge: &'p mut Judge,
    /// Element bytes and count by key.
    storages: HashMap<String, (u64, u64)>,
    error: Option<Error>,
}

impl Sink for Listener<'_> {
    fn event(&mut self, event: &Event, tree: &Tree<'_>) {
        self.judge.event(event, tree);
        let EventKind::PersistentId(id) = event.kind else {
            return;
        };
        let Ok(Some(storage)) = StorageId::read(tree, id) else {
            return;
        };
        let stated = (storage.element_bytes, storage.elements);
        // Keys that are known are not copied again: a memo may give one a million times.
        let known = match self.storages.get(storage.key.as_ref()) {
            Some(&known) => Some(known),
            None => {
                let mut key = String::new();
                let copied = key.try_reserve_exact(storage.key.len());
                if copied.is_err() || self.storages.try_reserve(1).is_err() {
                    self.error.get_or_insert(Error::out_of_memory());
                    return;
                }
                key.push_str(&storage.key);
                self.storages.insert(key, stated)
            }
        };
        if known.is_some_and(|known| known != stated) {
            let error = Error::malformed(Malformed::Mismatch {
                what: "the elements of a storage stated twice",
                found: storage.elements,
                expected: known.map_or(0, |(_, elements)| elements),
            });
            self.error.get_or_insert(error.at(event.offset));
        }
    }
}

impl<'a> Reader<'a> {
    /// One pickle of the stream.
    fn load(&mut self, sink: &mut dyn Sink, budget: &mut Budget) -> Result<Loaded<'a>> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let loaded = pickle::load(rest, to_u64(self.at), sink, budget)?;
        budget.allow(Limit::PickleBytes, to_u64(loaded.length))?;
        self.at = self.at.saturating_add(loaded.length);
        Ok(loaded)
    }

    /// A bare pickle, and those that are stacked behind it, as repeated calls of `pickle.load` read
    /// them: their names start with their place.
    fn read_pickle(
        &mut self,
        first: &Loaded<'a>,
        judge: Judge,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<()> {
        builder.findings(judge.into_findings());
        self.flatten(first, "", builder, budget)?;
        let mut number: u32 = 1;
        while self.at < self.bytes.len() {
            let at = to_u64(self.at);
            let mut judge = Judge::new(&format!("pickle {number}"), budget.policy());
            let next = self.load(&mut judge, budget);
            // Bytes that break off are no pickle, unless they ask for something before they do: as a scan has it.
            let imports = judge.imports();
            let found = judge.into_findings();
            if next.is_ok() || imports || found.verdict() == Verdict::Dangerous {
                builder.findings(found);
            }
            match next {
                Ok(next) => self.flatten(&next, &format!("#{number}."), builder, budget)?,
                Err(error) if error.kind() == ErrorKind::Limit => return Err(error),
                Err(_) => {
                    // `pickle.load` leaves them; another load from the same file would read them.
                    let count = to_u64(self.bytes.len()).saturating_sub(at);
                    let message = format!("{count} bytes follow the pickle");
                    let finding = Finding::new(Severity::Warning, "trailing-bytes", message);
                    builder.finding(finding.at(at));
                    return Ok(());
                }
            }
            number = number.saturating_add(1);
        }
        Ok(())
    }

    fn flatten(
        &mut self,
        loaded: &Loaded<'a>,
        prefix: &str,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<()> {
        let stream = Stream {
            prefix,
            ..Stream::default()
        };
        let mut storages = Storages::new(Endian::Little);
        let buffers = &mut self.buffers;
        flatten::tensors(loaded, stream, &mut storages, buffers, builder, budget)
    }

    /// What follows the magic number.
    fn read_legacy(
        &mut self,
        mut judge: Judge,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<()> {
        let at = to_u64(self.at);
        let version = self.load(&mut judge, budget)?;
        if version.tree.int(version.root) != Some(VERSION) {
            let value = version.tree.value(version.root);
            let found = version
                .tree
                .int(version.root)
                .map_or_else(|| value.kind().to_owned(), |version| version.to_string());
            return Err(Error::unexpected("the protocol version", found, "1001").at(at));
        }
        self.load(&mut judge, budget)?;
        let mut listener = Listener {
            judge: &mut judge,
            storages: HashMap::new(),
            error: None,
        };
        let object = self.load(&mut listener, budget)?;
        if let Some(error) = listener.error {
            return Err(error);
        }
        let stated = listener.storages;
        let keys_at = to_u64(self.at);
        let keys = self.load(&mut judge, budget)?;
        builder.findings(judge.into_findings());
        let mut storages = self
            .read_storages(&keys, &stated, builder, budget)
            .at(keys_at)?;
        let buffers = &mut self.buffers;
        let stream = Stream::default();
        flatten::tensors(&object, stream, &mut storages, buffers, builder, budget)
    }

    /// The storages, in the order of the fifth pickle's keys.
    fn read_storages<'k>(
        &mut self,
        keys: &'k Loaded<'a>,
        stated: &HashMap<String, (u64, u64)>,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<Storages<'k>> {
        let mut storages = Storages::new(Endian::Little);
        let list = keys.tree.sequence(keys.root).ok_or_else(|| {
            let found = keys.tree.value(keys.root).kind();
            Error::unexpected("the storage keys", found, "a list of strings")
        })?;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut cursor: Cursor<'_> = Cursor::at(rest, to_u64(self.at));
        for &key in list {
            let key = keys
                .tree
                .str(key)
                .ok_or_else(|| Error::unexpected("a storage key", "not text", "a string"))?;
            let at = cursor.offset();
            let count = cursor.i64("a storage's element count")?;
            let Some(&(element_bytes, elements)) = stated.get(key) else {
                // Without a persistent id nobody knows how long it is.
                return Err(Error::missing("storage in the object", key).at(at));
            };
            if u64::try_from(count) != Ok(elements) {
                return Err(Error::malformed(Malformed::Mismatch {
                    what: "a storage's element count",
                    found: u64::try_from(count).unwrap_or(u64::MAX),
                    expected: elements,
                })
                .at(at));
            }
            let length =
                shape::bytes_of("the bytes of a storage", elements, element_bytes).at(at)?;
            let start = cursor.offset();
            cursor.take("a storage", length)?;
            let span = Span::new("a storage", start, length, to_u64(self.bytes.len()))?;
            storages.push(key, 0, span, builder, budget)?;
        }
        if cursor.remaining() > 0 {
            let message = format!("{} bytes follow the last storage", cursor.remaining());
            let finding = Finding::new(Severity::Warning, "trailing-bytes", message);
            builder.finding(finding.at(cursor.offset()));
        }
        storages.finish(budget)?;
        Ok(storages)
    }
}
