//! The policy, asked once for each of the globals that a pickle calls again and again.

use std::sync::Arc;

use crate::formats::pickle::Global;
use crate::policy::{Policy, Standing};

/// A [`Standing`] in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Tensor,
    Data,
    Dangerous,
    Unrecognised,
}

/// Globals remembered. Honest pickles call fewer; others only take longer.
const PLACES: usize = 16;

/// Bytes of a module or name that is remembered.
const LONGEST: usize = 64;

/// A policy, and what it said of the last globals, by their names: a number would mean another global in
/// another pickle.
#[derive(Debug)]
pub(super) struct Listed {
    policy: Arc<Policy>,
    last: [Option<(String, String, Told)>; PLACES],
}

impl Listed {
    pub(super) fn new(policy: Arc<Policy>) -> Self {
        Self {
            policy,
            last: Default::default(),
        }
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(super) fn standing(&self, global: Global<'_>) -> Standing<'_> {
        self.policy.standing(global.module, global.name)
    }

    /// What the policy says of a global, as CPython looks it up.
    pub(super) fn told(&mut self, global: Global<'_>) -> Told {
        let Global { module, name, .. } = global;
        let last = name.bytes().next_back().unwrap_or_default();
        let place = module.len().wrapping_mul(5).wrapping_add(name.len());
        let place = place.wrapping_add(last.into()) % PLACES;
        if let Some(Some((known_module, known_name, told))) = self.last.get(place)
            && known_name == name
            && known_module == module
        {
            return *told;
        }
        let told = match self.policy.standing(module, name) {
            Standing::Tensor => Told::Tensor,
            Standing::Data => Told::Data,
            Standing::Dangerous(_) => Told::Dangerous,
            Standing::Unrecognised => Told::Unrecognised,
        };
        // Each call may name others: long names are not copied for each.
        if module.len().max(name.len()) <= LONGEST
            && let Some(last) = self.last.get_mut(place)
        {
            *last = Some((module.to_owned(), name.to_owned(), told));
        }
        told
    }
}
