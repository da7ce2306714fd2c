//! JSON as a flat list of values: what the JSON parts of checkpoints are read from.
//!
//! Source of the rules: RFC 8259, through `serde_json`, which bounds nesting at 128. Stricter than most
//! readers: a key that stands twice in one object is an error, because readers disagree on which one
//! counts. Texts without escapes stay in the input.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, Malformed, Result, shortened, shortened_display};
use crate::limits::Budget;

/// One value, in the order of the text.
#[derive(Debug)]
struct Node<'a> {
    key: Option<Cow<'a, str>>,
    kind: Kind<'a>,
    /// Place of the next value that is not inside this one.
    next: usize,
}

#[derive(Debug)]
enum Kind<'a> {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(Cow<'a, str>),
    List,
    Object,
}

/// A parsed text.
#[derive(Debug)]
pub struct Json<'a> {
    nodes: Vec<Node<'a>>,
}

/// One value of a [`Json`].
#[derive(Clone, Copy, Debug)]
pub struct JsonValue<'j> {
    json: &'j Json<'j>,
    place: usize,
}

impl<'a> Json<'a> {
    /// Parses a whole text.
    ///
    /// # Errors
    /// `Malformed` if it is no JSON or repeats a key; `Limit` if it has more values than the heap budget
    /// allows.
    pub fn parse(text: &'a [u8], budget: &mut Budget) -> Result<Self> {
        let builder = RefCell::new(Builder {
            nodes: Vec::new(),
            budget,
            failed: None,
        });
        let mut reader = serde_json::Deserializer::from_slice(text);
        let parsed = Seed { builder: &builder }
            .deserialize(&mut reader)
            .and_then(|()| reader.end());
        let Builder { nodes, failed, .. } = builder.into_inner();
        if let Some(error) = failed {
            return Err(error);
        }
        parsed.map_err(|error| {
            Error::malformed(Malformed::Invalid {
                what: "the JSON",
                reason: shortened_display(error),
            })
        })?;
        Ok(Self { nodes })
    }

    /// The outermost value.
    #[must_use]
    pub const fn root(&self) -> JsonValue<'_> {
        JsonValue {
            json: self,
            place: 0,
        }
    }
}

impl<'j> JsonValue<'j> {
    fn kind(self) -> Option<&'j Kind<'j>> {
        self.json.nodes.get(self.place).map(|node| &node.kind)
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(self) -> Option<&'j str> {
        match self.kind()? {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is an integer from 0 to 2^64 - 1.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        match *self.kind()? {
            Kind::Integer(number) => u64::try_from(number).ok(),
            // Written by Python where a size was summed as a float.
            Kind::Float(number) if number >= 0.0 && number.fract() == 0.0 => {
                format!("{number:.0}").parse().ok()
            }
            _ => None,
        }
    }

    /// The truth value, if it is one.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match *self.kind()? {
            Kind::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A text without its quotes, or a number as digits; empty for other values.
    #[must_use]
    pub fn to_text(self) -> Cow<'j, str> {
        match self.kind() {
            Some(Kind::Text(text)) => Cow::Borrowed(text),
            Some(Kind::Integer(number)) => Cow::Owned(number.to_string()),
            Some(Kind::Float(number)) => Cow::Owned(number.to_string()),
            _ => Cow::Borrowed(""),
        }
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(self) -> bool {
        matches!(self.kind(), Some(Kind::Object))
    }

    /// Whether it is a list or object.
    #[must_use]
    pub fn has_items(self) -> bool {
        matches!(self.kind(), Some(Kind::List | Kind::Object))
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        matches!(self.kind(), Some(Kind::Null))
    }

    /// The items of a list or object, in order; nothing for other values.
    pub fn items(self) -> impl Iterator<Item = (&'j str, JsonValue<'j>)> {
        let nodes = &self.json.nodes;
        let end = nodes.get(self.place).map_or(0, |node| node.next);
        let mut place = self.place.saturating_add(1);
        std::iter::from_fn(move || {
            let node = nodes.get(place).filter(|_| place < end)?;
            let value = JsonValue {
                json: self.json,
                place,
            };
            place = node.next;
            Some((node.key.as_deref().unwrap_or_default(), value))
        })
    }

    /// The value of a key of an object. Each call looks through the keys.
    #[must_use]
    pub fn get(self, key: &str) -> Option<JsonValue<'j>> {
        if !self.is_object() {
            return None;
        }
        let mut items = self.items();
        items.find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

struct Builder<'a, 'b> {
    nodes: Vec<Node<'a>>,
    budget: &'b mut Budget,
    /// An error of ours, which serde_json could only carry as text.
    failed: Option<Error>,
}

impl<'a> Builder<'a, '_> {
    fn push(&mut self, kind: Kind<'a>) -> std::result::Result<usize, Error> {
        self.budget.grow(&mut self.nodes)?;
        let place = self.nodes.len();
        let next = place.saturating_add(1);
        self.nodes.push(Node {
            key: None,
            kind,
            next,
        });
        Ok(place)
    }
}

#[derive(Clone, Copy)]
struct Seed<'s, 'a, 'b> {
    builder: &'s RefCell<Builder<'a, 'b>>,
}

