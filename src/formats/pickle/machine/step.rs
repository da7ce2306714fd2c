//! The effect of each opcode.

use super::fetch::Fetched;
use super::{Fixed, HIGHEST_PROTOCOL, Machine};
use crate::bytes::{to_u64, to_usize};
use crate::error::{Error, Malformed, Result};
use crate::formats::pickle::event::{Anomaly, EventKind};
use crate::formats::pickle::opcode::Opcode;
use crate::formats::pickle::text;
use crate::formats::pickle::tree::{EMPTY, Node, NodeId};

impl Machine<'_, '_> {
    pub(super) fn step(&mut self, argument: Fetched) -> Result<()> {
        match (self.opcode, argument) {
            (Opcode::None, _) => self.push_fixed(Fixed::None),
            (Opcode::NewTrue, _) => self.push_fixed(Fixed::True),
            (Opcode::NewFalse, _) => self.push_fixed(Fixed::False),
            (Opcode::BinInt, Fetched::Signed(value)) => self.push_node(Node::Int(value.into())),
            (Opcode::BinInt1 | Opcode::BinInt2, Fetched::Unsigned(value)) => {
                match u8::try_from(value) {
                    Ok(value) => self.push_fixed(Fixed::Number(value)),
                    Err(_) => self.push_node(Node::Int(i64::try_from(value).unwrap_or(i64::MAX))),
                }
            }
            (Opcode::BinFloat, Fetched::Float(value)) => self.push_node(Node::Float(value)),
            (Opcode::EmptyTuple, _) => self.push_fixed(Fixed::EmptyTuple),
            (Opcode::EmptyList, _) => self.push_node(Node::List(EMPTY)),
            (Opcode::EmptyDict, _) => self.push_node(Node::Dict(EMPTY)),
            (Opcode::EmptySet, _) => self.push_node(Node::Set(EMPTY)),
            (Opcode::NextBuffer, _) => {
                self.anomaly(Anomaly::Buffer);
                self.push_node(Node::Buffer)
            }
            (Opcode::ReadonlyBuffer, _) => self.read_only(),
            (_, Fetched::Bytes(start, length)) => self.step_bytes(start, length),
            (_, Fetched::Lines(module, name)) => self.step_global(module, name),
            (_, Fetched::Unsigned(number)) => self.step_number(number),
            (_, Fetched::Signed(code)) => self.extension(code),
            _ => self.step_stack(),
        }
    }

    /// Opcodes whose argument is a string or line.
    fn step_bytes(&mut self, start: usize, length: u32) -> Result<()> {
        let input = self.tree.input;
        let end = to_usize(length.into()).and_then(|length| start.checked_add(length));
        let bytes = end
            .and_then(|end| input.get(start..end))
            .unwrap_or_default();
        match self.opcode {
            Opcode::BinBytes | Opcode::ShortBinBytes | Opcode::BinBytes8 => {
                self.push_node(Node::Bytes(start, length))
            }
            Opcode::ByteArray8 => self.push_node(Node::ByteArray(start, length)),
            Opcode::BinString | Opcode::ShortBinString => {
                self.push_node(Node::ByteString(start, length))
            }
            Opcode::BinUnicode | Opcode::ShortBinUnicode | Opcode::BinUnicode8 => {
                if text::is_utf8(bytes) {
                    return self.push_node(Node::Str(start, length));
                }
                if !text::is_utf8_with_surrogates(bytes) {
                    return Err(Error::malformed(Malformed::NotUtf8 { what: "a string" }));
                }
                self.push_node(Node::SurrogateStr(start, length))
            }
            Opcode::Long1 | Opcode::Long4 => self.push_node(long(bytes, start, length)),
            Opcode::Int if bytes == b"00" => self.push_node(Node::Bool(false)),
            Opcode::Int if bytes == b"01" => self.push_node(Node::Bool(true)),
            Opcode::Int => self.push_integer(bytes),
            Opcode::Long => self.push_integer(bytes.strip_suffix(b"L").unwrap_or(bytes)),
            Opcode::Float => {
                let value = self.float(bytes)?;
                self.push_node(Node::Float(value))
            }
            Opcode::String => {
                let decoded = self.decode(bytes, text::string)?;
                self.push_node(Node::DecodedByteString(decoded.0, decoded.1))
            }
            Opcode::Unicode => {
                let decoded = self.decode(bytes, text::unicode)?;
                self.push_node(Node::DecodedStr(decoded.0, decoded.1))
            }
            Opcode::Get => {
                let index = self.memo_index(bytes)?;
                self.get(index)
            }
            Opcode::Put => {
                let index = self.memo_index(bytes)?;
                self.put(index)
            }
            Opcode::PersId if !bytes.is_ascii() => {
                let (found, expected) = ("not ASCII", "ASCII");
                Err(Error::unexpected("a persistent id", found, expected))
            }
            Opcode::PersId => {
                let value = self.node(Node::Str(start, length))?;
                self.persistent_id(value)
            }
            _ => Err(self.unhandled()),
        }
    }

