//! Globals as they are written, and as CPython looks them up.

use super::python2::Translation;

/// A global name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Global<'t> {
    /// The module that CPython 3 imports.
    pub module: &'t str,
    /// The name in it; a dotted path from protocol 4 on.
    pub name: &'t str,
    /// The module as written.
    pub raw_module: &'t str,
    /// The name as written.
    pub raw_name: &'t str,
}

impl<'t> Global<'t> {
    pub(super) fn found(
        raw_module: &'t str,
        raw_name: &'t str,
        translation: Option<Translation>,
    ) -> Self {
        let (module, name) = match translation {
            Some(translation) => translation.apply(raw_module, raw_name),
            None => (raw_module, raw_name),
        };
        Self {
            module,
            name,
            raw_module,
            raw_name,
        }
    }
}

/// A module or the name of something in it: UTF-8.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name<'a> {
    /// In the input, checked once.
    Written(&'a str),
    /// In the pool of decoded strings.
    Decoded(usize, u32),
}

/// A module and name: as they are looked up, found once, or as text that had to be decoded.
#[derive(Clone, Copy, Debug)]
pub(super) enum GlobalNode<'a> {
    Found(Global<'a>),
    Decoded {
        module: Name<'a>,
        name: Name<'a>,
        translation: Option<Translation>,
    },
}
