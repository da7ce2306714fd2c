//! Where the tensors' data lies: in the order of the infos, each padded to the alignment.
//!
//! llama.cpp demands that each offset equals the sum of the padded sizes before it; so do we, and
//! lenient mode asks only that aligned ranges do not overlap. The extent of an opaque tensor, whose
//! size nobody knows, ends where the next one starts.

use super::Header;
use super::fork_types::name_and_bytes;
use super::tensor_info::{TensorInfo, TensorInfos, data_bytes, dtype};
use crate::bytes::{Span, align_up, to_u64, to_usize};
use crate::dtype::DType;
use crate::error::{Context, Error, Malformed, Result};
use crate::findings::{Finding, Severity};
use crate::index::{Builder, Draft};
use crate::limits::Budget;

/// The data section.
#[derive(Clone, Copy)]
pub(super) struct Data {
    start: u64,
    file_bytes: u64,
    alignment: u64,
}

impl Data {
    /// The section that starts at the first aligned offset after the infos.
    pub(super) fn new(
        bytes: &[u8],
        infos_end: u64,
        alignment: u64,
        infos: &TensorInfos,
        builder: &mut Builder,
    ) -> Result<Self> {
        let file_bytes = to_u64(bytes.len());
        let aligned = align_up(infos_end, alignment).ok_or_else(|| {
            let what = "the start of the data section";
            Error::malformed(Malformed::Overflow { what }).at(infos_end)
        })?;
        // A file without tensors may end right after its metadata.
        let start = if infos.list.is_empty() {
            aligned.min(file_bytes)
        } else {
            aligned
        };
        let padding = to_usize(infos_end)
            .and_then(|begin| bytes.get(begin..to_usize(start)?))
            .unwrap_or_default();
        if padding.iter().any(|&byte| byte != 0) {
            let message = "the padding before the data section is not zero";
            builder.finding(
                Finding::new(Severity::Warning, "non-zero-padding", message).at(infos_end),
            );
        }
        Ok(Self {
            start,
            file_bytes,
            alignment,
        })
    }

    fn padded(self, bytes: u64) -> Result<u64> {
        align_up(bytes, self.alignment)
            .filter(|&bytes| i64::try_from(bytes).is_ok())
            .ok_or_else(|| {
                let what = "the padded size of the tensors";
                Error::malformed(Malformed::Overflow { what })
            })
    }
}

/// Proves where each tensor lies and hands it to the builder.
pub(super) fn place(
    bytes: &[u8],
    header: Header,
    data: Data,
    infos: &TensorInfos,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    let mut place = Place {
        bytes,
        header,
        data,
        infos,
    };
    if budget.is_lenient() {
        place.in_any_order(builder, budget)?;
    } else {
        place.in_sequence(builder, budget)?;
    }
    Ok(())
}

struct Place<'a> {
    bytes: &'a [u8],
    header: Header,
    data: Data,
    infos: &'a TensorInfos,
}

