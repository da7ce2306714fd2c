//! The functions by which a torch pickle rebuilds its tensors, read as data.
//!
//! Source: torch 2.15.0 `_utils.py` (`_rebuild_*`), `_tensor.py` (`_rebuild_from_type*`,
//! `Tensor.__setstate__`), torch 0.3.1 `autograd/variable.py` (`Variable.__setstate__`).

use super::call::Call;
use super::numpy;
use super::storage_id::StorageId;
use super::storages::Storage;
use crate::bytes::Endian;
use crate::dtype::DType;
use crate::error::Result;
use crate::formats::pickle::{Global, NodeId, Object, Tree, Value};
use crate::index::{Absence, Signs};
use crate::shape;

/// How many wrappers (a parameter of a parameter of …) are looked through.
const MOST_WRAPPERS: usize = 16;

/// Where the elements of a tensor are.
#[derive(Clone, Debug)]
pub(super) enum Data<'t> {
    /// Nowhere.
    Absent(Absence),
    /// In a storage.
    Storage(StorageId<'t>),
    /// In a storage that is found already.
    Placed(Storage),
    /// In the pickle itself, as NumPy writes its arrays.
    Inline(NodeId, Endian),
}

/// A tensor as its rebuild call describes it.
#[derive(Debug)]
pub(super) struct Spec<'t> {
    pub(super) dtype: DType,
    /// The framework's own name, for a dtype that we do not know.
    pub(super) code: &'t str,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
    /// First element in the storage.
    pub(super) offset: u64,
    pub(super) data: Data<'t>,
    /// Scales and zero points that belong to it.
    pub(super) companions: Vec<(&'static str, NodeId)>,
    /// The attributes that were saved with it.
    pub(super) state: Option<NodeId>,
    /// Sign changes to be made when the values are read.
    pub(super) signs: Signs,
    pub(super) requires_grad: bool,
    /// Module and name of its class.
    pub(super) class: (&'t str, &'t str),
    /// Where the call stands in the file.
    pub(super) declared_at: u64,
}

impl Spec<'_> {
    /// A tensor of which nothing is known yet.
    pub(super) fn new(dtype: DType, data: Data<'_>, declared_at: u64) -> Spec<'_> {
        Spec {
            dtype,
            code: "",
            shape: Vec::new(),
            strides: Vec::new(),
            offset: 0,
            data,
            companions: Vec::new(),
            state: None,
            signs: Signs::default(),
            requires_grad: false,
            class: ("torch", "Tensor"),
            declared_at,
        }
    }

    /// How many elements of the storage the tensor reaches over.
    pub(super) fn reach(&self) -> Result<u64> {
        shape::reach(&self.shape, &self.strides)
    }
}

/// What a call rebuilds.
pub(super) enum Rebuilt<'t> {
    /// A tensor.
    Tensor(Box<Spec<'t>>),
    /// Components that stand for one tensor: `indices` and `values`.
    Parts(&'static str, Vec<(&'static str, NodeId)>),
    /// A scalar of NumPy: its type, byte order and bytes.
    Scalar(DType, Endian, NodeId),
    /// A rebuild function of torch that we do not know: whatever it makes is not listed.
    Unknown(Global<'t>),
    /// No tensor: a container, an object, plain data.
    Other,
}

/// What the wrappers around a tensor say of it.
#[derive(Default)]
struct Outer<'t> {
    requires_grad: Option<bool>,
    class: Option<(&'t str, &'t str)>,
    state: Option<NodeId>,
}

/// One call on the way from the outermost wrapper to the tensor.
#[derive(Clone, Copy)]
struct Step<'t> {
    function: Global<'t>,
    arguments: &'t [NodeId],
    /// The object whose call it is; `None` for a function that another was given.
    object: Option<&'t Object>,
}

/// Looks through wrappers and reads the rebuild call of a value.
pub(super) fn rebuild<'t>(tree: &'t Tree<'_>, id: NodeId) -> Result<Rebuilt<'t>> {
    let Some(mut step) = step(tree, id) else {
        return Ok(Rebuilt::Other);
    };
    let declared_at = step.object.map_or(0, |object| object.offset);
    let mut outer = Outer::default();
    if (step.function.name, step.function.module) == ("_rebuild_tensor_v2", "torch._utils") {
        // Nearly every tensor: nothing is wrapped around it.
        return finish(tree, step, outer, declared_at);
    }
    for _ in 0..MOST_WRAPPERS {
        match unwrap(tree, step, &mut outer) {
            Some(inner) => step = inner,
            None => return finish(tree, step, outer, declared_at),
        }
    }
    Ok(Rebuilt::Other)
}

