//! Lists, dicts and sets: making them, and adding to whatever stands below the items.

use super::Machine;
use crate::error::{Error, Result};
use crate::formats::pickle::event::{Anomaly, EventKind};
use crate::formats::pickle::opcode::Opcode;
use crate::formats::pickle::tree::{EMPTY, MOST_HASH, NO_HASH, Node, NodeId, Tree};

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

    /// A tuple of the values from `height` on, which leave the stack.
    #[inline]
    pub(super) fn tuple_from(&mut self, height: usize) -> Result<NodeId> {
        let start = self.reserve_items(height)?;
        let Tree { items, nodes, .. } = &mut self.tree;
        let taken = self.stack.get(height..).unwrap_or_default();
        let (mut none, mut steps) = (false, 1_u64);
        items.extend(taken.iter().map(|&item| {
            let more = hash_steps(nodes, item);
            none |= more == NO_HASH;
            steps = steps.saturating_add(more.into());
            item
        }));
        let length = u32::try_from(taken.len()).unwrap_or(u32::MAX);
        self.stack.truncate(height);
        let steps = u16::try_from(steps).unwrap_or(MOST_HASH).min(MOST_HASH);
        let steps = if none { NO_HASH } else { steps };
        self.node(Node::Tuple(start, length, steps))
    }

    /// Keys of dicts and items of sets, which stand `step` apart from `height` on, need a hash, and one that
    /// is found in a time that the file's length explains.
    pub(super) fn check_hashable(&mut self, height: usize, step: usize) {
        /// Steps for each opcode, and for all together.
        const STEPS: u64 = 64;
        const FREE_STEPS: u64 = 4_000_000;
        let keys = self.stack.get(height..).unwrap_or_default();
        let (mut none, mut endless) = (false, false);
        let mut hashed = self.hashed;
        for &key in keys.iter().step_by(step) {
            let steps = hash_steps(&self.tree.nodes, key);
            none |= steps == NO_HASH;
            endless |= steps == MOST_HASH;
            hashed = hashed.saturating_add(steps.into());
        }
        self.hashed = hashed;
        if none {
            self.anomaly(Anomaly::Unhashable);
        }
        let allowed = self
            .opcodes
            .saturating_mul(STEPS)
            .saturating_add(FREE_STEPS);
        if endless || hashed > allowed {
            self.anomaly(Anomaly::HashBomb);
        }
    }

    /// The container behind a list, dict, set or object; made when the first thing is added.
    fn container(&mut self, target: NodeId, pairs: bool) -> Result<Option<usize>> {
        let place = target.position();
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
                    let room = container.capacity().saturating_sub(container.len());
                    if added.len() > room {
                        let additional = added.len().max(container.len() / 2);
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

/// The steps of a value's hash as far as one can know: what a call gives may have any.
#[inline]
fn hash_steps(nodes: &[Node], id: NodeId) -> u16 {
    match nodes.get(id.position()) {
        Some(Node::List(_) | Node::Dict(_) | Node::Set(_) | Node::ByteArray(..)) => NO_HASH,
        Some(&Node::Tuple(_, _, steps)) => steps,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::to_u64;
    use crate::limits::Budget;

    /// By half, and by what is added: the list never grows by itself, behind the budget's back.
    #[test]
    fn room_in_a_container_is_charged_before_it_is_filled() {
        for (length, free, added, step) in [
            (0, 0, 3, 3),
            (100, 0, 1, 50),
            (101, 0, 1, 50),
            (100, 0, 51, 51),
            (100, 3, 3, 0),
            (100, 3, 4, 50),
            (10, 4, 8, 8),
            (1000, 400, 900, 900),
        ] {
            let bytes = to_u64(step * size_of::<NodeId>());
            for (heap_bytes, fits) in [(bytes, true), (bytes.wrapping_sub(1), step == 0)] {
                let mut budget = Budget::default();
                let mut sink = ();
                let mut machine = Machine::new(b"", 0, &mut sink, &mut budget);
                let target = machine.node(Node::List(EMPTY)).unwrap();
                machine.container(target, false).unwrap();
                machine.tree.containers[0].reserve_exact(length + free);
                machine.tree.containers[0].resize(length, target);
                machine.stack.resize(added, target);
                *machine.budget = Budget::of_heap(heap_bytes);
                let found = machine.add_from(0, target, false);
                assert_eq!(found.is_ok(), fits, "{length} {free} {added}");
                if fits {
                    let container = &machine.tree.containers[0];
                    assert_eq!(container.len(), length + added);
                    assert_eq!(container.capacity(), length + free.max(step));
                }
            }
        }
    }
}
