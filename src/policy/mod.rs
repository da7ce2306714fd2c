//! Which globals a pickle may name: an allow-list that callers can read, change, load and save.
//!
//! A [`Policy`] is data. It says of every global one of four things ([`Standing`]): it rebuilds tensors, it
//! is plain data, it is known to be dangerous, or it is not listed. The last is never safe.

#![forbid(unsafe_code)]

mod globals;
mod json;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, LazyLock};

use globals::{ALL, DANGEROUS, DATA, Listed, TENSOR, TORCH, TYPED, TYPED_MODULES};

use crate::dtype::DType;
use crate::error::{Caller, Error, Result};

/// What a policy says of one global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing<'p> {
    /// It rebuilds tensors.
    Tensor,
    /// It is plain data.
    Data,
    /// It is known to be dangerous: what it can do, in words.
    Dangerous(&'p str),
    /// Nobody has said that it is harmless.
    Unrecognised,
}

/// The names of a module and what is said of them.
type Names<T> = BTreeMap<String, T>;

/// An allow-list of globals, and a list of dangerous ones that explains.
///
/// # Example
/// ```
/// use weighbridge::policy::{Policy, Standing, Tier};
/// let mut policy = Policy::default();
/// assert_eq!(policy.standing("my.config", "Settings"), Standing::Unrecognised);
/// policy.allow("my.config", "Settings", Tier::Data)?;
/// assert_eq!(policy.standing("my.config", "Settings"), Standing::Data);
/// assert!(matches!(policy.standing("os", "system"), Standing::Dangerous("runs commands")));
/// # Ok::<(), weighbridge::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    allowed: BTreeMap<String, Names<Tier>>,
    /// By module; [`ALL`] stands for every name, also of the modules below.
    dangerous: BTreeMap<String, Names<String>>,
}

/// Why a global is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tier {
    /// It rebuilds tensors: torch's own loader takes it too.
    Tensor,
    /// It is plain data.
    Data,
}

impl Default for Policy {
    /// Takes what rebuilds tensors and plain data; the lists stand in `src/policy/globals.rs`.
    fn default() -> Self {
        (*Self::shared()).clone()
    }
}

impl Policy {
    /// A policy that allows nothing and explains nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            allowed: BTreeMap::new(),
            dangerous: BTreeMap::new(),
        }
    }

    /// The default policy, made once.
    pub(crate) fn shared() -> Arc<Self> {
        static DEFAULT: LazyLock<Arc<Policy>> = LazyLock::new(|| Arc::new(Policy::listed()));
        Arc::clone(&DEFAULT)
    }

    fn listed() -> Self {
        let mut policy = Self::empty();
        for (list, tier) in [(TENSOR, Tier::Tensor), (DATA, Tier::Data)] {
            for (module, names) in list {
                for name in *names {
                    policy.insert(module, name, tier);
                }
            }
        }
        let dtypes = DType::ALL.iter().filter_map(|dtype| dtype.torch_name());
        for name in TORCH.iter().copied().chain(dtypes) {
            policy.insert("torch", name, Tier::Tensor);
        }
        for module in TYPED_MODULES {
            for typed in TYPED {
                policy.insert(module, &format!("{typed}Tensor"), Tier::Tensor);
                policy.insert(module, &format!("{typed}Storage"), Tier::Tensor);
            }
        }
        for (why, list) in DANGEROUS {
            let list: Listed = list;
            for (module, names) in list {
                for name in *names {
                    policy.insert_dangerous(module, name, why);
                }
            }
        }
        policy
    }

    /// Allows one global.
    ///
    /// # Errors
    /// `Caller` if the name is dotted, which reaches into other modules, or one of the two is empty.
    pub fn allow(&mut self, module: &str, name: &str, tier: Tier) -> Result<()> {
        check(module, name)?;
        if name.contains('.') || name == ALL {
            let reason =
                format!("{module}.{name}: a name is allowed alone, never a dotted path or \"*\"");
            return Err(Error::caller(Caller::Policy { reason }));
        }
        self.insert(module, name, tier);
        Ok(())
    }

    /// Calls a global dangerous, with what it can do in words; name `*` means all of a module and of the
    /// modules below it. What is allowed by name stays allowed: remove it.
    ///
    /// # Errors
    /// `Caller` if module or name is empty.
    pub fn forbid(&mut self, module: &str, name: &str, why: &str) -> Result<()> {
        check(module, name)?;
        self.insert_dangerous(module, name, why);
        Ok(())
    }

    /// Takes a global off both lists, and says whether it stood on one.
    pub fn remove(&mut self, module: &str, name: &str) -> bool {
        let allowed = remove(&mut self.allowed, module, name);
        remove(&mut self.dangerous, module, name) || allowed
    }

    /// The same policy without plain data: what torch itself needs for tensors, and nothing else.
    #[must_use]
    pub fn without_data(mut self) -> Self {
        for names in self.allowed.values_mut() {
            names.retain(|_, tier| *tier != Tier::Data);
        }
        self
    }

    /// What is said of a global, as CPython looks it up.
    #[must_use]
    pub fn standing(&self, module: &str, name: &str) -> Standing<'_> {
        match self.allowed.get(module).and_then(|names| names.get(name)) {
            Some(Tier::Tensor) => return Standing::Tensor,
            Some(Tier::Data) => return Standing::Data,
            None => {}
        }
        let named = self.dangerous.get(module).and_then(|names| names.get(name));
        if let Some(why) = named {
            return Standing::Dangerous(why);
        }
        // From the front, and only as far as some module is listed below: a name may have a thousand dots,
        // and a million calls.
        let mut found = Standing::Unrecognised;
        let ends = module.match_indices('.').map(|(end, _)| end);
        for end in ends.chain([module.len()]) {
            let Some(above) = module.get(..end) else {
                break;
            };
            let mut listed = self
                .dangerous
                .range::<str, _>((Bound::Included(above), Bound::Unbounded));
            let Some((name, names)) = listed.next() else {
                break;
            };
            if !name.starts_with(above) {
                break;
            }
            if let Some(why) = names.get(ALL).filter(|_| name == above) {
                found = Standing::Dangerous(why);
            }
        }
        found
    }

    /// Whether a global is allowed.
    #[must_use]
    pub fn allows(&self, module: &str, name: &str) -> bool {
        matches!(
            self.standing(module, name),
            Standing::Tensor | Standing::Data
        )
    }

    fn insert(&mut self, module: &str, name: &str, tier: Tier) {
        let names = self.allowed.entry(module.to_owned()).or_default();
        names.insert(name.to_owned(), tier);
    }

    fn insert_dangerous(&mut self, module: &str, name: &str, why: &str) {
        let names = self.dangerous.entry(module.to_owned()).or_default();
        names.insert(name.to_owned(), why.to_owned());
    }
}