fn step<'t>(tree: &'t Tree<'_>, id: NodeId) -> Option<Step<'t>> {
    let object = tree.object(id)?;
    Some(Step {
        function: tree.global(object.callable)?,
        arguments: tree.sequence(object.arguments).unwrap_or_default(),
        object: Some(object),
    })
}

/// The call inside one that only wraps it.
fn unwrap<'t>(tree: &'t Tree<'_>, outermost: Step<'t>, outer: &mut Outer<'t>) -> Option<Step<'t>> {
    let Step {
        function,
        arguments,
        object,
    } = outermost;
    let argument = |place: usize| arguments.get(place).copied();
    let name = (function.module, function.name);
    let grad_place = match name {
        (
            "torch._utils",
            "_rebuild_device_tensor_from_cpu_tensor"
            | "_rebuild_device_tensor_from_numpy"
            | "_rebuild_xla_tensor",
        ) => 3,
        ("torch._tensor", "_rebuild_from_type_v2" | "_rebuild_from_type") => {
            let &[function, class, arguments, ref state @ ..] = arguments else {
                return None;
            };
            let class = tree.global(class).map(|class| (class.module, class.name));
            outer.class = outer.class.or(class);
            outer.state = outer.state.or(state.first().copied());
            return Some(Step {
                function: tree.global(function)?,
                arguments: tree.sequence(arguments)?,
                object: None,
            });
        }
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => 1,
        ("torch.nn.parameter", "Parameter" | "Buffer")
        | ("torch.autograd.variable", "Variable")
        | ("torch" | "torch._tensor" | "torch.tensor", "Tensor") => {
            let state = object.and_then(|object| tree.sequence(object.state?));
            let (inner, grad) = match state {
                // Data, gradient, hooks, requires_grad, volatile: Variables of torch 0.1.
                Some(&[data, _, _, grad, _]) => (data, Some(grad)),
                Some(&[grad, _, _]) => (argument(0)?, Some(grad)),
                _ => (argument(0)?, argument(1)),
            };
            outer.note(tree, grad, (function.module, function.name));
            return step(tree, inner);
        }
        _ => return None,
    };
    let class = match function.name {
        "_rebuild_parameter" | "_rebuild_parameter_with_state" => {
            outer.state = outer.state.or(argument(3));
            ("torch.nn.parameter", "Parameter")
        }
        _ => ("torch", "Tensor"),
    };
    outer.note(tree, argument(grad_place), class);
    step(tree, argument(0)?)
}

impl<'t> Outer<'t> {
    fn note(&mut self, tree: &Tree<'_>, grad: Option<NodeId>, class: (&'t str, &'t str)) {
        if let Some(Value::Bool(grad)) = grad.map(|grad| tree.value(grad)) {
            self.requires_grad.get_or_insert(grad);
        }
        self.class.get_or_insert(class);
    }
}

/// The innermost call, with what its wrappers say.
fn finish<'t>(
    tree: &'t Tree<'_>,
    step: Step<'t>,
    outer: Outer<'t>,
    declared_at: u64,
) -> Result<Rebuilt<'t>> {
    let call = Call {
        tree,
        arguments: step.arguments,
        declared_at: step.object.map_or(declared_at, |object| object.offset),
    };
    let rebuilt = match (step.function.module, step.function.name) {
        ("torch._utils", name) => call.by_name(name)?,
        ("torch._tensor", "_rebuild_from_type_v2" | "_rebuild_from_type")
            if step.arguments.len() < 3 =>
        {
            return Err(call.arguments_error());
        }
        // Before torch 0.1.10, a typed tensor was made empty and given its storage as state.
        ("torch" | "torch.cuda", name) if name.ends_with("Tensor") && name != "Tensor" => {
            let state = step.object.and_then(|object| tree.sequence(object.state?));
            match state {
                Some(state @ &[_, _, _, _]) => {
                    let arguments = state;
                    let call = Call { arguments, ..call };
                    Rebuilt::Tensor(Box::new(call.strided()?))
                }
                _ => Rebuilt::Other,
            }
        }
        (module, name) => numpy::rebuild(call, module, name, step.object)?,
    };
    Ok(match rebuilt {
        Rebuilt::Tensor(mut spec) => {
            spec.requires_grad = outer.requires_grad.unwrap_or(spec.requires_grad);
            spec.class = outer.class.unwrap_or(spec.class);
            spec.state = outer.state;
            Rebuilt::Tensor(spec)
        }
        Rebuilt::Other if step.function.module == "torch._utils" => {
            if step.function.name.starts_with("_rebuild") {
                Rebuilt::Unknown(step.function)
            } else {
                Rebuilt::Other
            }
        }
        other => other,
    })
}

/// A number from 0 up.
pub(super) fn unsigned(tree: &Tree<'_>, id: NodeId) -> Option<u64> {
    tree.int(id).and_then(|number| u64::try_from(number).ok())
}
