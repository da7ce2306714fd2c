//! Globals: the names that GLOBAL, INST and STACK_GLOBAL give, as they are looked up.

use super::Machine;
use crate::bytes::{to_u64, to_usize};
use crate::error::{Error, Malformed, Result};
use crate::formats::pickle::Global;
use crate::formats::pickle::event::EventKind;
use crate::formats::pickle::global::{GlobalNode, Name};
use crate::formats::pickle::opcode::Opcode;
use crate::formats::pickle::python2::Translation;
use crate::formats::pickle::tree::{LONGEST_NAME, Node, NodeId};

impl<'a> Machine<'a, '_> {
    /// GLOBAL and INST.
    pub(super) fn step_global(&mut self, module: (usize, u32), name: (usize, u32)) -> Result<()> {
        // From the first name to the second, and the newline between.
        let names = self.tree.input.get(module.0..self.at);
        if self.opcode == Opcode::Inst && !names.unwrap_or_default().is_ascii() {
            return Err(Error::unexpected("the names of INST", "not ASCII", "ASCII"));
        }
        let global = self.global(self.written(module), self.written(name))?;
        if self.opcode == Opcode::Global {
            return self.push(global);
        }
        let height = self.pop_mark()?;
        let arguments = self.tuple_from(height)?;
        self.call(global, arguments, None)
    }

    pub(super) fn stack_global(&mut self) -> Result<()> {
        let name = self.pop()?;
        let module = self.pop()?;
        // A string of Python 2 is text to an unpickler of Python 3, hence a name too.
        let text = |id: NodeId| match self.tree.node(id) {
            Some(
                node @ (Node::Str(_, length)
                | Node::SurrogateStr(_, length)
                | Node::ByteString(_, length)
                | Node::DecodedStr(_, length)
                | Node::DecodedByteString(_, length)),
            ) => Ok((node, length)),
            _ => Err(Error::unexpected(
                "STACK_GLOBAL",
                "not given text",
                "two strings",
            )),
        };
        let (module, name) = (text(module)?, text(name)?);
        let longest = module.1.max(name.1);
        if to_u64(LONGEST_NAME) < u64::from(longest) {
            return Err(Self::malformed(Malformed::OutOfRange {
                what: "the length of a name",
                value: longest.into(),
                expected: "less than 4096",
            }));
        }
        let as_name = |(node, length)| match node {
            Node::Str(start, _) | Node::ByteString(start, _) => self.written((start, length)),
            Node::DecodedStr(start, _) | Node::DecodedByteString(start, _) => {
                Name::Decoded(start, length)
            }
            // Lone surrogates: no name.
            _ => Name::Written(""),
        };
        let global = self.global(as_name(module), as_name(name))?;
        self.push(global)
    }

    /// A name in the input; empty if it is not UTF-8.
    fn written(&self, (start, length): (usize, u32)) -> Name<'a> {
        let input: &'a [u8] = self.tree.input;
        let end = to_usize(length.into()).and_then(|length| start.checked_add(length));
        let bytes = end.and_then(|end| input.get(start..end));
        Name::Written(std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default())
    }

    fn global(&mut self, module: Name<'a>, name: Name<'a>) -> Result<NodeId> {
        let index = u32::try_from(self.tree.globals.len())
            .map_err(|_| Error::unsupported("a pickle of", "2^32 globals"))?;
        self.budget.grow(&mut self.tree.globals)?;
        self.tree.globals.push(GlobalNode::Decoded {
            module,
            name,
            translation: None,
        });
        let written = self.tree.global_at(index);
        let translation = written
            .filter(|_| self.protocol < 3)
            .and_then(|it| Translation::find(it.raw_module, it.raw_name));
        if let Some(global) = self.tree.globals.last_mut() {
            *global = match (module, name) {
                (Name::Written(module), Name::Written(name)) => {
                    GlobalNode::Found(Global::found(module, name, translation))
                }
                _ => GlobalNode::Decoded {
                    module,
                    name,
                    translation,
                },
            };
        }
        let node = self.node(Node::Global(index))?;
        if self.tree.global_at(index).is_none_or(|global| {
            // An empty name can only come from bytes that are no UTF-8, or an empty line.
            global.raw_module.is_empty() || global.raw_name.is_empty()
        }) {
            return Err(Error::unexpected(
                "a global",
                "not UTF-8 or empty",
                "a module and name",
            ));
        }
        self.event(EventKind::Global(node));
        Ok(node)
    }
}
