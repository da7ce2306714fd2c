//! The arguments of one rebuild function, by position.

use super::rebuild::{Data, Rebuilt, Spec, rebuild, unsigned};
use super::storage_id::StorageId;
use crate::bytes::to_u64;
use crate::dtype::DType;
use crate::error::{Error, Malformed, Result};
use crate::formats::pickle::{NodeId, Tree, Value};
use crate::index::{Absence, MOST_RANK, Signs};
use crate::limits::Limit;

/// The arguments of one rebuild function.
#[derive(Clone, Copy)]
pub(super) struct Call<'t, 'a> {
    pub(super) tree: &'t Tree<'a>,
    pub(super) arguments: &'t [NodeId],
    pub(super) declared_at: u64,
}

impl<'t> Call<'t, '_> {
    /// A function of `torch._utils`.
    pub(super) fn by_name(self, name: &str) -> Result<Rebuilt<'t>> {
        let spec = match name {
            "_rebuild_tensor" => self.strided()?,
            "_rebuild_tensor_v2" => self.with_signs(self.strided()?, 6),
            "_rebuild_tensor_v3" => self.with_signs(self.typed()?, 7),
            "_rebuild_qtensor" => self.quantized()?,
            "_rebuild_sparse_tensor" => return self.sparse(),
            "_rebuild_nested_tensor" => return self.nested(),
            "_rebuild_meta_tensor_no_storage" => self.without_storage(0, 1)?,
            "_rebuild_wrapper_subclass" => self.without_storage(1, 2)?,
            _ => return Ok(Rebuilt::Other),
        };
        Ok(Rebuilt::Tensor(Box::new(spec)))
    }

    /// `storage, offset, size, stride, …`
    pub(super) fn strided(self) -> Result<Spec<'t>> {
        let &[storage, offset, size, stride, ..] = self.arguments else {
            return Err(self.arguments_error());
        };
        let Value::PersistentId(id) = self.tree.value(storage) else {
            let found = "no persistent id";
            return Err(self.error("a tensor's storage", found, "a persistent id"));
        };
        let storage = StorageId::read(self.tree, id)
            .map_err(|error| error.at(self.declared_at))?
            .ok_or_else(|| self.error("a persistent id", "no storage's", "a storage"))?;
        let offset = unsigned(self.tree, offset)
            .ok_or_else(|| self.error("a storage offset", "no number", "0 or more"))?;
        let spec = Spec {
            shape: self.numbers("a tensor's size", size)?,
            strides: self.numbers("a tensor's stride", stride)?,
            offset,
            requires_grad: matches!(
                self.arguments.get(4).map(|&id| self.tree.value(id)),
                Some(Value::Bool(true))
            ),
            ..Spec::new(
                storage.dtype.unwrap_or(DType::U8),
                Data::Storage(storage),
                self.declared_at,
            )
        };
        if spec.shape.len() != spec.strides.len() {
            return Err(Error::malformed(Malformed::Mismatch {
                what: "the number of strides",
                found: to_u64(spec.strides.len()),
                expected: to_u64(spec.shape.len()),
            })
            .at(self.declared_at));
        }
        Ok(spec)
    }

    /// `_rebuild_tensor_v3`: an untyped storage and a dtype.
    fn typed(self) -> Result<Spec<'t>> {
        let mut spec = self.strided()?;
        let dtype = self.arguments.get(6).copied();
        (spec.dtype, spec.code) = self.dtype(dtype)?;
        Ok(spec)
    }

    fn dtype(self, id: Option<NodeId>) -> Result<(DType, &'t str)> {
        let global = id.and_then(|id| self.tree.global(id));
        match global.filter(|global| global.module == "torch") {
            Some(global) => match DType::from_torch(global.name) {
                Some(dtype) => Ok((dtype, "")),
                None => Ok((DType::Opaque, global.name)),
            },
            None => Err(self.error("a dtype", "no torch dtype", "a torch dtype")),
        }
    }

    /// The metadata at `place`: `{"conj": True}`, `{"neg": True}`.
    fn with_signs(self, spec: Spec<'t>, place: usize) -> Spec<'t> {
        let is_set = |wanted: &str| {
            let metadata = self.arguments.get(place).map(|&id| self.tree.value(id));
            let Some(Value::Dict(pairs)) = metadata else {
                return false;
            };
            pairs.chunks_exact(2).any(|pair| match pair {
                &[key, value] => {
                    self.tree.is_text(key, wanted)
                        && matches!(self.tree.value(value), Value::Bool(true))
                }
                _ => false,
            })
        };
        let signs = Signs {
            conjugated: is_set("conj"),
            negated: is_set("neg"),
        };
        Spec { signs, ..spec }
    }

    /// `_rebuild_qtensor`: integers, then `(scheme, scale, zero point)` or
    /// `(scheme, scales, zero points, axis)`.
    fn quantized(self) -> Result<Spec<'t>> {
        let mut spec = self.strided()?;
        spec.requires_grad = matches!(
            self.arguments.get(5).map(|&id| self.tree.value(id)),
            Some(Value::Bool(true))
        );
        let parameters = self.arguments.get(4).and_then(|&id| self.tree.sequence(id));
        spec.companions = match parameters {
            Some(&[_, scale, zero_point]) => vec![("scale", scale), ("zero_point", zero_point)],
            Some(&[_, scales, zero_points, axis]) => {
                self.check_channels(&spec, scales, zero_points, axis)?;
                vec![
                    ("scale", scales),
                    ("zero_point", zero_points),
                    ("axis", axis),
                ]
            }
            _ => return Err(self.arguments_error()),
        };
        Ok(spec)
    }

    /// One scale and one zero point for each place along the axis.
    fn check_channels(
        self,
        spec: &Spec<'_>,
        scales: NodeId,
        zero_points: NodeId,
        axis: NodeId,
    ) -> Result<()> {
        let axis = unsigned(self.tree, axis).and_then(|axis| usize::try_from(axis).ok());
        let channels = axis.and_then(|axis| spec.shape.get(axis));
        let &expected = channels.ok_or_else(|| {
            let expected = "a dimension of the tensor";
            self.error("the axis of a quantized tensor", "another", expected)
        })?;
        for (what, values) in [
            ("the number of scales", scales),
            ("the number of zero points", zero_points),
        ] {
            let found = match rebuild(self.tree, values)? {
                Rebuilt::Tensor(values) => match values.shape.as_slice() {
                    &[count] => count,
                    _ => u64::MAX,
                },
                _ => self
                    .tree
                    .sequence(values)
                    .map_or(u64::MAX, |values| to_u64(values.len())),
            };
            if found != expected {
                return Err(Error::malformed(Malformed::Mismatch {
                    what,
                    found,
                    expected,
                })
                .at(self.declared_at));
            }
        }
        Ok(())
    }

    /// `_rebuild_sparse_tensor`: `layout, (index tensors…, values, size, …)`.
    fn sparse(self) -> Result<Rebuilt<'t>> {
        let &[layout, data, ..] = self.arguments else {
            return Err(self.arguments_error());
        };
        let layout = self
            .tree
            .object(layout)
            .and_then(|layout| self.tree.sequence(layout.arguments))
            .and_then(|arguments| self.tree.str(*arguments.first()?));
        let names: &[&'static str] = match layout {
            Some("torch.sparse_coo") => &["indices", "values"],
            Some("torch.sparse_csr" | "torch.sparse_bsr") => {
                &["crow_indices", "col_indices", "values"]
            }
            Some("torch.sparse_csc" | "torch.sparse_bsc") => {
                &["ccol_indices", "row_indices", "values"]
            }
            _ => return Err(self.error("a sparse layout", "unknown", "a torch layout")),
        };
        let data = self.tree.sequence(data).unwrap_or_default();
        if data.len() <= names.len() {
            return Err(self.arguments_error());
        }
        Ok(Rebuilt::Parts(
            "sparse",
            names.iter().copied().zip(data.iter().copied()).collect(),
        ))
    }

    /// `_rebuild_nested_tensor`: `buffer, sizes, strides, storage offsets`.
    fn nested(self) -> Result<Rebuilt<'t>> {
        let names = ["buffer", "sizes", "strides", "offsets"];
        if self.arguments.len() < names.len() {
            return Err(self.arguments_error());
        }
        let arguments = self.arguments.iter().copied();
        Ok(Rebuilt::Parts(
            "nested",
            names.into_iter().zip(arguments).collect(),
        ))
    }

    /// A tensor of which only dtype and shape were saved.
    fn without_storage(self, dtype: usize, size: usize) -> Result<Spec<'t>> {
        let (dtype, code) = self.dtype(self.arguments.get(dtype).copied())?;
        let &size = self
            .arguments
            .get(size)
            .ok_or_else(|| self.arguments_error())?;
        Ok(Spec {
            code,
            shape: self.numbers("a tensor's size", size)?,
            ..Spec::new(dtype, Data::Absent(Absence::ShapeOnly), self.declared_at)
        })
    }

    pub(super) fn numbers(self, what: &'static str, id: NodeId) -> Result<Vec<u64>> {
        // torch.Size is a call with one tuple.
        let sequence = match self.tree.object(id) {
            Some(size) => self
                .tree
                .sequence(size.arguments)
                .and_then(|arguments| self.tree.sequence(*arguments.first()?)),
            None => self.tree.sequence(id),
        };
        let wrong = || self.error(what, "something else", "a tuple of numbers from 0 up");
        let sequence = sequence.ok_or_else(wrong)?;
        let rank = to_u64(sequence.len());
        if rank > MOST_RANK {
            return Err(Error::limit(Limit::Rank.name(), rank, MOST_RANK).at(self.declared_at));
        }
        let mut numbers = Vec::new();
        numbers
            .try_reserve_exact(sequence.len())
            .map_err(|_| Error::out_of_memory().at(self.declared_at))?;
        for &item in sequence {
            numbers.push(unsigned(self.tree, item).ok_or_else(wrong)?);
        }
        Ok(numbers)
    }

    #[cold]
    pub(super) fn arguments_error(self) -> Error {
        self.error(
            "a rebuild call",
            "short of arguments",
            "all of its arguments",
        )
    }

    #[cold]
    pub(super) fn error(self, what: &'static str, found: &str, expected: &'static str) -> Error {
        Error::unexpected(what, found, expected).at(self.declared_at)
    }
}
