//! How lists grow that a reader fills while it goes along an input.

use super::Budget;
use crate::error::Result;

impl Budget {
    /// Makes room for one more element of a list that grows along an input: for as many as the part that is
    /// `read` of its `length` bytes lets expect of the rest, but at most half as many as there are.
    ///
    /// # Errors
    /// As [`grow`](Self::grow).
    #[inline]
    pub(crate) fn grow_along<T>(
        &mut self,
        vector: &mut Vec<T>,
        read: usize,
        length: usize,
    ) -> Result<()> {
        if vector.len() < vector.capacity() {
            return Ok(());
        }
        let step = growth_along(vector.len(), read, length);
        self.reserve(vector, step)
    }

    /// A budget of so much heap, for tests of what growing costs.
    #[cfg(test)]
    pub(crate) fn of_heap(heap_bytes: u64) -> Self {
        use super::{Limits, Strictness};
        let limits = Limits {
            heap_bytes,
            ..Limits::default()
        };
        Self::new(limits, Strictness::Strict)
    }
}

/// How many elements to add to `count`, of a list that grows along an input.
#[cold]
pub(crate) fn growth_along(count: usize, read: usize, length: usize) -> usize {
    let left = length.saturating_sub(read);
    let expected = count.saturating_mul(left).checked_div(read);
    // A little more, and never so few that the list would be moved again and again.
    let expected = expected.unwrap_or(count);
    let expected = expected.saturating_add(expected / 32);
    expected.clamp(count / 16, count / 2).max(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_grows_by_what_the_rest_of_the_input_lets_expect() {
        for (count, read, length, step) in [
            // Nothing read, or nothing to go by: half.
            (1000, 0, 1 << 20, 500),
            (1000, 100, 100_000, 500),
            // A quarter is left, and a thirty-second more.
            (7680, 7500, 10_000, 2560 + 80),
            // As good as nothing is left: a sixteenth.
            (1600, 9999, 10_000, 100),
            (1600, 10_000, 10_000, 100),
            (0, 0, 0, 16),
            (8, 1, 100, 16),
        ] {
            assert_eq!(growth_along(count, read, length), step, "{count} {read}");
        }
    }
}
