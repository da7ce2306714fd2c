//! `torch.package` archives: any number of pickles, beside the Python code that they need.
//!
//! ```text
//! .data/extern_modules   .data/version   .data/KEY.storage
//! PACKAGE/RESOURCE.pkl   PACKAGE/module.py
//! ```
//!
//! Source: torch 2.15.0 `torch/package/package_exporter.py`, `package_importer.py`. A tensor is called by
//! the path of its pickle and its path in it: `models/first.pkl.weight`.

use super::archive::{Reader, note_unused};
use super::flatten::Stream;
use crate::bytes::to_u64;
use crate::error::{Error, ErrorKind, Result, shortened};
use crate::findings::{Finding, Severity, Verdict};
use crate::formats::zip::Method;
use crate::index::Builder;
use crate::limits::Budget;

/// Reads a package.
pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    reader.check_version(builder, budget)?;
    let endian = reader.endian(budget)?;
    let mut storages = reader.storages(&[(".data/", ".storage")], endian, builder, budget)?;
    let members = budget.collect(reader.members_under(""))?;
    let mut code: u64 = 0;
    for member in members {
        let inner = member.name.strip_prefix(reader.prefix).unwrap_or_default();
        if inner.ends_with(".py") {
            code = code.saturating_add(1);
            reader.mark_read(&member, budget)?;
        }
        if inner == "byteorder" || inner.starts_with(".data/") || inner.ends_with(".py") {
            continue;
        }
        // A resource may be a pickle, a text or anything: pickles start with their protocol.
        let stored = member.stored(reader.bytes);
        if member.method == Method::Stored && !matches!(stored, [0x80, 2..=5, ..]) {
            reader.mark_read(&member, budget)?;
            continue;
        }
        let prefix = budget.join(&[inner, "."])?;
        let stream = Stream {
            prefix: &prefix,
            ..Stream::default()
        };
        let read = reader.pickle(&member, stream, &mut storages, builder, budget);
        reader.mark_read(&member, budget)?;
        budget.refund_heap(to_u64(prefix.capacity()));
        read.or_else(|error| note_broken(error, inner, builder))?;
    }
    if code > 0 {
        let message = format!("the package holds {code} Python files, which its importer runs");
        let severity = Severity::Verdict(Verdict::Unrecognised);
        builder.finding(Finding::new(severity, "package-code", message));
    }
    note_unused(&storages, builder, budget)
}

/// A resource that only looked like a pickle does not make the rest unreadable, and is never safe.
fn note_broken(error: Error, name: &str, builder: &mut Builder) -> Result<()> {
    if error.kind() != ErrorKind::Malformed || error.tensor().is_some() {
        return Err(error);
    }
    let message = format!("{:?} is no whole pickle: {error}", shortened(name));
    let severity = Severity::Verdict(Verdict::Malformed);
    builder.finding(Finding::new(severity, "broken-pickle", message));
    Ok(())
}
