//! The functions by which a torch pickle rebuilds its tensors, read as data.
//!
//! Source: torch 2.15.0 `_utils.py` (`_rebuild_*`), `_tensor.py` (`_rebuild_from_type*`),
//! `serialization.py` (`persistent_load`).

use crate::bytes::to_u64;
use crate::dtype::DType;
use crate::error::{Error, Malformed, Result, shortened};
use crate::formats::pickle::{Global, NodeId, Object, Tree, Value};
use crate::index::Signs;
use crate::shape;

/// How many wrappers (a parameter of a parameter of …) are looked through.
const MOST_WRAPPERS: usize = 16;

/// A storage that the pickle asks its loader for:
/// `("storage", class, key, location, element count)`.
#[derive(Clone, Debug)]
pub(super) struct StorageId<'t> {
    /// `None` for `UntypedStorage`, which counts bytes.
    pub(super) dtype: Option<DType>,
    pub(super) key: &'t str,
    pub(super) location: &'t str,
    pub(super) elements: u64,
    pub(super) element_bytes: u64,
    /// The window of a legacy view: first element and count, in a storage of another key.
    pub(super) view: Option<(u64, u64)>,
}

impl<'t> StorageId<'t> {
    /// Reads a persistent id; `None` if it is no storage's.
    pub(super) fn read(tree: &'t Tree<'_>, id: NodeId) -> Result<Option<Self>> {
        let Some(&[kind, class, key, location, elements, ref more @ ..]) = tree.sequence(id) else {
            return Ok(None);
        };
        if tree.str(kind) != Some("storage") {
            return Ok(None);
        }
        let class = tree
            .global(class)
            .ok_or_else(|| Error::unexpected("a storage class", "not a global", "a class"))?;
        let torch = class.module == "torch"
            || class.module == "torch.storage"
            || class.module == "torch.cuda";
        let untyped = class.name == "UntypedStorage";
        let dtype = DType::from_torch_storage(class.name);
        if !torch || (dtype.is_none() && !untyped) {
            let found = format!("{}.{}", shortened(class.module), shortened(class.name));
            return Err(Error::unexpected(
                "a storage class",
                found,
                "a torch storage",
            ));
        }
        let text = |id| tree.str(id);
        let (Some(key), Some(location), Some(elements)) =
            (text(key), text(location), unsigned(tree, elements))
        else {
            let found = "of other types";
            let expected = "a key, a location and an element count";
            return Err(Error::unexpected("a storage's fields", found, expected));
        };
        let view = match more.first().map(|&view| tree.value(view)) {
            None | Some(Value::None) => None,
            Some(_) => more.first().and_then(|&view| legacy_view(tree, view)),
        };
        Ok(Some(Self {
            dtype,
            key,
            location,
            elements,
            element_bytes: dtype.map_or(1, |dtype| to_u64(dtype.block_bytes())),
            view,
        }))
    }
}

/// `(view key, first element, element count)`.
fn legacy_view(tree: &Tree<'_>, view: NodeId) -> Option<(u64, u64)> {
    let &[_, first, count] = tree.sequence(view)? else {
        return None;
    };
    Some((unsigned(tree, first)?, unsigned(tree, count)?))
}

/// A tensor as its rebuild call describes it.
#[derive(Clone, Debug)]
pub(super) struct Spec<'t> {
    pub(super) dtype: DType,
    /// torch's own name, for a dtype that we do not know.
    pub(super) code: &'t str,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
    /// First element in the storage.
    pub(super) offset: u64,
    /// `None` for a tensor without bytes.
    pub(super) storage: Option<StorageId<'t>>,
    /// Scales and zero points that belong to it.
    pub(super) companions: Vec<(&'static str, NodeId)>,
    /// Sign changes to be made when the values are read.
    pub(super) signs: Signs,
    /// Where the call stands in the file.
    pub(super) declared_at: u64,
}

/// What a call rebuilds.
pub(super) enum Rebuilt<'t> {
    /// A tensor.
    Tensor(Box<Spec<'t>>),
    /// Components that stand for one tensor: `indices` and `values`.
    Parts(Vec<(&'static str, NodeId)>),
    /// No tensor: a container, an object, plain data.
    Other,
}

/// Looks through wrappers and reads the rebuild call of a value.
pub(super) fn rebuild<'t>(tree: &'t Tree<'_>, mut id: NodeId) -> Result<Rebuilt<'t>> {
    for _ in 0..MOST_WRAPPERS {
        let Some(object) = tree.object(id) else {
            return Ok(Rebuilt::Other);
        };
        let Some(global) = tree.global(object.callable) else {
            return Ok(Rebuilt::Other);
        };
        let arguments = tree.sequence(object.arguments).unwrap_or_default();
        match wrapped(global, arguments) {
            Some(inner) => id = inner,
            None => return by_function(tree, object, global, arguments),
        }
    }
    Ok(Rebuilt::Other)
}

/// The value inside a function that only wraps it.
fn wrapped(global: Global<'_>, arguments: &[NodeId]) -> Option<NodeId> {
    let wraps = matches!(
        (global.module, global.name),
        (
            "torch._utils",
            "_rebuild_parameter"
                | "_rebuild_parameter_with_state"
                | "_rebuild_device_tensor_from_cpu_tensor"
        ) | ("torch.nn.parameter", "Parameter" | "Buffer")
    );
    arguments.first().copied().filter(|_| wraps)
}

fn by_function<'t>(
    tree: &'t Tree<'_>,
    object: &'t Object,
    global: Global<'t>,
    arguments: &'t [NodeId],
) -> Result<Rebuilt<'t>> {
    let call = Call {
        tree,
        arguments,
        declared_at: object.offset,
    };
    let tensor = |spec: Spec<'t>| Ok(Rebuilt::Tensor(Box::new(spec)));
    let spec = match (global.module, global.name) {
        ("torch._utils", name) => return call.by_name(name),
        ("torch._tensor", "_rebuild_from_type_v2" | "_rebuild_from_type") => {
            let &[function, _, inner, ..] = arguments else {
                return Err(call.arguments_error());
            };
            let inner = tree.sequence(inner).unwrap_or_default();
            let function = tree.global(function);
            let Some(function) = function.filter(|global| global.module == "torch._utils") else {
                return Ok(Rebuilt::Other);
            };
            let call = Call {
                arguments: inner,
                ..call
            };
            return call.by_name(function.name);
        }
        // Before torch 0.1.10, a typed tensor was made empty and given its storage as state.
        ("torch" | "torch.cuda", name) if name.ends_with("Tensor") && name != "Tensor" => {
            let state = object.state.and_then(|state| tree.sequence(state));
            match state {
                Some(state @ &[_, _, _, _]) => Call {
                    arguments: state,
                    ..call
                }
                .strided()?,
                _ => return Ok(Rebuilt::Other),
            }
        }
        _ => return Ok(Rebuilt::Other),
    };
    tensor(spec)
}

