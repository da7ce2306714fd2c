//! The stack machine, with its calls left out.

mod containers;
mod fetch;
mod globals;
mod numbers;
mod quick;
mod step;

use super::Loaded;
use super::event::{Anomaly, Event, EventKind, Sink};
use super::memo::Memo;
use super::opcode::Opcode;
use super::tree::{EMPTY, Node, NodeId, Object, Tree};
use crate::bytes::{to_u64, to_usize};
use crate::error::{Error, Malformed, Result};
use crate::limits::{Budget, Limit, growth_along};

/// The highest protocol of CPython 3.11.
const HIGHEST_PROTOCOL: u8 = 5;

pub(super) struct Machine<'a, 's> {
    tree: Tree<'a>,
    sink: &'s mut dyn Sink,
    budget: &'s mut Budget,
    stack: Vec<NodeId>,
    /// Heights of the stack where marks stand: private, so that no value can pass for a mark.
    marks: Vec<usize>,
    memo: Memo,
    protocol: u8,
    /// Offset in the input of the next byte.
    at: usize,
    /// Offset of the running opcode.
    start: usize,
    opcode: Opcode,
    /// Where the open frame ends.
    frame_end: usize,
    opcodes: u64,
    /// The next number of opcodes at which the budget is asked, and the stack's height from which on it is:
    /// asking it for each of millions of opcodes took a quarter of the time.
    next_check: u64,
    most_stack: usize,
    /// Steps that the hashes of all keys would take.
    hashed: u64,
    /// A number that is refused, once everything behind it was heard.
    refused: Option<Error>,
    /// The nodes of [`Fixed`] values that were written already.
    fixed: [Option<NodeId>; Fixed::COUNT],
}

/// A value that is the same wherever it stands, as it is to CPython: it has one node.
#[derive(Clone, Copy)]
enum Fixed {
    /// A number of one byte.
    Number(u8),
    None,
    True,
    False,
    EmptyTuple,
}

impl Fixed {
    const COUNT: usize = 260;

    #[inline]
    fn place(self) -> usize {
        match self {
            Self::Number(number) => number.into(),
            Self::None => 256,
            Self::True => 257,
            Self::False => 258,
            Self::EmptyTuple => 259,
        }
    }

    fn node(self) -> Node {
        match self {
            Self::Number(number) => Node::Int(number.into()),
            Self::None => Node::None,
            Self::True => Node::Bool(true),
            Self::False => Node::Bool(false),
            Self::EmptyTuple => Node::Tuple(0, 0, 1),
        }
    }
}

/// Opcodes between two looks at the budget.
const OPCODES_PER_CHECK: u64 = 64;

impl<'a, 's> Machine<'a, 's> {
    pub(super) fn new(
        input: &'a [u8],
        base: u64,
        sink: &'s mut dyn Sink,
        budget: &'s mut Budget,
    ) -> Self {
        let most_stack = Limit::PickleStack.of(budget.limits());
        let most_opcodes = Limit::PickleOpcodes.of(budget.limits());
        Self {
            next_check: most_opcodes.saturating_add(1).min(OPCODES_PER_CHECK),
            most_stack: to_usize(most_stack).unwrap_or(usize::MAX),
            tree: Tree {
                input,
                base,
                decoded: Vec::new(),
                nodes: Vec::new(),
                items: Vec::new(),
                containers: Vec::new(),
                globals: Vec::new(),
                objects: Vec::new(),
                shared: 0,
            },
            sink,
            budget,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Memo::default(),
            protocol: 0,
            at: 0,
            start: 0,
            opcode: Opcode::Stop,
            frame_end: 0,
            opcodes: 0,
            hashed: 0,
            refused: None,
            fixed: [None; Fixed::COUNT],
        }
    }

