//! The JSON header, streamed: no value tree, every repeated key seen.
//!
//! serde_json walks the text and calls the visitors below; each tensor goes straight into the
//! index, so that the heap stays within a small multiple of the header. A broken rule travels
//! through serde as an empty error, with the typed one kept aside in [`State::error`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::{File, Info};
use crate::bytes::to_u64;
use crate::error::{Error, Malformed, Result, shortened};
use crate::findings::{Finding, Severity};
use crate::index::Builder;
use crate::limits::{Budget, Limit};

/// File offset of the header's first byte.
const START: u64 = 8;

/// Reads the header into `builder`.
pub(super) fn read(
    header: &[u8],
    file: File,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    let text = std::str::from_utf8(header).map_err(|error| {
        let at = START.saturating_add(to_u64(error.valid_up_to()));
        Error::malformed(Malformed::NotUtf8 { what: "the header" }).at(at)
    })?;
    let json = trim_padding(text, builder, budget)?;
    // Every tensor opens a brace, and none is shorter than 40 bytes: names full of braces reserve
    // no more than the header can hold.
    let braces = json.bytes().filter(|&byte| byte == b'{').count();
    let most = json.len().checked_div(40).unwrap_or_default();
    builder.reserve(braces.saturating_sub(1).min(most), budget)?;
    let mut state = State {
        header: json,
        file,
        builder,
        budget,
        shape: Vec::new(),
        metadata_seen: false,
        error: None,
    };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let parsed = Header(&mut state)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    match (parsed, state.error.take()) {
        (Ok(()), _) => Ok(()),
        (Err(error), Some(ours)) => Err(ours.at(offset_of(json, &error))),
        (Err(error), None) => {
            let text = error.to_string();
            let reason = text.split(" at line ").next().unwrap_or_default();
            let invalid = Malformed::Invalid {
                what: "the header",
                reason: shortened(reason),
            };
            Err(Error::malformed(invalid).at(offset_of(json, &error)))
        }
    }
}

/// The JSON between the first byte, which must be `{`, and the padding, which must be spaces.
fn trim_padding<'a>(text: &'a str, builder: &mut Builder, budget: &Budget) -> Result<&'a str> {
    let first = text.chars().next();
    if first != Some('{') {
        let found = first.map_or_else(|| String::from("nothing"), |first| format!("{first:?}"));
        return Err(Error::unexpected("the header's first byte", found, "'{'").at(START));
    }
    let json = text.trim_end_matches([' ', '\t', '\r', '\n']);
    let padding = text.get(json.len()..).unwrap_or_default();
    if let Some((at, other)) = padding.char_indices().find(|&(_, other)| other != ' ') {
        let at = START
            .saturating_add(to_u64(json.len()))
            .saturating_add(to_u64(at));
        if !budget.is_lenient() {
            let found = format!("{other:?}");
            return Err(Error::unexpected("the header's padding", found, "spaces").at(at));
        }
        let message = "the header is padded with white space other than spaces";
        builder.finding(Finding::new(Severity::Warning, "header-padding", message).at(at));
    }
    Ok(json)
}

/// serde_json counts lines and columns; the file has bytes.
fn offset_of(json: &str, error: &serde_json::Error) -> u64 {
    let line = error.line().saturating_sub(1);
    let start: usize = json.split_inclusive('\n').take(line).map(str::len).sum();
    START
        .saturating_add(to_u64(start))
        .saturating_add(to_u64(error.column().saturating_sub(1)))
}

struct State<'a> {
    header: &'a str,
    file: File,
    builder: &'a mut Builder,
    budget: &'a mut Budget,
    /// Reused for every tensor.
    shape: Vec<u64>,
    metadata_seen: bool,
    error: Option<Error>,
}

impl State<'_> {
    /// Keeps our error aside and gives serde an empty one.
    fn fail<E: serde::de::Error>(&mut self, error: Error) -> E {
        self.error.get_or_insert(error);
        E::custom("")
    }

    fn check<T, E: serde::de::Error>(&mut self, result: Result<T>) -> Result<T, E> {
        result.map_err(|error| self.fail(error))
    }

    /// Where `text` stands in the file, if it was borrowed from the header; a name with escapes was
    /// not, and the error then names where serde_json stopped.
    fn place(&self, text: &str) -> Option<u64> {
        let start = text
            .as_ptr()
            .addr()
            .checked_sub(self.header.as_ptr().addr())?;
        (start < self.header.len()).then(|| START.saturating_add(to_u64(start)))
    }
}

/// A string, borrowed where it has no escapes.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// The outermost object.
struct Header<'s, 'a>(&'s mut State<'a>);

impl<'de> DeserializeSeed<'de> for Header<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Header<'_, '_> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of tensors")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let state = self.0;
        while let Some(name) = map.next_key_seed(Text)? {
            if name == "__metadata__" {
                if state.metadata_seen {
                    let error = Error::duplicate("key", &name);
                    return Err(state.fail(error));
                }
                state.metadata_seen = true;
                map.next_value_seed(Metadata(state))?;
            } else {
                map.next_value_seed(Tensor(state, name))?;
            }
        }
        Ok(())
    }
}

/// The object under `__metadata__`: strings to strings. Some writers put `null` where they have
/// none (the crate takes that as absent, and real files hold it): accepted, and noted.
struct Metadata<'s, 'a>(&'s mut State<'a>);