impl<'a> Seed<'_, 'a, '_> {
    fn push<E: serde::de::Error>(self, kind: Kind<'a>) -> std::result::Result<usize, E> {
        let mut builder = self.builder.borrow_mut();
        match builder.push(kind) {
            Ok(place) => Ok(place),
            Err(error) => {
                builder.failed = Some(error);
                Err(E::custom("out of budget"))
            }
        }
    }

    /// A text that has escapes, without them: charged before it is copied.
    fn copy<E: serde::de::Error>(self, text: &str) -> std::result::Result<String, E> {
        let mut builder = self.builder.borrow_mut();
        builder.budget.join(&[text]).map_err(|error| {
            builder.failed = Some(error);
            E::custom("out of budget")
        })
    }

    /// Ends a list or object.
    fn close(self, place: usize) {
        let mut builder = self.builder.borrow_mut();
        let next = builder.nodes.len();
        if let Some(node) = builder.nodes.get_mut(place) {
            node.next = next;
        }
    }

    /// The first key that stands twice in the object at `place`.
    fn repeated<E: serde::de::Error>(self, place: usize) -> std::result::Result<Option<String>, E> {
        let builder = self.builder.borrow();
        let mut keys: Vec<&str> = Vec::new();
        let mut at = place.saturating_add(1);
        while let Some(node) = builder.nodes.get(at) {
            if keys.try_reserve(1).is_err() {
                drop(keys);
                drop(builder);
                self.builder.borrow_mut().failed = Some(Error::out_of_memory());
                return Err(E::custom("out of memory"));
            }
            keys.extend(node.key.as_deref());
            at = node.next;
        }
        keys.sort_unstable();
        let pair = keys.windows(2).find(|pair| pair.first() == pair.last());
        Ok(pair.and_then(|pair| pair.first().map(|key| shortened(key))))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, 'de, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, 'de, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> std::result::Result<(), E> {
        self.push(Kind::Null).map(|_| ())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> std::result::Result<(), E> {
        self.push(Kind::Bool(value)).map(|_| ())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> std::result::Result<(), E> {
        self.push(Kind::Integer(value.into())).map(|_| ())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> std::result::Result<(), E> {
        self.push(Kind::Integer(value.into())).map(|_| ())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> std::result::Result<(), E> {
        self.push(Kind::Float(value)).map(|_| ())
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> std::result::Result<(), E> {
        self.push(Kind::Text(Cow::Borrowed(text))).map(|_| ())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<(), E> {
        let copy = self.copy(text)?;
        self.push(Kind::Text(Cow::Owned(copy))).map(|_| ())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<(), A::Error> {
        let place = self.push(Kind::List)?;
        while items.next_element_seed(self)?.is_some() {}
        self.close(place);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> std::result::Result<(), A::Error> {
        let place = self.push(Kind::Object)?;
        while let Some(key) = items.next_key_seed(Key(self))? {
            let at = self.builder.borrow().nodes.len();
            items.next_value_seed(self)?;
            let mut builder = self.builder.borrow_mut();
            if let Some(node) = builder.nodes.get_mut(at) {
                node.key = Some(key);
            }
        }
        if let Some(key) = self.repeated(place)? {
            return Err(A::Error::custom(format!("the key {key:?} stands twice")));
        }
        self.close(place);
        Ok(())
    }
}

/// Reads a key, borrowed where it has no escapes.
struct Key<'s, 'a, 'b>(Seed<'s, 'a, 'b>);

impl<'de> DeserializeSeed<'de> for Key<'_, 'de, '_> {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, 'de, '_> {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Cow<'de, str>, E> {
        self.0.copy(text).map(Cow::Owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Json<'_>> {
        Json::parse(text.as_bytes(), &mut Budget::default())
    }

    #[test]
    fn values_are_found_by_path() {
        let json = parse(r#"{"a": {"b": [1, "x\n", true]}, "c": null, "d": 2.0}"#).unwrap();
        let list: Vec<_> = json
            .root()
            .get("a")
            .unwrap()
            .get("b")
            .unwrap()
            .items()
            .collect();
        assert_eq!(list.len(), 3);
        assert_eq!(list[0].1.as_u64(), Some(1));
        assert_eq!(list[1].1.as_str(), Some("x\n"));
        assert_eq!(list[2].1.as_bool(), Some(true));
        assert!(json.root().get("c").unwrap().is_null());
        assert_eq!(json.root().get("d").unwrap().as_u64(), Some(2));
        assert!(json.root().get("b").is_none());
    }

    #[test]
    fn repeated_keys_and_deep_nesting_are_refused() {
        for text in [
            r#"{"a": 1, "b": {}, "a": 2}"#,
            &"[".repeat(100_000),
            "{} x",
            "",
        ] {
            assert!(parse(text).is_err());
        }
        assert!(parse(r#"{"a": {"x": 1}, "b": {"x": 1}}"#).is_ok());
    }
}