    /// Runs to STOP.
    pub(super) fn run(mut self) -> Result<Loaded<'a>> {
        loop {
            if let Err(error) = self.run_quick() {
                return Err(error.at(self.offset(self.start)));
            }
            let start = self.offset(self.at);
            match self.advance().map_err(|error| error.at(start))? {
                None => {}
                Some(root) => {
                    return Ok(Loaded {
                        tree: self.tree,
                        root,
                        length: self.at,
                    });
                }
            }
        }
    }

    /// One opcode; the result, after STOP.
    fn advance(&mut self) -> Result<Option<NodeId>> {
        self.start = self.at;
        self.opcodes = self.opcodes.saturating_add(1);
        if self.opcodes >= self.next_check {
            self.budget.allow(Limit::PickleOpcodes, self.opcodes)?;
            let most = Limit::PickleOpcodes.of(self.budget.limits());
            let next = self.opcodes.saturating_add(OPCODES_PER_CHECK);
            self.next_check = next.min(most.saturating_add(1));
        }
        let byte = self.byte("an opcode")?;
        self.opcode = Opcode::from_byte(byte).ok_or_else(|| {
            let found = format!("{byte:#04x}");
            Error::unexpected("an opcode", found, "one of the 68 opcodes")
        })?;
        let argument = self.argument();
        // An argument that the input is too short for reaches past the frame too.
        let framed = self.start < self.frame_end;
        if framed && (self.at > self.frame_end || argument.is_err()) {
            self.anomaly(Anomaly::Frame);
        }
        let argument = argument?;
        if self.opcode == Opcode::Stop {
            return self.stop().map(Some);
        }
        self.step(argument)?;
        Ok(None)
    }

    fn stop(&mut self) -> Result<NodeId> {
        let root = self.pop()?;
        if !self.stack.is_empty() || !self.marks.is_empty() {
            self.anomaly(Anomaly::Leftover);
        }
        if self.at < self.frame_end {
            self.anomaly(Anomaly::Frame);
        }
        self.event(EventKind::Stop);
        match self.refused.take() {
            Some(error) => Err(error),
            None => Ok(root),
        }
    }

    fn offset(&self, at: usize) -> u64 {
        self.tree.base.saturating_add(to_u64(at))
    }

    fn describe(&self, kind: EventKind) -> Event {
        Event {
            offset: self.offset(self.start),
            opcode: self.opcode,
            kind,
        }
    }

    fn event(&mut self, kind: EventKind) {
        let event = self.describe(kind);
        self.sink.event(&event, &self.tree);
    }

    fn anomaly(&mut self, anomaly: Anomaly) {
        self.event(EventKind::Anomaly(anomaly));
    }

    /// Adds a node to the arena.
    #[inline]
    fn node(&mut self, node: Node) -> Result<NodeId> {
        let id = NodeId::at(self.tree.nodes.len());
        let id = id.ok_or_else(|| Error::unsupported("a pickle of", "2^32 values"))?;
        let (at, length) = (self.at, self.tree.input.len());
        self.budget.grow_along(&mut self.tree.nodes, at, length)?;
        self.tree.nodes.push(node);
        Ok(id)
    }

    /// Pushes a value that has one node for all of its mentions.
    #[inline]
    fn push_fixed(&mut self, fixed: Fixed) -> Result<()> {
        if let Some(&Some(id)) = self.fixed.get(fixed.place()) {
            self.tree.shared = self.tree.shared.saturating_add(1);
            return self.push(id);
        }
        let id = self.node(fixed.node())?;
        if let Some(slot) = self.fixed.get_mut(fixed.place()) {
            *slot = Some(id);
        }
        self.push(id)
    }

    /// Adds a node and pushes it on the stack.
    #[inline]
    fn push_node(&mut self, node: Node) -> Result<()> {
        let id = self.node(node)?;
        self.push(id)
    }

    #[inline]
    fn push(&mut self, id: NodeId) -> Result<()> {
        self.budget.grow(&mut self.stack)?;
        self.stack.push(id);
        self.check_stack()
    }

    #[inline]
    fn check_stack(&self) -> Result<()> {
        let height = self.stack.len().saturating_add(self.marks.len());
        if height <= self.most_stack {
            return Ok(());
        }
        self.budget.allow(Limit::PickleStack, to_u64(height))
    }

    /// Where the part of the stack above the last mark starts.
    #[inline]
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or_default()
    }

    #[inline]
    fn pop(&mut self) -> Result<NodeId> {
        if self.stack.len() <= self.floor() {
            return Err(self.underflow());
        }
        self.stack.pop().ok_or_else(|| self.underflow())
    }

    #[inline]
    fn top(&self) -> Result<NodeId> {
        match self.stack.last() {
            Some(&top) if self.stack.len() > self.floor() => Ok(top),
            _ => Err(self.underflow()),
        }
    }

    /// Removes the last mark and gives the height at which it stood.
    fn pop_mark(&mut self) -> Result<usize> {
        self.marks.pop().ok_or_else(|| self.no_mark())
    }

    #[cold]
    fn no_mark(&self) -> Error {
        let found = format!("without a mark for {}", self.opcode.name());
        Error::unexpected("the stack", found, "a mark")
    }

    /// Where the last `count` values start.
    #[inline]
    fn height_of_last(&self, count: usize) -> Result<usize> {
        let height = self.stack.len().checked_sub(count);
        let height = height.filter(|&height| height >= self.floor());
        height.ok_or_else(|| self.underflow())
    }

    /// Makes room in the pool of items for the values from `height` on, and gives the place of the first.
    #[inline]
    fn reserve_items(&mut self, height: usize) -> Result<usize> {
        let start = self.tree.items.len();
        let room = self.tree.items.capacity().saturating_sub(start);
        let needed = self.stack.len().saturating_sub(height);
        if needed > room {
            let additional = growth_along(start, self.at, self.tree.input.len()).max(needed);
            self.budget.reserve(&mut self.tree.items, additional)?;
        }
        Ok(start)
    }

    /// Takes the values from `height` on into the pool of items.
    fn take_from(&mut self, height: usize) -> Result<(usize, u32)> {
        let start = self.reserve_items(height)?;
        let taken = self.stack.get(height..).unwrap_or_default();
        self.tree.items.extend_from_slice(taken);
        let length = u32::try_from(taken.len()).unwrap_or(u32::MAX);
        self.stack.truncate(height);
        Ok((start, length))
    }

    #[cold]
    fn underflow(&self) -> Error {
        let found = format!("too short for {}", self.opcode.name());
        Error::unexpected("the stack", found, "more values")
    }

    /// An object that a call would give.
    fn call(
        &mut self,
        callable: NodeId,
        arguments: NodeId,
        keywords: Option<NodeId>,
    ) -> Result<()> {
        match self.tree.node(callable) {
            Some(
                Node::Global(_) | Node::Extension(_) | Node::PersistentId(_) | Node::Object(_),
            ) => {}
            _ => self.anomaly(Anomaly::NotCallable),
        }
        let keywords_fit =
            keywords.is_none_or(|keywords| matches!(self.tree.node(keywords), Some(Node::Dict(_))));
        if !keywords_fit || !matches!(self.tree.node(arguments), Some(Node::Tuple(..))) {
            self.anomaly(Anomaly::Arguments);
        }
        let index = u32::try_from(self.tree.objects.len()).unwrap_or(EMPTY);
        let (at, length) = (self.at, self.tree.input.len());
        self.budget.grow_along(&mut self.tree.objects, at, length)?;
        self.tree.objects.push(Object {
            opcode: self.opcode,
            callable,
            arguments,
            keywords,
            state: None,
            items: EMPTY,
            pairs: false,
            offset: self.offset(self.start),
        });
        self.event(EventKind::Call {
            callable,
            arguments,
            keywords,
        });
        self.push_node(Node::Object(index))
    }

    #[cold]
    fn malformed(malformed: Malformed) -> Error {
        Error::malformed(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By half, and by what is taken: the list never grows by itself, behind the budget's back.
    #[test]
    fn room_for_items_is_charged_before_they_are_taken() {
        let node = NodeId::at(0).unwrap();
        for (length, free, taken, step) in [
            (0, 0, 3, 16),
            (0, 0, 17, 17),
            (100, 0, 1, 50),
            (101, 0, 1, 50),
            (100, 0, 51, 51),
            (100, 3, 3, 0),
            (100, 3, 4, 50),
            // What is free is less than what is taken, and so is half of what there is.
            (10, 4, 8, 16),
            (10, 4, 30, 30),
            (1000, 400, 900, 900),
        ] {
            let bytes = to_u64(step * size_of::<NodeId>());
            for (heap_bytes, fits) in [(bytes, true), (bytes.wrapping_sub(1), step == 0)] {
                let mut budget = Budget::of_heap(heap_bytes);
                let mut sink = ();
                let mut machine = Machine::new(b"", 0, &mut sink, &mut budget);
                machine.tree.items.reserve_exact(length + free);
                machine.tree.items.resize(length, node);
                machine.stack.resize(taken + 2, node);
                let found = machine.take_from(2);
                assert_eq!(found.is_ok(), fits, "{length} {free} {taken}");
                if fits {
                    assert_eq!(found.unwrap(), (length, taken as u32));
                    assert_eq!(machine.tree.items.len(), length + taken);
                    let least = length + free.max(step);
                    assert_eq!(machine.tree.items.capacity(), least);
                    assert_eq!(machine.stack.len(), 2);
                }
            }
        }
    }
}
