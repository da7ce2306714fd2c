//! `attributes.pkl` of TorchScript archives before torch 1.3: a tuple of values, in which a tensor is its
//! number in the table of `model.json`.
//!
//! ```text
//! ( build_tensor_from_id(2), build_tensorlist([build_tensor_from_id(3), …]), {"a": …}, 1, "text", … )
//! ```
//!
//! Source: torch 1.2.0 `torch/csrc/jit/pickler.cpp` (`pushTensorReference`).

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::formats::pickle::{Loaded, NodeId, Tree, Value};
use crate::limits::Budget;

const MODULE: &str = "torch.jit._pickle";

/// The tensors of one attribute: what follows its name, and the number in the table.
pub(super) type Tensors = Vec<(String, u64)>;

/// The tensors of every attribute, by its place in the tuple.
pub(super) fn read(loaded: &Loaded<'_>, budget: &mut Budget) -> Result<Vec<Tensors>> {
    let values = loaded.tree.sequence(loaded.root).ok_or_else(|| {
        let found = loaded.tree.value(loaded.root).kind();
        Error::unexpected("the attributes", found, "a tuple")
    })?;
    let mut attributes = Vec::new();
    let mut walk = Walk {
        tree: &loaded.tree,
        entered: HashMap::new(),
        left: loaded.length.saturating_mul(MOST_NAMES),
    };
    for &value in values {
        budget.grow(&mut attributes)?;
        attributes.push(walk.tensors(value, budget)?);
    }
    Ok(attributes)
}

/// Bytes of all names per byte of the pickle: a memo lets two bytes repeat a key of thousands.
const MOST_NAMES: usize = 4;

struct Walk<'t, 'a> {
    tree: &'t Tree<'a>,
    /// Containers are entered once.
    entered: HashMap<NodeId, ()>,
    /// Bytes that are left for names.
    left: usize,
}

impl Walk<'_, '_> {
    /// Follows containers without recursion. A tensor that is left without a name, because its container was
    /// entered before or the names are too long, is still in the table.
    fn tensors(&mut self, root: NodeId, budget: &mut Budget) -> Result<Tensors> {
        let tree = self.tree;
        let mut found = Tensors::new();
        let mut rest = vec![(String::new(), root)];
        while let Some((name, node)) = rest.pop() {
            if let Some(number) = table_number(tree, node) {
                budget.grow(&mut found)?;
                found.push((name, number));
                continue;
            }
            budget.grow_map(&mut self.entered)?;
            if self.entered.insert(node, ()).is_some() {
                continue;
            }
            let left = &mut self.left;
            let mut enter = |part: &str, child: NodeId, budget: &mut Budget| -> Result<()> {
                let needed = name.len().saturating_add(part.len()).saturating_add(1);
                let Some(less) = left.checked_sub(needed) else {
                    return Ok(());
                };
                *left = less;
                budget.grow(&mut rest)?;
                let path = match part {
                    "" => budget.join(&[&name])?,
                    part => budget.join(&[&name, ".", part])?,
                };
                rest.push((path, child));
                Ok(())
            };
            match tree.value(node) {
                Value::List(items) | Value::Tuple(items) => {
                    for (place, &item) in items.iter().enumerate().rev() {
                        enter(&place.to_string(), item, budget)?;
                    }
                }
                Value::Dict(pairs) => {
                    for pair in pairs.chunks_exact(2).rev() {
                        if let &[key, value] = pair {
                            enter(tree.str(key).unwrap_or("?"), value, budget)?;
                        }
                    }
                }
                Value::Object(object) => {
                    let arguments = tree.sequence(object.arguments).unwrap_or_default();
                    if let (true, Some(&list)) =
                        (is_builder(tree, object.callable), arguments.first())
                    {
                        enter("", list, budget)?;
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// `build_tensor_from_id(number)`.
fn table_number(tree: &Tree<'_>, node: NodeId) -> Option<u64> {
    let object = tree.object(node)?;
    let global = tree.global(object.callable)?;
    match (global.module, global.name, tree.sequence(object.arguments)?) {
        (MODULE, "build_tensor_from_id", &[number]) => u64::try_from(tree.int(number)?).ok(),
        _ => None,
    }
}

/// A function of one list.
fn is_builder(tree: &Tree<'_>, callable: NodeId) -> bool {
    tree.global(callable)
        .is_some_and(|global| global.module == MODULE)
}