fn remove<T>(list: &mut BTreeMap<String, Names<T>>, module: &str, name: &str) -> bool {
    let Some(names) = list.get_mut(module) else {
        return false;
    };
    let found = names.remove(name).is_some();
    if names.is_empty() {
        list.remove(module);
    }
    found
}

fn check(module: &str, name: &str) -> Result<()> {
    if module.is_empty() || name.is_empty() {
        let reason = format!("{module:?} {name:?}: a module and a name are needed");
        return Err(Error::caller(Caller::Policy { reason }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_below_a_dangerous_one_are_dangerous_and_others_are_not() {
        let policy = Policy::default();
        let runs_commands = Standing::Dangerous("runs commands");
        assert_eq!(policy.standing("os", "system"), runs_commands);
        assert_eq!(
            policy.standing("distutils.file_util", "write_file"),
            runs_commands
        );
        assert_eq!(policy.standing("osx", "system"), Standing::Unrecognised);
        assert_eq!(policy.standing("torch", "FloatStorage"), Standing::Tensor);
        assert_eq!(policy.standing("torch", "float8_e4m3fn"), Standing::Tensor);
        assert_eq!(
            policy.standing("torch.cuda", "HalfStorage"),
            Standing::Tensor
        );
        assert_eq!(policy.standing("uuid", "UUID"), Standing::Data);
        assert_eq!(policy.standing("uuid", "_popen"), runs_commands);
    }

    #[test]
    fn nothing_is_both_allowed_and_dangerous() {
        let policy = Policy::default();
        for (module, names) in &policy.dangerous {
            for name in names.keys().filter(|name| *name != ALL) {
                assert!(!policy.allows(module, name), "{module}.{name}");
            }
        }
    }

    #[test]
    fn callers_can_change_it() {
        let mut policy = Policy::default();
        assert!(policy.allow("a", "b.c", Tier::Data).is_err());
        assert!(policy.allow("a", "*", Tier::Data).is_err());
        assert!(policy.allow("", "b", Tier::Data).is_err());
        policy.forbid("mine", "*", "is mine").unwrap();
        assert_eq!(
            policy.standing("mine.below", "x"),
            Standing::Dangerous("is mine")
        );
        assert!(policy.remove("builtins", "set") && !policy.remove("builtins", "set"));
        assert_eq!(policy.standing("builtins", "set"), Standing::Unrecognised);
        let bare = Policy::default().without_data();
        assert!(
            !bare.allows("pathlib", "Path") && bare.allows("torch._utils", "_rebuild_tensor_v2")
        );
    }
}