impl Place<'_> {
    /// Strict: no gap, no overlap, no other order.
    fn in_sequence(&mut self, builder: &mut Builder, budget: &mut Budget) -> Result<()> {
        let list = &self.infos.list;
        let mut expected = 0;
        for (position, info) in list.iter().enumerate() {
            let known = data_bytes(dtype(info.type_id), self.infos.shape(info));
            let checked = known.and_then(|known| {
                if info.offset != expected {
                    return Err(Error::malformed(Malformed::Mismatch {
                        what: "the tensor offset",
                        found: info.offset,
                        expected,
                    }));
                }
                match known {
                    Some(bytes) => Ok(bytes),
                    None => self.opaque_bytes(info, list.get(position.saturating_add(1))),
                }
            });
            let name = self.name(info);
            let data_bytes = checked.for_tensor(name).at(info.declared_at)?;
            expected = expected
                .checked_add(self.data.padded(data_bytes)?)
                .ok_or_else(|| {
                    let what = "the sum of the tensor sizes";
                    Error::malformed(Malformed::Overflow { what })
                })
                .for_tensor(name)
                .at(info.declared_at)?;
            self.push(info, data_bytes, builder, budget)?;
        }
        self.note_end(expected, builder);
        Ok(())
    }

    /// Lenient: aligned ranges in any order, gaps reported, overlaps refused.
    fn in_any_order(&mut self, builder: &mut Builder, budget: &mut Budget) -> Result<()> {
        let list = &self.infos.list;
        let mut order: Vec<usize> = Vec::new();
        budget.reserve(&mut order, list.len())?;
        order.extend(0..list.len());
        let offset = |&position: &usize| list.get(position).map(|info| info.offset);
        // Of two at one offset, the first info first.
        order.sort_unstable_by_key(|position| (offset(position), *position));
        if !order.is_sorted() {
            let message = "the tensors' data is not in the order of their infos";
            builder.finding(Finding::new(Severity::Warning, "reordered-data", message));
        }
        let mut sizes: Vec<u64> = Vec::new();
        budget.reserve(&mut sizes, list.len())?;
        sizes.resize(list.len(), 0);
        let mut end = 0;
        let mut owner = "";
        for (rank, &position) in order.iter().enumerate() {
            let Some(info) = list.get(position) else {
                continue;
            };
            let next = order.get(rank.saturating_add(1));
            let next = next.and_then(|&next| list.get(next));
            let size = self
                .check_in_any_order(info, next, end, owner, builder)
                .for_tensor(self.name(info))
                .at(info.declared_at)?;
            if let Some(slot) = sizes.get_mut(position) {
                *slot = size;
            }
            let padded = self.data.padded(size)?;
            end = end.max(info.offset.saturating_add(padded));
            owner = self.name(info);
        }
        for (info, &size) in list.iter().zip(&sizes) {
            self.push(info, size, builder, budget)?;
        }
        self.note_end(end, builder);
        Ok(())
    }

    fn check_in_any_order(
        &self,
        info: &TensorInfo,
        next: Option<&TensorInfo>,
        end: u64,
        owner: &str,
        builder: &mut Builder,
    ) -> Result<u64> {
        let known = data_bytes(dtype(info.type_id), self.infos.shape(info))?;
        if info.offset.checked_rem(self.data.alignment) != Some(0) {
            return Err(Error::malformed(Malformed::OutOfRange {
                what: "the tensor offset",
                value: info.offset.into(),
                expected: "a multiple of the alignment",
            }));
        }
        let size = match known {
            Some(size) => size,
            None => self.opaque_bytes(info, next)?,
        };
        match info.offset.checked_sub(end) {
            Some(0) => {}
            Some(count) => {
                let name = self.name(info);
                let message = format!("{count} bytes before tensor {name:?} belong to nothing");
                let at = self.data.start.saturating_add(end);
                builder.finding(Finding::new(Severity::Warning, "gap", message).at(at));
            }
            None if size == 0 => {}
            None => {
                return Err(Error::malformed(Malformed::Overlap {
                    what: "the tensor",
                    other: owner.to_owned(),
                    count: end.saturating_sub(info.offset),
                }));
            }
        }
        Ok(size)
    }

    /// What lies between an opaque tensor and the next one, or the end of the file; less, if a fork's
    /// type explains all but the padding.
    fn opaque_bytes(&self, info: &TensorInfo, next: Option<&TensorInfo>) -> Result<u64> {
        let extent = self.opaque_extent(info, next)?;
        match self.fork_type(info, extent) {
            Some((_, bytes)) => Ok(bytes),
            None => Ok(extent),
        }
    }

    /// The fork's type of an id, if its size and the padding fill the extent.
    fn fork_type(&self, info: &TensorInfo, extent: u64) -> Option<(&'static str, u64)> {
        let (name, bytes) = name_and_bytes(info.type_id, self.infos.shape(info))?;
        let padded = self.data.padded(bytes).ok()?;
        (extent == bytes || extent == padded).then_some((name, bytes))
    }

    fn opaque_extent(&self, info: &TensorInfo, next: Option<&TensorInfo>) -> Result<u64> {
        let end = match next {
            Some(next) => next.offset,
            None => self.data.file_bytes.saturating_sub(self.data.start),
        };
        end.checked_sub(info.offset).ok_or_else(|| {
            Error::malformed(Malformed::Mismatch {
                what: "the next tensor's offset",
                found: end,
                expected: info.offset,
            })
        })
    }

    fn push(
        &self,
        info: &TensorInfo,
        data_bytes: u64,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<()> {
        let name = self.name(info);
        let at = info.declared_at;
        let start = self.data.start.checked_add(info.offset).ok_or_else(|| {
            let what = "the tensor offset";
            Error::malformed(Malformed::Overflow { what })
                .for_tensor(name)
                .at(at)
        })?;
        let span =
            Span::new("the tensor", start, data_bytes, self.data.file_bytes).for_tensor(name)?;
        let dtype = dtype(info.type_id);
        let code = match (dtype, self.fork_type(info, data_bytes)) {
            (DType::Opaque, Some((name, _))) => name.to_owned(),
            (DType::Opaque, None) => format!("ggml:{}", info.type_id),
            _ => String::new(),
        };
        builder.push(
            &Draft {
                name,
                dtype,
                code: &code,
                shape: self.infos.shape(info),
                span,
                endian: self.header.endian,
                declared_at: at,
                ..Draft::default()
            },
            budget,
        )?;
        if dtype == DType::Opaque {
            let message = format!(
                "tensor {name:?} has type {code}, id {}, which ggml does not have: only its bytes can be read",
                info.type_id
            );
            builder.finding(Finding::new(Severity::Warning, "unknown-dtype", message).at(at));
        }
        Ok(())
    }

    /// Bytes after the padded end of the last tensor belong to nothing: a place to hide things.
    fn note_end(&self, data_bytes: u64, builder: &mut Builder) {
        let end = self.data.start.saturating_add(data_bytes);
        let count = self.data.file_bytes.saturating_sub(end);
        if count > 0 {
            let message = format!("{count} bytes follow the last tensor");
            builder.finding(Finding::new(Severity::Warning, "trailing-bytes", message).at(end));
        }
    }

    /// The name was proved to be UTF-8 when the info was read; only bytes that changed since then
    /// can make it empty.
    fn name(&self, info: &TensorInfo) -> &str {
        info.name
            .slice(self.bytes)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}
