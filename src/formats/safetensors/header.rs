//! The JSON header: an object of tensors, read token by token straight into the index.
//!
//! No value tree, so that the heap stays near the header's own size, and every repeated key is seen.

use std::borrow::Cow;

use super::tokens::{Number, START, Tokens};
use super::{File, Info};
use crate::bytes::to_u64;
use crate::dtype::DType;
use crate::error::{Error, Malformed, Result, shortened};
use crate::findings::{Finding, Severity};
use crate::index::Builder;
use crate::limits::{Budget, Limit};

/// The shortest info: no name, no dtype, no dimension, two digits.
const LEAST_INFO: usize = r#""":{"dtype":"","shape":[],"data_offsets":[0,0]}"#.len();

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
    budget.look()?;
    let json = trim_padding(text, builder, budget)?;
    reserve(json, builder, budget)?;
    let mut reader = Reader {
        tokens: Tokens::new(json),
        bytes: json.len(),
        file,
        builder,
        budget,
        shape: Vec::new(),
        known: ("", DType::Opaque),
    };
    reader.header()
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

/// Makes room for the tensors at once. Every one opens a brace and takes [`LEAST_INFO`] bytes; every
/// dimension but a tensor's first stands behind a comma. Names may hold braces and commas: then the room
/// is wrong, never more than the header's bytes prove, and grows later.
fn reserve(json: &str, builder: &mut Builder, budget: &mut Budget) -> Result<()> {
    let (mut braces, mut commas): (usize, usize) = (0, 0);
    for part in json.as_bytes().chunks(LOOK_BYTES) {
        budget.look()?;
        braces = braces.saturating_add(count(part, b'{'));
        commas = commas.saturating_add(count(part, b','));
    }
    let most = json.len().checked_div(LEAST_INFO).unwrap_or_default();
    let tensors = braces.saturating_sub(1).min(most);
    // Three commas stand around the fields of a tensor and between its offsets; one more, up to the next
    // tensor, pays for its first dimension. `__metadata__` counts as a tensor without commas of its own.
    // Nor more than real tensors have: a header of one long shape is refused before it is kept.
    let dimensions = commas
        .saturating_add(4)
        .saturating_sub(tensors.saturating_mul(3))
        .min(tensors.saturating_mul(8));
    builder.reserve(tensors, dimensions, budget)
}

/// How often a byte stands in `bytes`; sums of one byte, so that sixteen are compared at once.
fn count(bytes: &[u8], wanted: u8) -> usize {
    let few = |bytes: &[u8]| {
        let hits = bytes.iter().map(|&byte| u8::from(byte == wanted));
        usize::from(hits.fold(0, u8::wrapping_add))
    };
    let parts = bytes.chunks_exact(128);
    let rest = few(parts.remainder());
    parts.map(few).fold(rest, usize::saturating_add)
}

/// Bytes that are counted between two looks at whether opening is still wanted.
const LOOK_BYTES: usize = 1 << 20;

struct Reader<'a, 'b> {
    tokens: Tokens<'a>,
    /// Length of the header.
    bytes: usize,
    file: File,
    builder: &'b mut Builder,
    budget: &'b mut Budget,
    /// Reused for every tensor.
    shape: Vec<u64>,
    /// The dtype that was last looked up: neighbours mostly have the same.
    known: (&'a str, DType),
}

/// A tensor's name, and where it starts in the file.
#[derive(Clone, Copy)]
struct Name<'n> {
    text: &'n str,
    place: u64,
}

impl<'n> Name<'n> {
    fn new(start: usize, text: &'n str) -> Self {
        let place = START.saturating_add(to_u64(start));
        Self { text, place }
    }
}

/// A field of a tensor.
enum Field<'a> {
    Dtype,
    Shape,
    DataOffsets,
    Unknown(Cow<'a, str>),
}

