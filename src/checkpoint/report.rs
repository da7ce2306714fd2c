//! What an engine expects of a checkpoint, beside what is there.

use std::collections::HashSet;
use std::fmt;

use super::Checkpoint;
use crate::dtype::DType;

/// A tensor that an engine is going to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected<'e> {
    /// The name.
    pub name: &'e str,
    /// The dimensions, outermost first.
    pub shape: &'e [usize],
    /// The element type; `None` if any will do.
    pub dtype: Option<DType>,
}

/// A tensor of another shape or type than expected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// The name.
    pub name: String,
    /// Dimensions in the checkpoint, and those expected.
    pub shapes: (Vec<usize>, Vec<usize>),
    /// Type in the checkpoint, and the one expected, if any was.
    pub dtypes: (DType, Option<DType>),
}

impl Mismatch {
    /// Whether the shape is another one.
    #[must_use]
    pub fn is_of_shape(&self) -> bool {
        self.shapes.0 != self.shapes.1
    }

    /// Whether the element type is another one.
    #[must_use]
    pub fn is_of_dtype(&self) -> bool {
        self.dtypes
            .1
            .is_some_and(|expected| expected != self.dtypes.0)
    }
}

/// How a checkpoint differs from what an engine expects; each list is sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadReport {
    /// Expected, and not there.
    pub missing: Vec<String>,
    /// There, and not expected.
    pub unexpected: Vec<String>,
    /// There, with another shape or type.
    pub mismatched: Vec<Mismatch>,
    /// How many are there as expected.
    pub matched: usize,
}

impl LoadReport {
    /// Whether there is exactly what was expected.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mismatched.is_empty()
    }
}

impl fmt::Display for LoadReport {
    /// One line: how many of each.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} as expected, {} missing, {} unexpected, {} of another shape or type",
            self.matched,
            self.missing.len(),
            self.unexpected.len(),
            self.mismatched.len()
        )
    }
}

impl Checkpoint {
    /// Compares names, shapes and types with what an engine expects, before anything is loaded.
    ///
    /// # Example
    /// ```
    /// use weighbridge::Expected;
    /// let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
    /// let shape = model.tensor("embed.weight")?.shape().to_vec();
    /// let report = model.diff([
    ///     Expected { name: "embed.weight", shape: &shape, dtype: None },
    ///     Expected { name: "head.weight", shape: &[10, 10], dtype: None },
    /// ]);
    /// assert_eq!(report.missing, ["head.weight"]);
    /// assert_eq!(report.matched, 1);
    /// assert_eq!(report.unexpected.len(), model.len() - 1);
    /// # Ok::<(), weighbridge::Error>(())
    /// ```
    pub fn diff<'e>(&self, expected: impl IntoIterator<Item = Expected<'e>>) -> LoadReport {
        let mut report = LoadReport::default();
        let mut asked: HashSet<&str> = HashSet::new();
        for expected in expected {
            asked.insert(expected.name);
            let Some(tensor) = self.find(expected.name) else {
                report.missing.push(expected.name.to_owned());
                continue;
            };
            let mismatch = Mismatch {
                name: expected.name.to_owned(),
                shapes: (tensor.shape().to_vec(), expected.shape.to_vec()),
                dtypes: (tensor.dtype(), expected.dtype),
            };
            if mismatch.is_of_shape() || mismatch.is_of_dtype() {
                report.mismatched.push(mismatch);
            } else {
                report.matched = report.matched.saturating_add(1);
            }
        }
        let names = self.tensors().map(|tensor| tensor.name());
        let unexpected = names.filter(|name| !asked.contains(name));
        report.unexpected = unexpected.map(str::to_owned).collect();
        report.missing.sort_unstable();
        report.unexpected.sort_unstable();
        report
            .mismatched
            .sort_unstable_by(|a, b| a.name.cmp(&b.name));
        report
    }
}