    /// Opcodes whose argument is an unsigned number.
    fn step_number(&mut self, number: u64) -> Result<()> {
        match self.opcode {
            Opcode::BinGet | Opcode::LongBinGet => self.get(number),
            Opcode::BinPut | Opcode::LongBinPut => self.put(number),
            Opcode::Ext1 | Opcode::Ext2 => self.extension(i32::try_from(number).unwrap_or(0)),
            Opcode::Proto => self.protocol(number),
            Opcode::Frame => self.frame(number),
            _ => Err(self.unhandled()),
        }
    }

    /// Opcodes that only rearrange the stack.
    fn step_stack(&mut self) -> Result<()> {
        match self.opcode {
            Opcode::Mark => self.mark(),
            Opcode::Pop => self.pop_or_mark(),
            Opcode::PopMark => {
                let height = self.pop_mark()?;
                self.stack.truncate(height);
                Ok(())
            }
            Opcode::Dup => self.top().and_then(|top| self.push(top)),
            Opcode::Tuple1 => self.tuple(1),
            Opcode::Tuple2 => self.tuple(2),
            Opcode::Tuple3 => self.tuple(3),
            Opcode::Tuple => self.marked_tuple(),
            Opcode::FrozenSet => {
                let height = self.pop_mark()?;
                self.check_hashable(height, 1);
                let (start, length) = self.take_from(height)?;
                self.push_node(Node::FrozenSet(start, length))
            }
            Opcode::List => self.new_container(Node::List(EMPTY), false),
            Opcode::Dict => self.new_container(Node::Dict(EMPTY), true),
            Opcode::Append => self.add_last(1, false),
            Opcode::SetItem => self.add_last(2, true),
            Opcode::Appends | Opcode::AddItems => self.add_marked(false),
            Opcode::SetItems => self.add_marked(true),
            Opcode::Memoize => self.put(self.memo.len()),
            Opcode::StackGlobal => self.stack_global(),
            Opcode::Reduce | Opcode::NewObj => self.reduce(),
            Opcode::NewObjEx => {
                let keywords = self.pop()?;
                let arguments = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, arguments, Some(keywords))
            }
            Opcode::Obj => self.obj(),
            Opcode::Build => self.build(),
            Opcode::BinPersId => self.pop().and_then(|value| self.persistent_id(value)),
            _ => Err(self.unhandled()),
        }
    }

    #[inline]
    pub(super) fn mark(&mut self) -> Result<()> {
        self.budget.grow(&mut self.marks)?;
        self.marks.push(self.stack.len());
        self.check_stack()
    }

    /// POP takes the mark itself where nothing stands above it.
    fn pop_or_mark(&mut self) -> Result<()> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(|_| ())
    }

    #[inline]
    pub(super) fn tuple(&mut self, count: usize) -> Result<()> {
        let height = self.height_of_last(count)?;
        let tuple = self.tuple_from(height)?;
        self.push(tuple)
    }

    #[inline]
    pub(super) fn marked_tuple(&mut self) -> Result<()> {
        let height = self.pop_mark()?;
        let tuple = self.tuple_from(height)?;
        self.push(tuple)
    }

    #[inline]
    pub(super) fn reduce(&mut self) -> Result<()> {
        let arguments = self.pop()?;
        let callable = self.pop()?;
        self.call(callable, arguments, None)
    }

    /// Makes a buffer read-only: picklers write it behind NEXT_BUFFER alone.
    fn read_only(&mut self) -> Result<()> {
        let top = self.top()?;
        if !matches!(self.tree.node(top), Some(Node::Buffer)) {
            self.anomaly(Anomaly::Buffer);
        }
        Ok(())
    }

    /// Decodes a text argument into the pool, which never grows beyond the input's length.
    fn decode(
        &mut self,
        bytes: &[u8],
        decode: impl Fn(&[u8], &mut Vec<u8>) -> Result<()>,
    ) -> Result<(usize, u32)> {
        // Every escape is longer than what it stands for; a Latin-1 byte becomes two.
        let most = bytes.len().saturating_mul(2);
        let start = self.tree.decoded.len();
        if self.tree.decoded.capacity().saturating_sub(start) < most {
            let additional = most.max(start / 2);
            self.budget.reserve(&mut self.tree.decoded, additional)?;
        }
        decode(bytes, &mut self.tree.decoded)?;
        let length = self.tree.decoded.len().saturating_sub(start);
        let length =
            u32::try_from(length).map_err(|_| Error::unsupported("a string of", length))?;
        Ok((start, length))
    }

    #[inline]
    pub(super) fn get(&mut self, index: u64) -> Result<()> {
        match self.memo.get(index) {
            Some(node) => self.push(node),
            None => Err(no_entry(index)),
        }
    }

    #[inline]
    pub(super) fn put(&mut self, index: u64) -> Result<()> {
        let top = self.top()?;
        if self.memo.put_next(index, top) {
            return Ok(());
        }
        if self.memo.put(index, top, self.opcodes, self.budget)? {
            self.anomaly(Anomaly::SparseMemo);
        }
        Ok(())
    }

    fn extension(&mut self, code: i32) -> Result<()> {
        if code <= 0 {
            return Err(Self::malformed(Malformed::OutOfRange {
                what: "an extension code",
                value: code.into(),
                expected: "1 or more",
            }));
        }
        self.event(EventKind::Extension(code));
        self.push_node(Node::Extension(code))
    }

    fn protocol(&mut self, protocol: u64) -> Result<()> {
        let known = u8::try_from(protocol)
            .ok()
            .filter(|&protocol| protocol <= HIGHEST_PROTOCOL)
            .ok_or_else(|| Error::unsupported("pickle protocol", protocol))?;
        if self.start != 0 {
            self.anomaly(Anomaly::Protocol);
        }
        self.protocol = known;
        Ok(())
    }

    /// CPython before 3.13 read across the ends of frames, so that two unpicklers could see two
    /// programs in one file. Every opcode is checked against the open frame.
    fn frame(&mut self, length: u64) -> Result<()> {
        let left = to_u64(self.tree.input.len().saturating_sub(self.at));
        if length > left {
            return Err(Self::malformed(Malformed::Truncated {
                what: "a frame",
                needed: length,
                available: left,
            }));
        }
        if self.start < self.frame_end {
            self.anomaly(Anomaly::Frame);
        }
        let end = to_usize(length).and_then(|length| self.at.checked_add(length));
        self.frame_end = end.unwrap_or(usize::MAX);
        Ok(())
    }

    pub(super) fn persistent_id(&mut self, value: NodeId) -> Result<()> {
        self.event(EventKind::PersistentId(value));
        self.push_node(Node::PersistentId(value))
    }

    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let target = self.top()?;
        self.event(EventKind::Build { target, state });
        match self.tree.node(target) {
            Some(Node::Object(object)) => {
                let object = usize::try_from(object)
                    .ok()
                    .and_then(|object| self.tree.objects.get_mut(object));
                if let Some(object) = object {
                    object.state = Some(state);
                }
            }
            Some(Node::PersistentId(_) | Node::Extension(_) | Node::Global(_)) => {}
            _ => self.anomaly(Anomaly::PlainTarget),
        }
        self.skip_foreign(EventKind::Build { target, state })
    }

    fn skip_foreign(&mut self, kind: EventKind) -> Result<()> {
        let rest = self.tree.input.get(self.at..).unwrap_or_default();
        let event = self.describe(kind);
        let count = self.sink.foreign_bytes(&event, &self.tree, rest)?;
        if count > 0 {
            self.take("data between opcodes", count)?;
        }
        Ok(())
    }

    /// OBJ: the class is the first value above the mark.
    fn obj(&mut self) -> Result<()> {
        let height = self.pop_mark()?;
        let class = self.stack.get(height).copied();
        let class = class.ok_or_else(|| self.underflow())?;
        let arguments = self.tuple_from(height.saturating_add(1))?;
        self.stack.truncate(height);
        self.call(class, arguments, None)
    }

    /// The table of arguments and the arms above disagree: cannot happen, and must not be silent.
    #[cold]
    fn unhandled(&self) -> Error {
        Error::unsupported("opcode", self.opcode.name())
    }
}

#[cold]
fn no_entry(index: u64) -> Error {
    Error::missing("memo entry", &index.to_string())
}

/// LONG1 and LONG4: two's complement, little-endian, 0 if empty.
fn long(bytes: &[u8], start: usize, length: u32) -> Node {
    let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    match wide.get_mut(..bytes.len()) {
        Some(low) => {
            low.copy_from_slice(bytes);
            Node::Int(i64::from_le_bytes(wide))
        }
        None => Node::BigInt(start, length),
    }
}