/// The arguments of one rebuild function.
#[derive(Clone, Copy)]
struct Call<'t, 'a> {
    tree: &'t Tree<'a>,
    arguments: &'t [NodeId],
    declared_at: u64,
}

impl<'t> Call<'t, '_> {
    /// A function of `torch._utils`.
    fn by_name(self, name: &str) -> Result<Rebuilt<'t>> {
        let spec = match name {
            "_rebuild_tensor" => self.strided()?,
            "_rebuild_tensor_v2" => self.with_signs(self.strided()?, 6),
            "_rebuild_tensor_v3" => self.with_signs(self.typed()?, 7),
            "_rebuild_qtensor" => self.quantized()?,
            "_rebuild_sparse_tensor" => return self.sparse(),
            "_rebuild_meta_tensor_no_storage" => self.without_storage(0, 1)?,
            "_rebuild_wrapper_subclass" => self.without_storage(1, 2)?,
            _ => return Ok(Rebuilt::Other),
        };
        Ok(Rebuilt::Tensor(Box::new(spec)))
    }

    /// `storage, offset, size, stride, …`
    fn strided(self) -> Result<Spec<'t>> {
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
        let mut spec = Spec {
            dtype: storage.dtype.unwrap_or(DType::U8),
            code: "",
            shape: self.numbers("a tensor's size", size)?,
            strides: self.numbers("a tensor's stride", stride)?,
            offset,
            storage: Some(storage),
            companions: Vec::new(),
            signs: Signs::default(),
            declared_at: self.declared_at,
        };
        if spec.shape.len() != spec.strides.len() {
            return Err(Error::malformed(Malformed::Mismatch {
                what: "the number of strides",
                found: to_u64(spec.strides.len()),
                expected: to_u64(spec.shape.len()),
            })
            .at(self.declared_at));
        }
        if spec
            .storage
            .as_ref()
            .is_some_and(|storage| storage.location == "meta")
        {
            spec.storage = None;
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
                    self.tree.str(key) == Some(wanted)
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
        let parameters = self.arguments.get(4).and_then(|&id| self.tree.sequence(id));
        spec.companions = match parameters {
            Some(&[_, scale, zero_point]) => vec![("scale", scale), ("zero_point", zero_point)],
            Some(&[_, scales, zero_points, axis]) => {
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
            names.iter().copied().zip(data.iter().copied()).collect(),
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
            dtype,
            code,
            shape: self.numbers("a tensor's size", size)?,
            strides: Vec::new(),
            offset: 0,
            storage: None,
            companions: Vec::new(),
            signs: Signs::default(),
            declared_at: self.declared_at,
        })
    }

    fn numbers(self, what: &'static str, id: NodeId) -> Result<Vec<u64>> {
        // torch.Size is a call with one tuple.
        let sequence = match self.tree.object(id) {
            Some(size) => self
                .tree
                .sequence(size.arguments)
                .and_then(|arguments| self.tree.sequence(*arguments.first()?)),
            None => self.tree.sequence(id),
        };
        sequence
            .and_then(|items| {
                items
                    .iter()
                    .map(|&item| unsigned(self.tree, item))
                    .collect()
            })
            .ok_or_else(|| self.error(what, "something else", "a tuple of numbers from 0 up"))
    }

    #[cold]
    fn arguments_error(self) -> Error {
        self.error(
            "a rebuild call",
            "short of arguments",
            "all of its arguments",
        )
    }

    #[cold]
    fn error(self, what: &'static str, found: &str, expected: &'static str) -> Error {
        Error::unexpected(what, found, expected).at(self.declared_at)
    }
}

impl Spec<'_> {
    /// How many elements of the storage the tensor reaches over.
    pub(super) fn reach(&self) -> Result<u64> {
        shape::reach(&self.shape, &self.strides)
    }
}

fn unsigned(tree: &Tree<'_>, id: NodeId) -> Option<u64> {
    tree.int(id).and_then(|number| u64::try_from(number).ok())
}
