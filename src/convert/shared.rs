//! Tied weights: tensors that are the same bytes under several names.
//!
//! What loaders do (safetensors 0.8.0, `safetensors.torch`): `save_model` keeps the first name, in the order
//! of code points, of tensors that share a storage, and writes `{removed: kept}` into the metadata;
//! `load_model` finds the ties again in the model that it loads into. `save_model` also drops parts of a
//! kept tensor (slices, transposed views), whose values a file cannot give back without the model's code.
//! Here only the very same view (bytes, dtype, shape, strides, signs) is an alias; everything else that
//! overlaps is written in full.

use std::collections::HashMap;

use super::item::Item;
use crate::bytes::{Span, room};
use crate::dtype::DType;
use crate::error::Result;
use crate::index::Signs;

/// What the items share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// For each item the one that it repeats.
    pub(super) same_as: Vec<Option<usize>>,
    /// Items that share bytes with another one that is not the same.
    pub(super) overlapping: Vec<usize>,
}

/// Everything that makes two views the same numbers.
type Identity<'i> = ((u32, Span, Signs), DType, &'i [usize], Option<&'i [usize]>);

/// # Errors
/// `Io` if there is no memory for the lists.
pub(super) fn find(items: &[Item<'_>]) -> Result<Shared> {
    let mut first: HashMap<Identity<'_>, usize> = HashMap::new();
    let mut order = room::list(0..items.len())?;
    // No two names are the same.
    order.sort_unstable_by(|&a, &b| {
        let name = |place: usize| items.get(place).map(|item| &item.name);
        name(a).cmp(&name(b))
    });
    let mut shared = Shared::default();
    room::resize(&mut shared.same_as, items.len(), None)?;
    let mut spans = Vec::new();
    for place in order {
        let Some(item) = items.get(place) else {
            continue;
        };
        let view = &item.view;
        let Some(bytes) = view.identity() else {
            continue;
        };
        let (storage, span, _) = bytes;
        if span.length() == 0 {
            continue;
        }
        let identity = (bytes, view.dtype(), view.shape(), view.explicit_strides());
        match first.get(&identity) {
            Some(&kept) => {
                if let Some(slot) = shared.same_as.get_mut(place) {
                    *slot = Some(kept);
                }
            }
            None => {
                room::insert_key(&mut first, identity, place)?;
                let span = (storage, span.start(), span.end(), place);
                room::push(&mut spans, span)?;
            }
        }
    }
    shared.overlapping = overlapping(spans)?;
    Ok(shared)
}

/// Those of the spans that meet another one of the same storage.
fn overlapping(mut spans: Vec<(u32, u64, u64, usize)>) -> Result<Vec<usize>> {
    spans.sort_unstable();
    let mut found = Vec::new();
    let mut farthest: Option<(u32, u64, usize)> = None;
    for (storage, start, end, place) in spans {
        match farthest {
            Some((same, reach, earlier)) if same == storage && start < reach => {
                room::append(&mut found, &[earlier, place])?;
                if end > reach {
                    farthest = Some((storage, end, place));
                }
            }
            _ => farthest = Some((storage, end, place)),
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::overlapping;

    #[test]
    fn spans_meet_only_inside_one_storage() {
        let spans = vec![(0, 0, 8, 0), (0, 8, 16, 1), (1, 4, 12, 2)];
        assert_eq!(overlapping(spans).unwrap(), [] as [usize; 0]);
        let spans = vec![
            (0, 0, 100, 0),
            (0, 10, 20, 1),
            (0, 30, 40, 2),
            (0, 100, 120, 3),
        ];
        assert_eq!(overlapping(spans).unwrap(), [0, 1, 2]);
    }
}