impl<'de> DeserializeSeed<'de> for Metadata<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Metadata<'_, '_> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of strings under __metadata__")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        let message = "__metadata__ is null instead of an object";
        let finding = Finding::new(Severity::Note, "null-metadata", message);
        self.0.builder.finding(finding);
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let state = self.0;
        while let Some(key) = map.next_key_seed(Text)? {
            let value = map.next_value_seed(Text)?;
            let place = state.place(&key).unwrap_or(START);
            let metadata = state.builder.metadata();
            let pushed = metadata.push_string(&key, &value, place, state.budget);
            state.check::<_, A::Error>(pushed)?;
        }
        Ok(())
    }
}

/// The object of one tensor.
struct Tensor<'s, 'a, 'de>(&'s mut State<'a>, Cow<'de, str>);

impl<'de> DeserializeSeed<'de> for Tensor<'_, '_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Tensor<'_, '_, 'de> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with dtype, shape and data_offsets")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self(state, name) = self;
        let outcome = tensor(state, &name, map);
        if let Some(error) = state.error.take() {
            let error = error.for_tensor(&name);
            state.error = Some(match state.place(&name) {
                Some(place) if error.offset().is_none() => error.at(place),
                _ => error,
            });
        }
        outcome
    }
}

fn tensor<'de, A: MapAccess<'de>>(
    state: &mut State<'_>,
    name: &Cow<'de, str>,
    mut map: A,
) -> Result<(), A::Error> {
    let mut dtype = None;
    let mut data_offsets = None;
    let mut shape = false;
    while let Some(field) = map.next_key_seed(Text)? {
        let repeated = match &*field {
            "dtype" => dtype.replace(map.next_value_seed(Text)?).is_some(),
            "shape" => {
                map.next_value_seed(Shape(state))?;
                std::mem::replace(&mut shape, true)
            }
            "data_offsets" => data_offsets
                .replace(map.next_value_seed(DataOffsets(state))?)
                .is_some(),
            _ => {
                unknown_field(state, name, &field)?;
                map.next_value::<IgnoredAny>()?;
                false
            }
        };
        if repeated {
            let error = Error::duplicate("field", &field);
            return Err(state.fail(error));
        }
    }
    let missing = |field| Error::missing("field", field);
    let (Some(dtype), Some(data_offsets), true) = (&dtype, data_offsets, shape) else {
        let field = if dtype.is_none() {
            "dtype"
        } else if shape {
            "data_offsets"
        } else {
            "shape"
        };
        return Err(state.fail(missing(field)));
    };
    let info = Info {
        dtype,
        shape: &state.shape,
        data_offsets,
        declared_at: state.place(name).unwrap_or(START),
    };
    let pushed = super::push(name, &info, state.file, state.builder, state.budget);
    state.check(pushed)
}

fn unknown_field<E: serde::de::Error>(
    state: &mut State<'_>,
    name: &str,
    field: &str,
) -> Result<(), E> {
    if !state.budget.is_lenient() {
        let expected = "dtype, shape or data_offsets";
        let error = Error::unexpected("a field", format!("{field:?}"), expected);
        return Err(state.fail(error));
    }
    let message = format!("tensor {name:?} has the unknown field {field:?}");
    state
        .builder
        .finding(Finding::new(Severity::Warning, "unknown-field", message));
    Ok(())
}

/// A JSON number that is an unsigned integer written without fraction, exponent or sign.
struct Unsigned<'s, 'a>(&'s mut State<'a>, &'static str);

impl<'de> DeserializeSeed<'de> for Unsigned<'_, '_> {
    type Value = u64;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_u64(self)
    }
}

impl Visitor<'_> for Unsigned<'_, '_> {
    type Value = u64;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an unsigned integer")
    }
    fn visit_u64<E>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<u64, E> {
        let error = Error::unexpected(self.1, number, "an unsigned integer");
        Err(self.0.fail(error))
    }
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<u64, E> {
        let error = Error::unexpected(self.1, format!("{number:?}"), "an unsigned integer");
        Err(self.0.fail(error))
    }
}

/// The list under `shape`, read into [`State::shape`].
struct Shape<'s, 'a>(&'s mut State<'a>);

impl<'de> DeserializeSeed<'de> for Shape<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Shape<'_, '_> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of dimensions")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let state = self.0;
        state.shape.clear();
        while let Some(dimension) = list.next_element_seed(Unsigned(state, "a dimension"))? {
            state.shape.push(dimension);
            // Checked here, not in the builder: a rank bomb must not fill the list first.
            let rank = to_u64(state.shape.len());
            let allowed = state.budget.allow(Limit::Rank, rank);
            state.check::<_, A::Error>(allowed)?;
        }
        Ok(())
    }
}

/// The pair under `data_offsets`.
struct DataOffsets<'s, 'a>(&'s mut State<'a>);

impl<'de> DeserializeSeed<'de> for DataOffsets<'_, '_> {
    type Value = [u64; 2];
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<[u64; 2], D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for DataOffsets<'_, '_> {
    type Value = [u64; 2];
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of two offsets")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<[u64; 2], A::Error> {
        let state = self.0;
        let begin = list.next_element_seed(Unsigned(state, "an offset"))?;
        let end = list.next_element_seed(Unsigned(state, "an offset"))?;
        let third = list.next_element_seed(Unsigned(state, "an offset"))?;
        match (begin, end, third) {
            (Some(begin), Some(end), None) => Ok([begin, end]),
            _ => Err(A::Error::custom("data_offsets does not hold two offsets")),
        }
    }
}
