//! The persistent ids by which a pickle asks its loader for storages.

use std::borrow::Cow;

use super::rebuild::unsigned;
use crate::bytes::to_u64;
use crate::dtype::DType;
use crate::error::{Error, Result, shortened};
use crate::formats::pickle::{NodeId, Tree, Value};

/// A storage that the pickle asks its loader for:
/// `("storage", class, key, location, element count)`.
#[derive(Clone, Debug)]
pub(super) struct StorageId<'t> {
    /// `None` for `UntypedStorage`, which counts bytes.
    pub(super) dtype: Option<DType>,
    /// A number counts as its digits, as in `torch.package` archives.
    pub(super) key: Cow<'t, str>,
    pub(super) location: &'t str,
    pub(super) elements: u64,
    pub(super) element_bytes: u64,
    /// The window of a legacy view: first element and count, in a storage of another key.
    pub(super) view: Option<(u64, u64)>,
}

impl<'t> StorageId<'t> {
    /// Reads a persistent id; `None` if it is no storage's.
    pub(super) fn read(tree: &'t Tree<'_>, id: NodeId) -> Result<Option<Self>> {
        let Some(&[kind, class, key, location, elements, ref more @ ..]) = tree.sequence(id) else {
            return Ok(None);
        };
        if !tree.is_text(kind, "storage") {
            return Ok(None);
        }
        let class = tree
            .global(class)
            .ok_or_else(|| Error::unexpected("a storage class", "not a global", "a class"))?;
        let torch = class.module == "torch"
            || class.module == "torch.storage"
            || class.module == "torch.cuda";
        let untyped = class.name == "UntypedStorage";
        let dtype = DType::from_torch_storage(class.name);
        if !torch || (dtype.is_none() && !untyped) {
            let found = format!("{}.{}", shortened(class.module), shortened(class.name));
            return Err(Error::unexpected(
                "a storage class",
                found,
                "a torch storage",
            ));
        }
        let key = match tree.int(key) {
            Some(number) => Some(Cow::Owned(number.to_string())),
            None => tree.str(key).map(Cow::Borrowed),
        };
        let (Some(key), Some(location), Some(elements)) =
            (key, tree.str(location), unsigned(tree, elements))
        else {
            let found = "of other types";
            let expected = "a key, a location and an element count";
            return Err(Error::unexpected("a storage's fields", found, expected));
        };
        let view = match more.first().map(|&view| tree.value(view)) {
            None | Some(Value::None) => None,
            Some(_) => more.first().and_then(|&view| legacy_view(tree, view)),
        };
        Ok(Some(Self {
            dtype,
            key,
            location,
            elements,
            element_bytes: dtype.map_or(1, |dtype| to_u64(dtype.block_bytes())),
            view,
        }))
    }
}

/// `(view key, first element, element count)`.
fn legacy_view(tree: &Tree<'_>, view: NodeId) -> Option<(u64, u64)> {
    let &[_, first, count] = tree.sequence(view)? else {
        return None;
    };
    Some((unsigned(tree, first)?, unsigned(tree, count)?))
}
