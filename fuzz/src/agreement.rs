//! Our reader of safetensors beside the official crate, both ways.
//!
//! What we accept the crate accepts, with the same names, shapes and bytes. What the crate accepts and we
//! refuse breaks one of [`RULES`]: the list of `formats::safetensors` and of the guide.

use std::fmt;

use safetensors::SafeTensors;
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use weighbridge::{Checkpoint, DType, Error, ErrorKind, Format};

/// What our refusals of files that the crate accepts say, and why we refuse them.
///
/// Beside them: limits, and a header that does not start with `{`.
pub const RULES: &[(&str, &str)] = &[
    (
        "duplicate tensor",
        "two tensors of one name: the crate takes the last",
    ),
    (
        "duplicate key",
        "a key of the metadata stands twice: the crate takes the last",
    ),
    (
        "the header's padding",
        "the specification asks for spaces; the crate skips white space",
    ),
    (
        "both an archive and a safetensors file",
        "two loaders would see two models",
    ),
    (
        "a field is",
        "a field other than dtype, shape and data_offsets",
    ),
    (
        "expected an object with dtype, shape and data_offsets",
        "a list of the three: serde's derived readers take it for an object",
    ),
    (
        "expected a string",
        "a dtype as an object: serde's derived readers take its one key for the name",
    ),
    (
        "overflows 63 bits",
        "dimensions overflow beside a dimension of 0: the crate's answer depends on their order",
    ),
    (
        "bytes before the tensor belong to nothing",
        "an empty tensor somewhere in the data",
    ),
    ("overlaps", "an empty tensor inside another one"),
];

/// Asserts both directions for one file.
pub fn check(file: &[u8]) {
    let theirs = SafeTensors::deserialize(file);
    match (Checkpoint::from_bytes(file.to_vec()), theirs) {
        (Ok(ours), Ok(theirs)) => check_same(&ours, &theirs),
        (Ok(ours), Err(error)) => {
            let opaque = ours.tensors().any(|tensor| tensor.dtype() == DType::Opaque);
            let other = ours.format() != Format::Safetensors;
            assert!(opaque || other, "the crate refuses what we accept: {error}");
        }
        (Err(error), Ok(theirs)) => {
            let listed = is_listed(&error, file) || repeats_a_name(file, theirs.len());
            assert!(listed, "not on the list: {error}");
        }
        (Err(_), Err(_)) => {}
    }
}

fn check_same(ours: &Checkpoint, theirs: &SafeTensors<'_>) {
    if ours.format() != Format::Safetensors {
        return;
    }
    assert_eq!(theirs.len(), ours.len());
    for tensor in ours.tensors() {
        let other = theirs.tensor(tensor.name()).expect("same names");
        assert_eq!(other.shape(), tensor.shape());
        assert_eq!(other.dtype().to_string(), tensor.dtype_name());
        assert_eq!(other.data(), tensor.bytes().expect("contiguous"));
    }
}

/// Whether more tensors are declared than the crate found: of two that have one name it never looks at the
/// first, which may break any rule.
fn repeats_a_name(file: &[u8], found: usize) -> bool {
    let header = file.get(8..).unwrap_or_default();
    let mut deserializer = serde_json::Deserializer::from_slice(header);
    let declared = deserializer.deserialize_map(Declared);
    declared.is_ok_and(|declared| declared > found)
}

/// Counts the keys of an object but `__metadata__`.
struct Declared;

impl<'de> Visitor<'de> for Declared {
    type Value = usize;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
            count += usize::from(key != "__metadata__");
        }
        Ok(count)
    }
}

fn is_listed(error: &Error, file: &[u8]) -> bool {
    // White space before the header makes it a file of no format, or of another.
    if file.get(8) != Some(&b'{') || error.kind() == ErrorKind::Limit {
        return true;
    }
    let text = error.to_string();
    RULES.iter().any(|(words, _)| text.contains(words))
}
