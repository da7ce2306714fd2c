//! What the writing framework knew of a tensor beside its numbers.

use std::collections::HashMap;

use super::Index;
use crate::bytes::to_u64;
use crate::error::{Error, Result};
use crate::limits::Budget;

/// What the writing framework knew of a tensor beside its numbers. Only PyTorch saves such things: for
/// other formats the texts are empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes<'a> {
    /// Whether torch would record gradients for it (`requires_grad`).
    pub requires_grad: bool,
    /// Where it was when it was saved, in torch's words: `cpu`, `cuda:0`, `meta`.
    pub device: &'a str,
    /// Module of its class, for example `torch.nn.parameter`.
    pub class_module: &'a str,
    /// Name of its class, for example `Parameter`; from the file, never imported.
    pub class_name: &'a str,
}

/// Ranges in the index's text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stored {
    requires_grad: bool,
    texts: [(usize, u32); 3],
}

/// Attributes that tensors of one checkpoint share: a file has few different ones.
#[derive(Debug, Default)]
pub(super) struct Interned {
    /// By their texts, joined.
    places: HashMap<String, u32>,
    scratch: String,
    /// The place of the last ones asked for: most tensors have those of the tensor before.
    last: u32,
}

impl Interned {
    /// The number of a set of attributes in `index.attributes`, from 1; 0 stands for none.
    #[inline]
    pub(super) fn place(
        &mut self,
        index: &mut Index,
        attributes: Attributes<'_>,
        budget: &mut Budget,
    ) -> Result<u32> {
        if attributes.are_none() {
            return Ok(0);
        }
        if self.last != 0 && index.attributes_at(self.last) == attributes {
            return Ok(self.last);
        }
        self.last = self.look_up(index, attributes, budget)?;
        Ok(self.last)
    }

    fn look_up(
        &mut self,
        index: &mut Index,
        attributes: Attributes<'_>,
        budget: &mut Budget,
    ) -> Result<u32> {
        let texts = [
            attributes.device,
            attributes.class_module,
            attributes.class_name,
        ];
        self.scratch.clear();
        self.scratch
            .push(if attributes.requires_grad { '1' } else { '0' });
        for text in texts {
            budget.room(&mut self.scratch, text.len().saturating_add(24))?;
            // The length first, so that no two sets of texts join to one.
            self.scratch.push_str(&text.len().to_string());
            self.scratch.push(':');
            self.scratch.push_str(text);
        }
        if let Some(&place) = self.places.get(&self.scratch) {
            return Ok(place);
        }
        let mut stored = Stored {
            requires_grad: attributes.requires_grad,
            ..Stored::default()
        };
        for (range, text) in stored.texts.iter_mut().zip(texts) {
            *range = index.push_text(text, budget)?;
        }
        budget.grow_map(&mut self.places)?;
        let key = budget.join(&[&self.scratch])?;
        budget.grow(&mut index.attributes)?;
        index.attributes.push(stored);
        let place = u32::try_from(index.attributes.len())
            .map_err(|_| Error::unsupported("a file of", "2^32 kinds of tensors"))?;
        self.places.insert(key, place);
        Ok(place)
    }
}

impl Attributes<'_> {
    /// Whether nothing is known: what every format but torch's says of every tensor.
    const fn are_none(&self) -> bool {
        !self.requires_grad
            && self.device.is_empty()
            && self.class_module.is_empty()
            && self.class_name.is_empty()
    }
}

impl Index {
    pub(super) fn attributes_at(&self, place: u32) -> Attributes<'_> {
        let stored = usize::try_from(place)
            .ok()
            .and_then(|place| self.attributes.get(place.checked_sub(1)?));
        stored.map_or_else(Attributes::default, |stored| {
            let [device, class_module, class_name] = stored.texts.map(|text| self.text_of(text));
            Attributes {
                requires_grad: stored.requires_grad,
                device,
                class_module,
                class_name,
            }
        })
    }

    #[inline]
    pub(super) fn push_text(&mut self, text: &str, budget: &mut Budget) -> Result<(usize, u32)> {
        let start = self.text.len();
        if self.text.capacity().saturating_sub(start) < text.len() {
            // As `Budget::grow` does.
            let step = if start < 1 << 20 {
                start / 2
            } else {
                start / 8
            };
            self.reserve_text(text.len().max(step).max(64), budget)?;
        }
        self.text.push_str(text);
        Ok((start, u32::try_from(text.len()).unwrap_or(u32::MAX)))
    }

    pub(super) fn reserve_text(&mut self, additional: usize, budget: &mut Budget) -> Result<()> {
        budget.spend_heap(to_u64(additional))?;
        self.text
            .try_reserve_exact(additional)
            .map_err(|_| Error::out_of_memory())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limits, Strictness};

    /// By half up to a MiB, then by an eighth; by what is needed, and by 64 bytes at least.
    #[test]
    fn text_grows_by_half_then_by_an_eighth() {
        const MIB: usize = 1 << 20;
        for (length, added, step) in [
            (0, 1, 64),
            (0, 65, 65),
            (100, 1, 64),
            (130, 1, 65),
            (1000, 1, 500),
            (1000, 501, 501),
            (MIB - 2, 1, MIB / 2 - 1),
            (MIB - 1, 1, MIB / 2 - 1),
            (MIB, 1, MIB / 8),
            (MIB + 8, 1, MIB / 8 + 1),
        ] {
            for (allowed, fits) in [(step, true), (step - 1, false)] {
                let limits = Limits {
                    heap_bytes: to_u64(allowed),
                    ..Limits::default()
                };
                let mut budget = Budget::new(limits, Strictness::Strict);
                let mut index = Index::default();
                index.text.reserve_exact(length);
                index.text.push_str(&"x".repeat(length));
                assert_eq!(index.text.capacity(), length);
                let pushed = index.push_text(&"y".repeat(added), &mut budget);
                assert_eq!(pushed.is_ok(), fits, "{length} and {added}");
                if fits {
                    assert_eq!(index.text.capacity(), length + step, "{length} and {added}");
                }
            }
        }
    }

    #[test]
    fn text_that_has_room_costs_nothing() {
        let limits = Limits {
            heap_bytes: 0,
            ..Limits::default()
        };
        let mut budget = Budget::new(limits, Strictness::Strict);
        let mut index = Index::default();
        index.text.reserve_exact(10);
        assert_eq!(index.push_text("12345", &mut budget).unwrap(), (0, 5));
        assert_eq!(index.push_text("67890", &mut budget).unwrap(), (5, 5));
        assert!(index.push_text("1", &mut budget).is_err());
    }
}
