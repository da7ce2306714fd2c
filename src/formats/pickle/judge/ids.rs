//! What the surroundings of a pickle say: persistent ids, and globals that are harmless in one place.

use super::Surroundings;
use super::listed::{Listed, Told};
use crate::findings::Verdict;
use crate::formats::pickle::Global;
use crate::formats::pickle::tree::{NodeId, Tree, Value};

/// Classes of plain data that describe distributed checkpoints.
const DISTRIBUTED: &[(&str, &[&str])] = &[
    (
        "torch.distributed.checkpoint.metadata",
        &[
            "Metadata",
            "MetadataIndex",
            "TensorStorageMetadata",
            "TensorProperties",
            "ChunkStorageMetadata",
            "BytesStorageMetadata",
            "StorageMeta",
            "_MEM_FORMAT_ENCODING",
        ],
    ),
    ("torch.distributed.checkpoint.filesystem", &["_StorageInfo"]),
];

/// Functions by which TorchScript's pickler tags lists.
const SCRIPT: &[&str] = &[
    "build_intlist",
    "build_tensorlist",
    "build_doublelist",
    "build_boollist",
    "build_tensor_from_id",
    "restore_type_tag",
];

/// Digits of a tensor's number as text.
const MOST_DIGITS: usize = 20;

/// Whether a global is harmless where the pickle stands.
pub(super) fn is_harmless_within(surroundings: Surroundings, global: Global<'_>) -> bool {
    match surroundings {
        Surroundings::Anywhere => false,
        Surroundings::Script => {
            let class = global.module == "__torch__" || global.module.starts_with("__torch__.");
            class || (global.module == "torch.jit._pickle" && SCRIPT.contains(&global.name))
        }
        Surroundings::Distributed => DISTRIBUTED
            .iter()
            .any(|(module, names)| *module == global.module && names.contains(&global.name)),
    }
}

/// Whether a persistent id is that of a class, with the source that it was saved with:
/// `("module", class, file, source)`, or `(class, …)` in the tar archives of torch 0.1.
#[must_use]
pub fn is_module_id(tree: &Tree<'_>, id: NodeId) -> bool {
    module_class(tree, id).is_some()
}

/// The class that such an id names.
pub(super) fn module_class<'t>(tree: &'t Tree<'_>, id: NodeId) -> Option<Global<'t>> {
    match tree.sequence(id) {
        Some(&[kind, class, ..]) => tree.global(kind).or_else(|| {
            let named = tree.is_text(kind, "module");
            tree.global(class).filter(|_| named)
        }),
        _ => None,
    }
}

/// What is odd about a persistent id.
pub(super) fn objection(
    tree: &Tree<'_>,
    policy: &mut Listed,
    id: NodeId,
) -> Option<(Verdict, &'static str)> {
    let digits = match tree.value(id) {
        Value::Str(text) | Value::ByteString(text) => {
            (1..=MOST_DIGITS).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    // Tensors of torch's tar archives are numbers.
    if tree.int(id).is_some() || digits || is_module_id(tree, id) {
        return None;
    }
    match tree.sequence(id) {
        Some(&[kind, class, key, location, elements, ref view @ ..])
            if tree.is_text(kind, "storage") =>
        {
            let tensor = tree
                .global(class)
                .is_some_and(|class| policy.told(class) == Told::Tensor);
            let key = tree.is_str(key) || tree.int(key).is_some();
            let count = tree.int(elements).is_some_and(|count| count >= 0);
            let view = match view {
                [] => true,
                &[view] => matches!(tree.value(view), Value::None | Value::Tuple(_)),
                _ => false,
            };
            let right = tensor && key && count && view && tree.is_str(location);
            (!right).then_some((
                Verdict::Malformed,
                "a storage's persistent id is not a class, a key, a location and a count",
            ))
        }
        _ => Some((
            Verdict::Unrecognised,
            "it asks its loader for an object of an unknown kind",
        )),
    }
}
