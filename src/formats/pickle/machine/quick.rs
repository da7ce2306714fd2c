//! The opcodes that make up nearly all of a checkpoint's pickle, each decoded and run in one step.
//!
//! What they do stands where it does for all opcodes; only the decoding is written a second time. Whatever is
//! unusual about it (an argument that the input or the open frame cuts, a look at the budget that is due,
//! any other opcode) is left to the general path with nothing done.

use super::{Fixed, Machine};
use crate::bytes::to_usize;
use crate::error::Result;
use crate::formats::pickle::opcode::Opcode;
use crate::formats::pickle::text;
use crate::formats::pickle::tree::Node;

impl<'a> Machine<'a, '_> {
    /// Runs opcodes up to the first that is left to the general path.
    pub(super) fn run_quick(&mut self) -> Result<()> {
        let input: &'a [u8] = self.tree.input;
        // An opcode in a frame ends with it; one outside may go as far as the input does.
        let end = if self.at < self.frame_end {
            self.frame_end.min(input.len())
        } else {
            input.len()
        };
        let input = input.get(..end).unwrap_or_default();
        while self.opcodes.saturating_add(1) < self.next_check {
            let rest = input.get(self.at..).unwrap_or_default();
            // A frame that starts here or later may end sooner: FRAME is not among these.
            if !self.quick(rest)? {
                break;
            }
        }
        Ok(())
    }

    /// Counts an opcode of `length` bytes as running.
    #[inline(always)]
    fn begin(&mut self, opcode: Opcode, length: usize) {
        self.start = self.at;
        self.at = self.at.saturating_add(length);
        self.opcodes = self.opcodes.saturating_add(1);
        self.opcode = opcode;
    }

    /// Runs the opcode at the start of `rest`; `false` if it is left to the general path.
    #[inline(always)]
    fn quick(&mut self, rest: &[u8]) -> Result<bool> {
        match *rest {
            [b'K', value, ..] => {
                self.begin(Opcode::BinInt1, 2);
                self.push_fixed(Fixed::Number(value))?;
            }
            [b'q', index, ..] => {
                self.begin(Opcode::BinPut, 2);
                self.put(index.into())?;
            }
            [b'h', index, ..] => {
                self.begin(Opcode::BinGet, 2);
                self.get(index.into())?;
            }
            [b'r', a, b, c, d, ..] => {
                self.begin(Opcode::LongBinPut, 5);
                self.put(u32::from_le_bytes([a, b, c, d]).into())?;
            }
            [b'j', a, b, c, d, ..] => {
                self.begin(Opcode::LongBinGet, 5);
                self.get(u32::from_le_bytes([a, b, c, d]).into())?;
            }
            [b'M', a, b, ..] => {
                self.begin(Opcode::BinInt2, 3);
                self.push_node(Node::Int(u16::from_le_bytes([a, b]).into()))?;
            }
            [b'J', a, b, c, d, ..] => {
                self.begin(Opcode::BinInt, 5);
                self.push_node(Node::Int(i32::from_le_bytes([a, b, c, d]).into()))?;
            }
            [b'(', ..] => {
                self.begin(Opcode::Mark, 1);
                self.mark()?;
            }
            [b't', ..] => {
                self.begin(Opcode::Tuple, 1);
                self.marked_tuple()?;
            }
            [0x94, ..] => {
                self.begin(Opcode::Memoize, 1);
                self.put(self.memo.len())?;
            }
            [0x85, ..] => {
                self.begin(Opcode::Tuple1, 1);
                self.tuple(1)?;
            }
            [0x86, ..] => {
                self.begin(Opcode::Tuple2, 1);
                self.tuple(2)?;
            }
            [0x87, ..] => {
                self.begin(Opcode::Tuple3, 1);
                self.tuple(3)?;
            }
            [b'X', a, b, c, d, ref rest @ ..] => {
                let length = u32::from_le_bytes([a, b, c, d]);
                return self.quick_text(Opcode::BinUnicode, 5, length, rest);
            }
            [0x8c, length, ref rest @ ..] => {
                return self.quick_text(Opcode::ShortBinUnicode, 2, length.into(), rest);
            }
            [b')', ..] => {
                self.begin(Opcode::EmptyTuple, 1);
                self.push_fixed(Fixed::EmptyTuple)?;
            }
            [b'R', ..] => {
                self.begin(Opcode::Reduce, 1);
                self.reduce()?;
            }
            [b'Q', ..] => {
                self.begin(Opcode::BinPersId, 1);
                let value = self.pop()?;
                self.persistent_id(value)?;
            }
            [0x89, ..] => {
                self.begin(Opcode::NewFalse, 1);
                self.push_fixed(Fixed::False)?;
            }
            [0x88, ..] => {
                self.begin(Opcode::NewTrue, 1);
                self.push_fixed(Fixed::True)?;
            }
            [b'N', ..] => {
                self.begin(Opcode::None, 1);
                self.push_fixed(Fixed::None)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A text of `length` bytes at the start of `rest`, behind `before` bytes.
    #[inline]
    fn quick_text(
        &mut self,
        opcode: Opcode,
        before: usize,
        length: u32,
        rest: &[u8],
    ) -> Result<bool> {
        let bytes = to_usize(length.into()).and_then(|length| rest.get(..length));
        // What is not plain UTF-8 is looked at there, and reported.
        let Some(bytes) = bytes.filter(|bytes| text::is_utf8(bytes)) else {
            return Ok(false);
        };
        let start = self.at.saturating_add(before);
        self.begin(opcode, before.saturating_add(bytes.len()));
        self.push_node(Node::Str(start, length))?;
        Ok(true)
    }
}
