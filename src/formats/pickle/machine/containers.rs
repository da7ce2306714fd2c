//! Lists, dicts and sets: making them, and adding to whatever stands below the items.

use super::Machine;
use crate::error::{Error, Result};
use crate::formats::pickle::event::{Anomaly, EventKind};
use crate::formats::pickle::opcode::Opcode;
use crate::formats::pickle::tree::{EMPTY, Node, NodeId};

impl Machine<'_, '_> {
    pub(super) fn new_container(&mut self, node: Node, pairs: bool) -> Result<()> {
        let height = self.pop_mark()?;
        self.check_pairs(height, pairs)?;
        let target = self.node(node)?;
        self.add_from(height, target, pairs)?;
        self.push(target)
    }

    pub(super) fn add_last(&mut self, count: usize, pairs: bool) -> Result<()> {
        let height = self
            .stack
            .len()
            .checked_sub(count)
            .filter(|&height| height > self.floor())
            .ok_or_else(|| self.underflow())?;
        self.add_to_below(height, pairs)
    }

    pub(super) fn add_marked(&mut self, pairs: bool) -> Result<()> {
        let height = self.pop_mark()?;
        if height <= self.floor() {
            return Err(self.underflow());
        }
        self.check_pairs(height, pairs)?;
        self.add_to_below(height, pairs)
    }

    /// Adds what stands from `height` on to the value just below.
    fn add_to_below(&mut self, height: usize, pairs: bool) -> Result<()> {
        let below = height.checked_sub(1);
        let target = below.and_then(|below| self.stack.get(below).copied());
        let target = target.ok_or_else(|| self.underflow())?;
        self.add_from(height, target, pairs)
    }

    fn check_pairs(&self, height: usize, pairs: bool) -> Result<()> {
        let count = self.stack.len().saturating_sub(height);
        if pairs && count % 2 == 1 {
            return Err(Error::unexpected(
                "the items",
                "odd in number",
                "key-value pairs",
            ));
        }
        Ok(())
    }

    /// A tuple of items that were taken.
    pub(super) fn tuple_of(&mut self, (start, length): (usize, u32)) -> Result<NodeId> {
        let items = self.tree.items.get(start..).unwrap_or_default();
        let hashable = items.iter().all(|&item| self.is_hashable(item));
        self.node(Node::Tuple(start, length, hashable))
    }

    /// Keys of dicts and items of sets, which stand `step` apart from `height` on, need a hash.
    pub(super) fn check_hashable(&mut self, height: usize, step: usize) {
        let keys = self.stack.get(height..).unwrap_or_default();
        if !keys.iter().step_by(step).all(|&key| self.is_hashable(key)) {
            self.anomaly(Anomaly::Unhashable);
        }
    }

    /// Whether a value has a hash as far as one can know: what a call gives may have one.
    #[inline]
    pub(super) fn is_hashable(&self, id: NodeId) -> bool {
        !matches!(
            self.tree.node(id),
            Some(
                Node::List(_)
                    | Node::Dict(_)
                    | Node::Set(_)
                    | Node::ByteArray(..)
                    | Node::Tuple(_, _, false)
            )
        )
    }

    /// The container behind a list, dict, set or object; made when the first thing is added.
    fn container(&mut self, target: NodeId, pairs: bool) -> Result<Option<usize>> {
        let place = usize::try_from(target.0).unwrap_or(usize::MAX);
        let next = u32::try_from(self.tree.containers.len()).unwrap_or(EMPTY);
        let slot = match self.tree.nodes.get_mut(place) {
            Some(Node::List(slot) | Node::Set(slot)) if !pairs => slot,
            Some(Node::Dict(slot)) if pairs => slot,
            Some(Node::Object(object)) => {
                let object = usize::try_from(*object)
                    .ok()
                    .and_then(|object| self.tree.objects.get_mut(object));
                match object {
                    Some(object) if object.items == EMPTY || object.pairs == pairs => {
                        object.pairs = pairs;
                        &mut object.items
                    }
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        let index = *slot;
        if index != EMPTY {
            return Ok(usize::try_from(index).ok());
        }
        *slot = next;
        self.budget.grow(&mut self.tree.containers)?;
        self.tree.containers.push(Vec::new());
        Ok(usize::try_from(next).ok())
    }

    /// Adds the values from `height` on to a container and takes them off the stack. On anything
    /// else that would be a method call: reported, and the values dropped.
    fn add_from(&mut self, height: usize, target: NodeId, pairs: bool) -> Result<()> {
        if self.stack.len() > height {
            match self.tree.node(target) {
                Some(Node::List(_)) if !pairs && self.opcode != Opcode::AddItems => {}
                Some(Node::Set(_)) if self.opcode == Opcode::AddItems => {
                    self.check_hashable(height, 1);
                }
                Some(Node::Dict(_)) if pairs => self.check_hashable(height, 2),
                Some(Node::Object(_) | Node::PersistentId(_) | Node::Extension(_)) => {
                    self.event(EventKind::Mutation(target));
                }
                _ => {
                    self.event(EventKind::Mutation(target));
                    self.anomaly(Anomaly::PlainTarget);
                }
            }
            if let Some(container) = self.container(target, pairs)? {
                let added = self.stack.get(height..).unwrap_or_default();
                if let Some(container) = self.tree.containers.get_mut(container) {
                    let missing = added
                        .len()
                        .saturating_sub(container.capacity().saturating_sub(container.len()));
                    if missing > 0 {
                        let additional = missing.max(container.len() / 2);
                        self.budget.reserve(container, additional)?;
                    }
                    container.extend_from_slice(added);
                }
            }
        }
        self.stack.truncate(height);
        Ok(())
    }
}
