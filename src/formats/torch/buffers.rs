//! Bytes that do not stand in the file as they are: inflated members, decoded arrays.

use crate::bytes::{Buffer, to_u64};
use crate::error::Result;
use crate::limits::Budget;

/// The buffers of one checkpoint. Source 0 is the file; buffer `n` is source `n + 1`.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    list: Vec<Buffer>,
    /// The number of the first one, for a list that continues another.
    first: u32,
}

impl Buffers {
    /// An empty list that continues this one: what borrows from this one may add to that.
    pub(super) fn continued(&self) -> Self {
        Self {
            list: Vec::new(),
            first: self.count(),
        }
    }

    /// Adds a buffer and gives its source number.
    pub(super) fn push(&mut self, buffer: Buffer, budget: &mut Budget) -> Result<u32> {
        budget.grow(&mut self.list)?;
        let number = self.count().saturating_add(1);
        self.list.push(buffer);
        Ok(number)
    }

    /// The bytes of a source; `None` for the file itself.
    pub(super) fn get(&self, source: u32) -> Option<&Buffer> {
        let place = source.checked_sub(1)?.checked_sub(self.first)?;
        self.list.get(usize::try_from(place).ok()?)
    }

    /// Takes over a list that continued this one.
    ///
    /// # Errors
    /// `Limit` if the budget is spent, `Io` if there is no memory left.
    pub(super) fn append(&mut self, continued: Self, budget: &mut Budget) -> Result<()> {
        let charged = continued
            .list
            .capacity()
            .saturating_mul(size_of::<Buffer>());
        for buffer in continued.list {
            budget.grow(&mut self.list)?;
            self.list.push(buffer);
        }
        budget.refund_heap(to_u64(charged));
        Ok(())
    }

    pub(super) fn into_list(self) -> Vec<Buffer> {
        self.list
    }

    /// How many there are, with those of the list that this one continues.
    pub(super) fn count(&self) -> u32 {
        let count = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.first.saturating_add(count)
    }
}
