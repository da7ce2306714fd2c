//! What is wrong with a file.

/// How a file breaks the rules of its format, with the offending values.
///
/// `what` names the field or part in the words of the format's specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A part reaches past the end of what holds it.
    #[error("{what}: {needed} bytes needed, {available} left")]
    Truncated {
        /// The part that is cut off.
        what: &'static str,
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that are there.
        available: u64,
    },
    /// Bytes follow the last part of the file.
    #[error("{count} bytes follow {what}")]
    TrailingBytes {
        /// The part that should be last.
        what: &'static str,
        /// How many bytes follow it.
        count: u64,
    },
    /// Text that must be UTF-8 is not.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// The text.
        what: &'static str,
    },
    /// A name, key or field stands twice.
    #[error("duplicate {what} {name:?}")]
    Duplicate {
        /// What is repeated: `tensor`, `key`, `member`, …
        what: &'static str,
        /// The repeated name, shortened to 200 characters.
        name: String,
    },
    /// A required part is absent.
    #[error("missing {what} {name:?}")]
    Missing {
        /// The kind of the part.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A number is outside its range.
    #[error("{what} is {value}, expected {expected}")]
    OutOfRange {
        /// The number's name.
        what: &'static str,
        /// The number in the file.
        value: i128,
        /// The allowed range, in words.
        expected: &'static str,
    },
    /// Something other than what the format asks for.
    #[error("{what} is {found}, expected {expected}")]
    Unexpected {
        /// The field or part.
        what: &'static str,
        /// What stands there, printable and shortened.
        found: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// Text does not follow its grammar.
    #[error("{what} is invalid: {reason}")]
    Invalid {
        /// The text.
        what: &'static str,
        /// What its parser says.
        reason: String,
    },
    /// Two statements of one file disagree on a size or count.
    #[error("{what} is {found}, expected {expected}")]
    Mismatch {
        /// What is stated twice.
        what: &'static str,
        /// What one place says.
        found: u64,
        /// What follows from the others.
        expected: u64,
    },
    /// A size cannot be represented: it exceeds 2^63 − 1.
    #[error("{what} overflows 63 bits")]
    Overflow {
        /// The size.
        what: &'static str,
    },
    /// A row or tensor does not divide into whole blocks.
    #[error("{elements} elements is not a multiple of block length {block} ({dtype})")]
    PartialBlock {
        /// Elements of the row (or tensor).
        elements: u64,
        /// Elements of one block.
        block: u64,
        /// The element type.
        dtype: &'static str,
    },
    /// Bytes between two parts belong to nothing.
    #[error("{count} bytes before {what} belong to nothing")]
    Gap {
        /// The part after the gap.
        what: &'static str,
        /// The size of the gap.
        count: u64,
    },
    /// Two parts share bytes.
    #[error("{what} overlaps {other:?} by {count} bytes")]
    Overlap {
        /// The later part.
        what: &'static str,
        /// The earlier part's name.
        other: String,
        /// Shared bytes.
        count: u64,
    },
}

impl Malformed {
    /// A stable machine-readable name of the broken rule.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "truncated",
            Self::TrailingBytes { .. } => "trailing-bytes",
            Self::NotUtf8 { .. } => "not-utf8",
            Self::Duplicate { .. } => "duplicate",
            Self::Missing { .. } => "missing",
            Self::OutOfRange { .. } => "out-of-range",
            Self::Unexpected { .. } => "unexpected",
            Self::Invalid { .. } => "invalid",
            Self::Mismatch { .. } => "mismatch",
            Self::Overflow { .. } => "overflow",
            Self::PartialBlock { .. } => "partial-block",
            Self::Gap { .. } => "gap",
            Self::Overlap { .. } => "overlap",
        }
    }
}
