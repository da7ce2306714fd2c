//! Adds one tensor to the index: finds its bytes in a storage or in the pickle.

use super::{Array, Walk};
use crate::bytes::{Buffer, Span, to_u64};
use crate::error::{Error, Result};
use crate::formats::pickle::NodeId;
use crate::formats::torch::rebuild::{Data, Spec};
use crate::formats::torch::{numpy, placed};
use crate::index::{Absence, Attributes, Draft};

impl Walk<'_, '_, '_, '_> {
    pub(super) fn push(&mut self, name: &str, spec: &Spec<'_>) -> Result<()> {
        let (class_module, class_name) = spec.class;
        let mut draft = Draft {
            name,
            dtype: spec.dtype,
            code: spec.code,
            shape: &spec.shape,
            endian: self.storages.endian,
            signs: spec.signs,
            attributes: Attributes {
                requires_grad: spec.requires_grad,
                device: "",
                class_module,
                class_name,
            },
            declared_at: spec.declared_at,
            ..Draft::default()
        };
        let empty = spec.shape.contains(&0);
        let id = match &spec.data {
            Data::Absent(absence) => {
                draft.absent = Some(*absence);
                if *absence == Absence::ShapeOnly {
                    draft.attributes.device = "meta";
                }
                return self.builder.push(&draft, self.budget);
            }
            Data::Inline(data, endian) => {
                let array = self.array(*data)?;
                draft.endian = *endian;
                draft.source = array.source;
                draft.storage = Some(array.storage);
                draft.span = if empty { Span::default() } else { array.span };
                draft.strides = (!empty).then_some(&spec.strides);
                return self.builder.push(&draft, self.budget);
            }
            Data::Placed(storage) => {
                draft.source = storage.source;
                draft.storage = Some(storage.number);
                if !empty {
                    draft.span = placed::part(storage.span, spec)?;
                    draft.strides = Some(&spec.strides);
                }
                return self.builder.push(&draft, self.budget);
            }
            Data::Storage(id) => id,
        };
        draft.attributes.device = id.location;
        if id.location == "meta" {
            draft.absent = Some(Absence::ShapeOnly);
            return self.builder.push(&draft, self.budget);
        }
        let Some(storage) = self.storages.find(&id.key) else {
            // An empty tensor needs no bytes, and some writers leave its storage out.
            if !empty && !self.stream.partial {
                return Err(Error::missing("storage", &id.key));
            }
            draft.absent = (!empty).then_some(Absence::NoStorage);
            return self.builder.push(&draft, self.budget);
        };
        draft.source = storage.source;
        draft.storage = Some(storage.number);
        let window = placed::window(storage.span, id)?;
        if empty {
            draft.span = window.part(0, 0).unwrap_or_default();
        } else {
            draft.span = placed::part(window, spec)?;
            draft.strides = Some(&spec.strides);
        }
        self.builder.push(&draft, self.budget)
    }

    /// Finds the bytes of an array: in the pickle, or decoded into a buffer of their own.
    fn array(&mut self, node: NodeId) -> Result<Array> {
        if let Some(&array) = self.arrays.get(&node) {
            return Ok(array);
        }
        let decoded = numpy::most_bytes(self.tree, node);
        let what = "the decoded bytes of all arrays written as text";
        self.decoded_left = self
            .decoded_left
            .checked_sub(decoded)
            .ok_or_else(|| Error::limit(what, decoded, self.decoded_left))?;
        self.budget.spend_inflated(decoded)?;
        let bytes = numpy::data(self.tree, node)?;
        let (source, span) = match self.tree.bytes_offset(node) {
            Some(offset) => {
                let length = to_u64(bytes.len());
                let end = offset.saturating_add(length);
                (
                    self.stream.source,
                    Span::new("an array", offset, length, end)?,
                )
            }
            None => {
                let mut buffer = Buffer::zeroed(bytes.len())?;
                buffer.bytes_mut().copy_from_slice(&bytes);
                let span = Span::all(buffer.bytes());
                (self.buffers.push(buffer, self.budget)?, span)
            }
        };
        let storage = self.builder.new_storage();
        let array = Array {
            source,
            span,
            storage,
        };
        self.budget.grow_map(&mut self.arrays)?;
        self.arrays.insert(node, array);
        Ok(array)
    }
}