impl<'a> Reader<'a, '_> {
    /// The outermost object.
    fn header(&mut self) -> Result<()> {
        self.tokens.object("an object of tensors")?;
        let mut metadata_seen = false;
        let mut first = true;
        loop {
            // What the official writers put, taken at once; `key` would find the same.
            if let Some((start, name)) = self.tokens.take_plain_key(&mut first) {
                self.member(Name::new(start, name), &mut metadata_seen, true)?;
                continue;
            }
            let Some((start, name)) = self.tokens.key(&mut first)? else {
                return self.tokens.end();
            };
            self.member(Name::new(start, &name), &mut metadata_seen, false)?;
        }
    }

    /// A member of the outermost object; `colon` is whether its colon was taken.
    #[inline]
    fn member(&mut self, name: Name<'_>, metadata_seen: &mut bool, colon: bool) -> Result<()> {
        let is_metadata = name.text == "__metadata__";
        if is_metadata && std::mem::replace(metadata_seen, true) {
            return Err(Error::duplicate("key", name.text).at(name.place));
        }
        if !colon {
            self.tokens.colon()?;
        }
        match is_metadata {
            true => self.metadata(),
            false => self.tensor(name),
        }
    }

    /// The object under `__metadata__`: strings to strings. Some writers put `null` where they have none
    /// (the crate takes that as absent, and real files hold it): accepted, and noted.
    fn metadata(&mut self) -> Result<()> {
        if self.tokens.null()? {
            let message = "__metadata__ is null instead of an object";
            let finding = Finding::new(Severity::Note, "null-metadata", message);
            self.builder.finding(finding);
            return Ok(());
        }
        self.tokens
            .object("an object of strings under __metadata__")?;
        let mut first = true;
        while let Some((start, key)) = self.tokens.key(&mut first)? {
            self.tokens.colon()?;
            let value = self.tokens.text()?;
            let key = Name::new(start, &key);
            let metadata = self.builder.metadata();
            metadata
                .push_string(key.text, &value, key.place, self.budget)
                .map_err(|error| error.at(key.place))?;
        }
        Ok(())
    }

    /// The object of one tensor.
    fn tensor(&mut self, name: Name<'_>) -> Result<()> {
        self.info(name).map_err(|error| match error.as_malformed() {
            // What is no JSON is no fault of the tensor's.
            Some(Malformed::Invalid { .. }) => error,
            _ => error.for_tensor(name.text).at(name.place),
        })
    }

    fn info(&mut self, name: Name<'_>) -> Result<()> {
        if self.tokens.take_byte(b'{').is_none() {
            self.tokens
                .object("an object with dtype, shape and data_offsets")?;
        }
        let mut dtype = None;
        let mut data_offsets = None;
        let mut shape = false;
        let mut first = true;
        while let Some(field) = self.field(&mut first)? {
            let (field, repeated) = match field {
                Field::Dtype => ("dtype", dtype.replace(self.tokens.text()?).is_some()),
                Field::Shape => {
                    self.shape()?;
                    ("shape", std::mem::replace(&mut shape, true))
                }
                Field::DataOffsets => {
                    let repeated = data_offsets.replace(self.data_offsets()?).is_some();
                    ("data_offsets", repeated)
                }
                Field::Unknown(field) => {
                    self.unknown_field(name.text, &field)?;
                    self.tokens.colon()?;
                    self.tokens.skip_value(self.budget)?;
                    continue;
                }
            };
            if repeated {
                return Err(Error::duplicate("field", field));
            }
        }
        let has_dtype = dtype.is_some();
        let (Some(code), Some(data_offsets), true) = (dtype, data_offsets, shape) else {
            let field = match (has_dtype, shape) {
                (false, _) => "dtype",
                (true, false) => "shape",
                (true, true) => "data_offsets",
            };
            return Err(Error::missing("field", field));
        };
        self.push(name, code, data_offsets)
    }

    /// The next field of a tensor, with the colon if it is a known one.
    #[inline]
    fn field(&mut self, first: &mut bool) -> Result<Option<Field<'a>>> {
        // What the official writers put, taken at once; `key` would find the same.
        let tokens = &mut self.tokens;
        if tokens.take_member(first, br#""dtype":"#) {
            return Ok(Some(Field::Dtype));
        }
        if tokens.take_member(first, br#""shape":"#) {
            return Ok(Some(Field::Shape));
        }
        if tokens.take_member(first, br#""data_offsets":"#) {
            return Ok(Some(Field::DataOffsets));
        }
        let Some((_, key)) = tokens.key(first)? else {
            return Ok(None);
        };
        let field = match &*key {
            "dtype" => Field::Dtype,
            "shape" => Field::Shape,
            "data_offsets" => Field::DataOffsets,
            _ => return Ok(Some(Field::Unknown(key))),
        };
        tokens.colon()?;
        Ok(Some(field))
    }

    #[inline]
    fn push(&mut self, name: Name<'_>, code: Cow<'a, str>, data_offsets: [u64; 2]) -> Result<()> {
        let dtype = match self.known {
            (known, dtype) if known == code => dtype,
            _ => {
                let dtype = DType::from_safetensors(&code).unwrap_or(DType::Opaque);
                if let Cow::Borrowed(code) = code {
                    self.known = (code, dtype);
                }
                dtype
            }
        };
        self.make_room(name.text)?;
        let info = Info {
            dtype,
            code: &code,
            shape: &self.shape,
            data_offsets,
            declared_at: name.place,
        };
        super::push(name.text, &info, self.file, self.builder, self.budget)
    }

    /// Makes room for the names to come, as many bytes of each byte of the header as so far: names make up
    /// anything from none to nearly all of it, and growing step by step would leave room unused.
    fn make_room(&mut self, name: &str) -> Result<()> {
        let (used, free) = self.builder.text_room();
        if free >= name.len() {
            return Ok(());
        }
        let read = self.tokens.at().max(1);
        let left = self.bytes.saturating_sub(read);
        let expected = used.saturating_mul(left).checked_div(read);
        let expected = match used {
            // The first name stands for a sixteenth of the header.
            0 => left
                .checked_div(16)
                .unwrap_or_default()
                .min(name.len().saturating_mul(64)),
            _ => expected.unwrap_or_default(),
        };
        let more = expected
            .saturating_add(used / 64)
            .saturating_add(name.len());
        self.builder.reserve_text(more, self.budget)
    }

    fn unknown_field(&mut self, name: &str, field: &str) -> Result<()> {
        let (name, field) = (shortened(name), shortened(field));
        if !self.budget.is_lenient() {
            let expected = "dtype, shape or data_offsets";
            return Err(Error::unexpected("a field", format!("{field:?}"), expected));
        }
        let message = format!("tensor {name:?} has the unknown field {field:?}");
        self.builder
            .finding(Finding::new(Severity::Warning, "unknown-field", message));
        Ok(())
    }

    /// The list under `shape`, read into [`Reader::shape`].
    fn shape(&mut self) -> Result<()> {
        self.shape.clear();
        let (mut numbers, before) = ([0; 8], self.tokens);
        if let Some(rank) = self.tokens.take_numbers(&mut numbers) {
            if to_u64(rank) <= Limit::Rank.of(self.budget.limits()) {
                let numbers = numbers.get(..rank).unwrap_or_default();
                self.shape.extend_from_slice(numbers);
                return Ok(());
            }
            self.tokens = before;
        }
        self.tokens.list("a list of dimensions")?;
        let mut first = true;
        while self.tokens.item(&mut first)? {
            let dimension = self.unsigned("a dimension")?;
            self.budget.grow(&mut self.shape)?;
            self.shape.push(dimension);
            // Checked here, not in the builder: a rank bomb must not fill the list first.
            let rank = to_u64(self.shape.len());
            self.budget.allow(Limit::Rank, rank)?;
        }
        Ok(())
    }

    /// The pair under `data_offsets`.
    fn data_offsets(&mut self) -> Result<[u64; 2]> {
        let (mut numbers, before) = ([0; 8], self.tokens);
        match self.tokens.take_numbers(&mut numbers) {
            Some(2) => return Ok([numbers[0], numbers[1]]),
            _ => self.tokens = before,
        }
        self.tokens.list("a list of two offsets")?;
        let mut first = true;
        let mut pair = [0; 2];
        for offset in &mut pair {
            if !self.tokens.item(&mut first)? {
                return Err(self.tokens.invalid(NOT_TWO));
            }
            *offset = self.unsigned("an offset")?;
        }
        if self.tokens.item(&mut first)? {
            self.unsigned("an offset")?;
            // Up to the end of the list, if it is near.
            let _ = self.tokens.item(&mut first);
            return Err(self.tokens.invalid(NOT_TWO));
        }
        Ok(pair)
    }

    /// An unsigned integer written without fraction, exponent or sign.
    fn unsigned(&mut self, what: &'static str) -> Result<u64> {
        const EXPECTED: &str = "an unsigned integer";
        match self.tokens.number(EXPECTED)? {
            Number::Unsigned(number) => Ok(number),
            Number::Other(number) => {
                let found = match (number.as_i64(), number.as_f64()) {
                    (Some(number), _) => number.to_string(),
                    (_, Some(number)) => format!("{number:?}"),
                    _ => number.to_string(),
                };
                Err(Error::unexpected(what, found, EXPECTED))
            }
        }
    }
}

const NOT_TWO: &str = "data_offsets does not hold two offsets";

#[cfg(test)]
mod tests;
