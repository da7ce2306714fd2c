//! Numbers written as text: plain decimals, and the other forms that CPython takes.
//!
//! What no pickler writes and CPython takes is reported, and must not end the walk: the rest would run unseen.

use super::Machine;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::pickle::event::Anomaly;
use crate::formats::pickle::text;
use crate::formats::pickle::tree::Node;

impl Machine<'_, '_> {
    pub(super) fn push_integer(&mut self, digits: &[u8]) -> Result<()> {
        let plain =
            text::check_leading_zeros(digits).and_then(|()| text::integer(digits, self.budget));
        let value = match plain {
            Err(error) if error.kind() == ErrorKind::Malformed && text::is_odd_integer(digits) => {
                self.refuse(error);
                None
            }
            plain => plain?,
        };
        self.push_node(value.map_or(Node::BigDecimal, Node::Int))
    }

    /// One unpickler takes floats with spaces and underscores and beyond all bounds, the next does not.
    pub(super) fn float(&mut self, line: &[u8]) -> Result<f64> {
        text::float(line).or_else(|error| {
            let plain = text::plain(line, self.budget)?;
            let value = std::str::from_utf8(&plain).ok();
            let Some(value) = value.and_then(|value| value.parse().ok()) else {
                return Err(error);
            };
            self.refuse(error);
            Ok(value)
        })
    }

    pub(super) fn memo_index(&mut self, digits: &[u8]) -> Result<u64> {
        let index = match text::integer(digits, self.budget) {
            Err(error) if error.kind() == ErrorKind::Malformed && text::is_odd_integer(digits) => {
                self.refuse(error);
                text::integer(&text::plain(digits, self.budget)?, self.budget)?
            }
            index => index?,
        };
        index
            .and_then(|index| u64::try_from(index).ok())
            .ok_or_else(|| Error::unexpected("a memo index", "negative or huge", "0 or more"))
    }
    /// The pickle is refused at its end.
    fn refuse(&mut self, error: Error) {
        self.anomaly(Anomaly::Number);
        let at = self.offset(self.start);
        self.refused.get_or_insert(error.at(at));
    }
}
