//! What a checkpoint lists, as plain values that can be compared.

use weighbridge::{Checkpoint, Location, Verdict};

/// One tensor as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
    pub storage: u32,
    pub location: Option<Location>,
}

/// Everything that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    pub rows: Vec<Row>,
    /// Keys and values, as they print.
    pub metadata: Vec<(String, String)>,
    /// Code and offset of every finding.
    pub findings: Vec<(&'static str, Option<u64>)>,
    pub verdict: Verdict,
}

/// What `model` lists.
#[must_use]
pub fn of(model: &Checkpoint) -> Listing {
    let rows = model.tensors().map(|tensor| Row {
        name: tensor.name().to_owned(),
        dtype: tensor.dtype_name().to_owned(),
        shape: tensor.shape().to_vec(),
        strides: tensor.strides(),
        storage: tensor.storage(),
        location: tensor.location(),
    });
    let metadata = model.metadata().iter();
    let metadata = metadata.map(|(key, value)| (format!("{key:?}"), format!("{value:?}")));
    let findings = model
        .findings()
        .map(|finding| (finding.code, finding.offset));
    Listing {
        rows: rows.collect(),
        metadata: metadata.collect(),
        findings: findings.collect(),
        verdict: model.verdict(),
    }
}
