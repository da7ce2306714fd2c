//! Where the tensors' data lies: in the order of the infos, each padded to the alignment.
//!
//! llama.cpp demands that each offset equals the sum of the padded sizes before it; so do we, and
//! lenient mode asks only that aligned ranges do not overlap. The extent of an opaque tensor, whose
//! size nobody knows, ends where the next one starts.

use byteorder::ByteOrder;

use super::Header;
use super::fork_types::name_and_bytes;
use super::tensor_info::{MAX_DIMS, MAX_NAME, TensorInfo, TensorInfos, data_bytes, dtype};
use crate::bytes::{Span, align_up, to_u64, to_usize};
use crate::dtype::DType;
use crate::error::{Context, Error, Malformed, Result, shortened};
use crate::findings::{Finding, Severity};
use crate::index::{Builder, Draft, sorted};
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
    pub(super) fn new<B: ByteOrder>(
        bytes: &[u8],
        infos_end: u64,
        alignment: u64,
        infos: &TensorInfos<'_, B>,
        builder: &mut Builder,
    ) -> Result<Self> {
        let file_bytes = to_u64(bytes.len());
        let aligned = align_up(infos_end, alignment).ok_or_else(|| {
            let what = "the start of the data section";
            Error::malformed(Malformed::Overflow { what }).at(infos_end)
        })?;
        // A file without tensors may end right after its metadata.
        let start = if infos.len() == 0 {
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
pub(super) fn place<B: ByteOrder>(
    header: Header,
    data: Data,
    infos: &TensorInfos<'_, B>,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    builder.reserve(infos.len(), infos.dimensions, budget)?;
    builder.reserve_text(infos.name_bytes, budget)?;
    let place = Place {
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

struct Place<'p, 'a, B> {
    header: Header,
    data: Data,
    infos: &'p TensorInfos<'a, B>,
}

impl<'a, B: ByteOrder> Place<'_, 'a, B> {
    /// Strict: no gap, no overlap, no other order.
    fn in_sequence(&self, builder: &mut Builder, budget: &mut Budget) -> Result<()> {
        let mut shape = Vec::new();
        let mut expected = 0;
        for position in 0..self.infos.len() {
            let info = self.infos.read(position, &mut shape, budget)?;
            let known = data_bytes(dtype(info.type_id), &shape);
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
                    None => {
                        let next = self.offset(position.saturating_add(1), budget)?;
                        self.opaque_bytes(&info, &shape, next)
                    }
                }
            });
            let data_bytes = checked.for_tensor(info.name).at(info.declared_at)?;
            expected = expected
                .checked_add(self.data.padded(data_bytes)?)
                .ok_or_else(|| {
                    let what = "the sum of the tensor sizes";
                    Error::malformed(Malformed::Overflow { what })
                })
                .for_tensor(info.name)
                .at(info.declared_at)?;
            self.push(&info, &shape, data_bytes, builder, budget)?;
        }
        self.note_end(expected, builder);
        Ok(())
    }

    /// The offset of the tensor at `position`, if there is one.
    fn offset(&self, position: usize, budget: &mut Budget) -> Result<Option<u64>> {
        if position >= self.infos.len() {
            return Ok(None);
        }
        let info = self.infos.read(position, &mut Vec::new(), budget)?;
        Ok(Some(info.offset))
    }

    /// Lenient: aligned ranges in any order, gaps reported, overlaps refused.
    fn in_any_order(&self, builder: &mut Builder, budget: &mut Budget) -> Result<()> {
        let count = self.infos.len();
        let mut shape = Vec::new();
        let mut offsets: Vec<u64> = Vec::new();
        budget.reserve(&mut offsets, count)?;
        for position in 0..count {
            offsets.push(self.infos.read(position, &mut shape, budget)?.offset);
        }
        let offset = |position: u32| offsets.get(to_usize(position.into())?).copied();
        let order = sorted(u32::try_from(count).unwrap_or(u32::MAX), budget, offset)?;
        let mut order = order.peekable();
        if !offsets.is_sorted() {
            let message = "the tensors' data is not in the order of their infos";
            builder.finding(Finding::new(Severity::Warning, "reordered-data", message));
        }
        let mut sizes: Vec<u64> = Vec::new();
        budget.reserve(&mut sizes, count)?;
        sizes.resize(count, 0);
        let mut end = 0;
        let mut owner = "";
        while let Some(position) = order.next() {
            let next = order.peek().and_then(|&next| offset(next));
            let position = to_usize(position.into()).unwrap_or(usize::MAX);
            let info = self.infos.read(position, &mut shape, budget)?;
            let size = self
                .check_in_any_order(&info, &shape, next, end, owner, builder)
                .for_tensor(info.name)
                .at(info.declared_at)?;
            if let Some(slot) = sizes.get_mut(position) {
                *slot = size;
            }
            let padded = self.data.padded(size)?;
            end = end.max(info.offset.saturating_add(padded));
            owner = info.name;
        }
        for (position, &size) in sizes.iter().enumerate() {
            let info = self.infos.read(position, &mut shape, budget)?;
            self.push(&info, &shape, size, builder, budget)?;
        }
        self.note_end(end, builder);
        Ok(())
    }

    fn check_in_any_order(
        &self,
        info: &TensorInfo<'_>,
        shape: &[u64],
        next: Option<u64>,
        end: u64,
        owner: &str,
        builder: &mut Builder,
    ) -> Result<u64> {
        let known = data_bytes(dtype(info.type_id), shape)?;
        if info.offset.checked_rem(self.data.alignment) != Some(0) {
            return Err(Error::malformed(Malformed::OutOfRange {
                what: "the tensor offset",
                value: info.offset.into(),
                expected: "a multiple of the alignment",
            }));
        }
        let size = match known {
            Some(size) => size,
            None => self.opaque_bytes(info, shape, next)?,
        };
        match info.offset.checked_sub(end) {
            Some(0) => {}
            Some(count) => {
                let name = shortened(info.name);
                let message = format!("{count} bytes before tensor {name:?} belong to nothing");
                let at = self.data.start.saturating_add(end);
                builder.finding(Finding::new(Severity::Warning, "gap", message).at(at));
            }
            None if size == 0 => {}
            None => {
                return Err(Error::malformed(Malformed::Overlap {
                    what: "the tensor",
                    other: shortened(owner),
                    count: end.saturating_sub(info.offset),
                }));
            }
        }
        Ok(size)
    }

    /// What lies between an opaque tensor and the next one, or the end of the file; less, if a fork's
    /// type explains all but the padding.
    fn opaque_bytes(&self, info: &TensorInfo<'_>, shape: &[u64], next: Option<u64>) -> Result<u64> {
        let extent = self.opaque_extent(info, next)?;
        match self.fork_type(info, shape, extent) {
            Some((_, bytes)) => Ok(bytes),
            None => Ok(extent),
        }
    }

    /// The fork's type of an id, if its size and the padding fill the extent.
    fn fork_type(
        &self,
        info: &TensorInfo<'_>,
        shape: &[u64],
        extent: u64,
    ) -> Option<(&'static str, u64)> {
        let (name, bytes) = name_and_bytes(info.type_id, shape)?;
        let padded = self.data.padded(bytes).ok()?;
        (extent == bytes || extent == padded).then_some((name, bytes))
    }

    fn opaque_extent(&self, info: &TensorInfo<'_>, next: Option<u64>) -> Result<u64> {
        let data_bytes = self.data.file_bytes.saturating_sub(self.data.start);
        let end = next.unwrap_or(data_bytes);
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
        info: &TensorInfo<'_>,
        shape: &[u64],
        data_bytes: u64,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<()> {
        let name = info.name;
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
        let code = match (dtype, self.fork_type(info, shape, data_bytes)) {
            (DType::Opaque, Some((name, _))) => name.to_owned(),
            (DType::Opaque, None) => format!("ggml:{}", info.type_id),
            _ => String::new(),
        };
        builder.push(
            &Draft {
                name,
                dtype,
                code: &code,
                shape,
                span,
                endian: self.header.endian,
                declared_at: at,
                ..Draft::default()
            },
            budget,
        )?;
        note_limits_of_others(info, name, shape, builder);
        if dtype == DType::Opaque {
            let name = shortened(name);
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
}

/// Reports what only lenient mode takes: names and dimensions beyond llama.cpp's.
fn note_limits_of_others(info: &TensorInfo<'_>, name: &str, shape: &[u64], builder: &mut Builder) {
    let at = info.declared_at;
    if to_u64(name.len()) >= MAX_NAME {
        let name = shortened(name);
        let message = format!("tensor {name:?} has a name that llama.cpp refuses: it is too long");
        builder.finding(Finding::new(Severity::Warning, "long-name", message).at(at));
    }
    if to_u64(shape.len()) > MAX_DIMS {
        let name = shortened(name);
        let message = format!("tensor {name:?} has more dimensions than llama.cpp takes");
        builder.finding(Finding::new(Severity::Warning, "many-dimensions", message).at(at));
    }
}
