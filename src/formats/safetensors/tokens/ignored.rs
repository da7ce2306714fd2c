//! Values that nobody reads.

use super::Tokens;
use crate::error::Result;
use crate::limits::Budget;

/// Lists and objects that may be open inside an ignored value: as many as `serde_json` allows, less the two
/// objects around it. A bit of a `u128` each.
const MOST_LEVELS: u32 = 125;
/// Values between two looks at whether opening is still wanted.
const VALUES_PER_LOOK: u32 = 4096;

impl Tokens<'_> {
    /// Moves past one value, without recursion and without memory; `budget` says whether to go on.
    pub(in super::super) fn skip_value(&mut self, budget: &Budget) -> Result<()> {
        let mut values: u32 = 0;
        let mut depth: u32 = 0;
        // The innermost level last: 1 for an object, 0 for a list.
        let mut objects: u128 = 0;
        loop {
            if values.is_multiple_of(VALUES_PER_LOOK) {
                budget.look()?;
            }
            values = values.wrapping_add(1);
            let mut first = false;
            match self.next() {
                Some(b'n') => self.word("null")?,
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'-' | b'0'..=b'9') => self.skip_number()?,
                Some(b'"') => {
                    self.advance();
                    self.skip_text()?;
                }
                Some(bracket @ (b'[' | b'{')) => {
                    if depth == MOST_LEVELS {
                        return Err(self.invalid_here("recursion limit exceeded"));
                    }
                    self.advance();
                    depth = depth.saturating_add(1);
                    objects = objects << 1 | u128::from(bracket == b'{');
                    first = true;
                }
                Some(_) => return Err(self.invalid_here("expected value")),
                None => return Err(self.invalid_here("EOF while parsing a value")),
            }
            while depth > 0 {
                let is_object = objects & 1 == 1;
                let more = match is_object {
                    true => self.opens_key(&mut first)?,
                    false => self.item(&mut first)?,
                };
                if more {
                    if is_object {
                        self.skip_text()?;
                        self.colon()?;
                    }
                    break;
                }
                depth = depth.saturating_sub(1);
                objects >>= 1;
                first = false;
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}
