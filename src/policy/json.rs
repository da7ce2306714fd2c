//! A policy as JSON, to be kept beside the files that it judges.
//!
//! ```json
//! {"schema": 1,
//!  "tensor": {"torch._utils": ["_rebuild_tensor_v2"]},
//!  "data": {"collections": ["deque"]},
//!  "dangerous": {"runs commands": {"os": ["*"]}}}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Policy, Tier};
use crate::error::{Caller, Error, Result};

type Modules = BTreeMap<String, Vec<String>>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    #[serde(default)]
    tensor: Modules,
    #[serde(default)]
    data: Modules,
    #[serde(default)]
    dangerous: BTreeMap<String, Modules>,
}

impl Policy {
    /// The policy as JSON: the whole of it, sorted.
    ///
    /// # Example
    /// ```
    /// use weighbridge::policy::Policy;
    /// let policy = Policy::default();
    /// assert_eq!(Policy::from_json(policy.to_json().as_bytes())?, policy);
    /// # Ok::<(), weighbridge::Error>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut document = Document {
            schema: 1,
            tensor: Modules::new(),
            data: Modules::new(),
            dangerous: BTreeMap::new(),
        };
        for (module, names) in &self.allowed {
            for (name, tier) in names {
                let list = match tier {
                    Tier::Tensor => &mut document.tensor,
                    Tier::Data => &mut document.data,
                };
                list.entry(module.clone()).or_default().push(name.clone());
            }
        }
        for (module, names) in &self.dangerous {
            for (name, why) in names {
                let list = document.dangerous.entry(why.clone()).or_default();
                list.entry(module.clone()).or_default().push(name.clone());
            }
        }
        serde_json::to_string_pretty(&document).unwrap_or_default()
    }

    /// Reads a policy from JSON. It replaces the default one: nothing is added to what it says.
    ///
    /// # Errors
    /// `Caller` if it is no JSON of this form, has another schema, an entry that is not known, or a
    /// dotted name among those allowed.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        let wrong = |reason: String| Error::caller(Caller::Policy { reason });
        let document: Document =
            serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
        if document.schema != 1 {
            return Err(wrong(format!("schema {} is not 1", document.schema)));
        }
        let mut policy = Self::empty();
        let allowed = [(document.tensor, Tier::Tensor), (document.data, Tier::Data)];
        for (modules, tier) in allowed {
            for (module, name) in entries(&modules) {
                policy.allow(module, name, tier)?;
            }
        }
        for (why, modules) in &document.dangerous {
            for (module, name) in entries(modules) {
                policy.forbid(module, name, why)?;
            }
        }
        Ok(policy)
    }
}

fn entries(modules: &Modules) -> impl Iterator<Item = (&str, &str)> {
    modules.iter().flat_map(|(module, names)| {
        let module = module.as_str();
        names.iter().map(move |name| (module, name.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn what_is_not_understood_is_an_error() {
        let wrong = [
            "",
            "[]",
            "{}",
            r#"{"schema": 2}"#,
            r#"{"schema": 1, "allow": {}}"#,
            r#"{"schema": 1, "data": {"a": ["b.c"]}}"#,
            r#"{"schema": 1, "data": {"a": [""]}}"#,
            r#"{"schema": 1, "tensor": {"a": ["*"]}}"#,
            r#"{"schema": 1} x"#,
        ];
        for text in wrong {
            let error = Policy::from_json(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Caller, "{text}");
        }
        assert_eq!(
            Policy::from_json(br#"{"schema": 1}"#).unwrap(),
            Policy::empty()
        );
    }
}
