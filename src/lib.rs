//! Loads machine-learning model files safely.
pub mod bytes;
pub mod dtype;
pub mod error;
pub mod findings;
pub mod formats;
pub mod index;
pub mod limits;
pub mod shape;
pub mod source;

pub use dtype::{Class, DType};
pub use error::{Error, ErrorKind, Format, Result};
pub use findings::{Finding, Findings, Severity, Verdict};
pub use index::{Metadata, MetadataView, Value};
pub use limits::{Limits, Strictness};
pub use source::Access;
