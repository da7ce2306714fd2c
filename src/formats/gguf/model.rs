//! The metadata of a language model, typed.
//!
//! Keys and types: ggml `docs/gguf.md` and gguf-py 0.19.0 `constants.py`. Accessors tolerate any integer
//! width, because the specification recommends 64 bits and files use 32; they check range, element
//! type and lengths, because engines index by these numbers. Text is untrusted: a chat template is a
//! program for a Jinja engine, and is only shown here.

use crate::error::{Caller, Error, Malformed, Result, shortened, shortened_display};
use crate::index::{Array, MetadataView, Text, Value, ValueType};

/// The most layers, heads, … that are believed: engines allocate by them.
const MOST_LAYERS: u64 = 65_536;
const MOST_SIZE: u64 = 1 << 40;

/// Keys that start with an architecture are looked for: with a longer one by no engine.
const MOST_ARCHITECTURE_BYTES: usize = 255;

/// Typed access to the metadata of a GGUF model.
///
/// # Example
/// ```
/// use weighbridge::formats::gguf::Model;
/// let checkpoint = weighbridge::open("tests/files/gguf/vocabulary.gguf")?;
/// let model = Model::new(checkpoint.metadata());
/// let tokenizer = model.tokenizer()?;
/// println!("{:?}: {} tokens", model.architecture()?, tokenizer.len());
/// # Ok::<(), weighbridge::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    metadata: MetadataView<'a>,
}

macro_rules! sizes {
    ($($(#[$doc:meta])* $name:ident $suffix:literal;)*) => {
        $($(#[$doc])*
        ///
        /// # Errors
        /// `Malformed` if the value is no unsigned integer or absurdly large.
        pub fn $name(&self) -> Result<Option<u64>> {
            self.architecture_number($suffix, MOST_SIZE)
        })*
    };
}

impl<'a> Model<'a> {
    /// The model whose metadata this is.
    #[must_use]
    pub const fn new(metadata: MetadataView<'a>) -> Self {
        Self { metadata }
    }

    /// `general.architecture`, the prefix of most other keys.
    ///
    /// # Errors
    /// `Malformed` if it is missing, no text, or not UTF-8.
    pub fn architecture(&self) -> Result<&'a str> {
        self.text("general.architecture")?
            .ok_or_else(|| Error::missing("key", "general.architecture"))
    }

    /// `general.name`.
    ///
    /// # Errors
    /// `Malformed` if it is no text.
    pub fn name(&self) -> Result<Option<&'a str>> {
        self.text("general.name")
    }

    /// `general.quantization_version`: 2 since May 2023.
    ///
    /// # Errors
    /// `Malformed` if it is no small unsigned integer.
    pub fn quantization_version(&self) -> Result<Option<u64>> {
        self.number("general.quantization_version", MOST_LAYERS)
    }

    /// `general.file_type`: `llama_ftype`, the type of most tensors.
    ///
    /// # Errors
    /// `Malformed` if it is no small unsigned integer.
    pub fn file_type(&self) -> Result<Option<u64>> {
        self.number("general.file_type", MOST_LAYERS)
    }

    /// `{architecture}.block_count`, the number of layers: at most 65,536.
    ///
    /// # Errors
    /// `Malformed` if it is no unsigned integer or larger.
    pub fn block_count(&self) -> Result<Option<u64>> {
        self.architecture_number("block_count", MOST_LAYERS)
    }

    sizes! {
        /// `{architecture}.context_length`, in tokens.
        context_length "context_length";
        /// `{architecture}.embedding_length`.
        embedding_length "embedding_length";
        /// `{architecture}.vocab_size`, in tokens.
        vocab_size "vocab_size";
        /// `{architecture}.expert_count`.
        expert_count "expert_count";
        /// `{architecture}.expert_used_count`.
        expert_used_count "expert_used_count";
        /// `{architecture}.attention.key_length`.
        key_length "attention.key_length";
        /// `{architecture}.attention.value_length`.
        value_length "attention.value_length";
        /// `{architecture}.attention.sliding_window`, in tokens.
        sliding_window "attention.sliding_window";
        /// `{architecture}.rope.dimension_count`.
        rope_dimension_count "rope.dimension_count";
    }

    /// `{architecture}.attention.head_count`: one number for all layers, or one per layer.
    ///
    /// # Errors
    /// `Malformed` if it is neither, or a list of another length than the layers.
    pub fn head_count(&self) -> Result<Option<PerLayer<'a>>> {
        self.per_layer("attention.head_count")
    }

    /// `{architecture}.attention.head_count_kv`, as [`head_count`](Self::head_count).
    ///
    /// # Errors
    /// As [`head_count`](Self::head_count).
    pub fn head_count_kv(&self) -> Result<Option<PerLayer<'a>>> {
        self.per_layer("attention.head_count_kv")
    }

    /// `{architecture}.feed_forward_length`, as [`head_count`](Self::head_count).
    ///
    /// # Errors
    /// As [`head_count`](Self::head_count).
    pub fn feed_forward_length(&self) -> Result<Option<PerLayer<'a>>> {
        self.per_layer("feed_forward_length")
    }

    /// `{architecture}.rope.freq_base`.
    ///
    /// # Errors
    /// `Malformed` if it is no finite number.
    pub fn rope_freq_base(&self) -> Result<Option<f64>> {
        self.float(&self.architecture_key("rope.freq_base")?)
    }

    /// `{architecture}.attention.layer_norm_rms_epsilon`.
    ///
    /// # Errors
    /// `Malformed` if it is no finite number.
    pub fn layer_norm_rms_epsilon(&self) -> Result<Option<f64>> {
        self.float(&self.architecture_key("attention.layer_norm_rms_epsilon")?)
    }

    /// `tokenizer.chat_template`, or the one of this name: a program for a Jinja engine, untrusted.
    ///
    /// # Errors
    /// `Malformed` if it is no text.
    pub fn chat_template(&self, name: Option<&str>) -> Result<Option<&'a str>> {
        match name {
            None => self.text("tokenizer.chat_template"),
            Some(name) => self.text(&format!("tokenizer.chat_template.{name}")),
        }
    }

    /// The vocabulary, its lists checked to be of one length.
    ///
    /// # Errors
    /// `Malformed` if there is none, or a list is of another type or length.
    pub fn tokenizer(&self) -> Result<Tokenizer<'a>> {
        Tokenizer::new(*self)
    }

    /// A number of any integer width, from 0 to `most`.
    ///
    /// # Errors
    /// `Malformed` if the value is something else.
    pub fn number(&self, key: &str, most: u64) -> Result<Option<u64>> {
        self.read(key, "an unsigned integer in range", |value| {
            value.as_u64().filter(|&number| number <= most)
        })
    }

    /// A finite number of either float width, or an integer.
    ///
    /// # Errors
    /// `Malformed` if the value is something else.
    pub fn float(&self, key: &str) -> Result<Option<f64>> {
        self.read(key, "a finite number", |value| {
            let integer = || {
                value
                    .as_integer()
                    .and_then(|number| i32::try_from(number).ok())
            };
            let number = value.as_f64().or_else(|| integer().map(f64::from));
            number.filter(|number| number.is_finite())
        })
    }

    /// A boolean of 0 or 1.
    ///
    /// # Errors
    /// `Malformed` if the value is something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "a bool of 0 or 1", |value| value.as_bool())
    }

    /// A text of valid UTF-8.
    ///
    /// # Errors
    /// `Malformed` if the value is something else.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.read(key, "UTF-8 text", |value| value.as_str())
    }

    /// A list of elements of one type.
    ///
    /// # Errors
    /// `Malformed` if the value is something else.
    pub fn list(&self, key: &str, element: ValueType) -> Result<Option<Array<'a>>> {
        self.read(key, "a list of the right element type", |value| {
            value
                .as_array()
                .filter(|array| array.value_type() == element)
        })
    }

    fn read<T>(
        &self,
        key: &str,
        expected: &'static str,
        accept: impl Fn(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.metadata.get(key) else {
            return Ok(None);
        };
        accept(value).map(Some).ok_or_else(|| {
            let value = shortened_display(format_args!("{value:?}"));
            let found = format!("{:?}: {value}", shortened(key));
            let error = Error::unexpected("the value of a key", found, expected);
            error.at(self.metadata.offset_of(key).unwrap_or_default())
        })
    }

    fn architecture_key(&self, suffix: &str) -> Result<String> {
        let architecture = self.architecture()?;
        if architecture.len() > MOST_ARCHITECTURE_BYTES {
            let what = "general.architecture";
            let found = format!("{} bytes long", architecture.len());
            return Err(Error::unexpected(what, found, "at most 255 bytes"));
        }
        Ok(format!("{architecture}.{suffix}"))
    }

    fn architecture_number(&self, suffix: &str, most: u64) -> Result<Option<u64>> {
        self.number(&self.architecture_key(suffix)?, most)
    }

    fn per_layer(&self, suffix: &str) -> Result<Option<PerLayer<'a>>> {
        let key = self.architecture_key(suffix)?;
        let accept = |value: Value<'a>| match value {
            Value::Array(array) => {
                let numbers = array.iter().all(|value| value.as_u64().is_some());
                numbers.then_some(PerLayer::Each(array))
            }
            value => value.as_u64().map(PerLayer::All),
        };
        let read = self.read(&key, "a number, or one per layer", accept)?;
        if let (Some(PerLayer::Each(array)), Some(layers)) = (&read, self.block_count()?)
            && array.len() != layers
        {
            let error = Error::malformed(Malformed::Mismatch {
                what: "the length of a list with one number per layer",
                found: array.len(),
                expected: layers,
            });
            return Err(error.at(self.metadata.offset_of(&key).unwrap_or_default()));
        }
        Ok(read)
    }
}

/// A number that a model has once, or once per layer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum PerLayer<'a> {
    /// The same for all layers.
    All(u64),
    /// One per layer; every element is an unsigned integer.
    Each(Array<'a>),
}

impl PerLayer<'_> {
    /// The number of one layer; `None` past the last.
    #[must_use]
    pub fn layer(&self, layer: usize) -> Option<u64> {
        match self {
            Self::All(number) => Some(*number),
            Self::Each(array) => array.iter().nth(layer)?.as_u64(),
        }
    }
}

/// The vocabulary of a model. Lists are read from the file as they are walked.
#[derive(Clone, Copy, Debug)]
pub struct Tokenizer<'a> {
    model: Model<'a>,
    tokens: Array<'a>,
    scores: Option<Array<'a>>,
    token_types: Option<Array<'a>>,
    merges: Option<Array<'a>>,
}

impl<'a> Tokenizer<'a> {
    fn new(model: Model<'a>) -> Result<Self> {
        let tokens = model
            .list("tokenizer.ggml.tokens", ValueType::String)?
            .ok_or_else(|| Error::missing("key", "tokenizer.ggml.tokens"))?;
        let beside = |key: &str, element| {
            let list = model.list(key, element)?;
            match list {
                Some(list) if list.len() != tokens.len() => {
                    let error = Error::malformed(Malformed::Mismatch {
                        what: "the length of a list beside the tokens",
                        found: list.len(),
                        expected: tokens.len(),
                    });
                    Err(error.at(model.metadata.offset_of(key).unwrap_or_default()))
                }
                list => Ok(list),
            }
        };
        Ok(Self {
            model,
            tokens,
            scores: beside("tokenizer.ggml.scores", ValueType::F32)?,
            token_types: beside("tokenizer.ggml.token_type", ValueType::I32)?,
            merges: model.list("tokenizer.ggml.merges", ValueType::String)?,
        })
    }

    /// How many tokens there are.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.tokens.len()
    }

    /// Whether there is no token.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// `tokenizer.ggml.model`: `llama`, `gpt2`, `bert`, …
    ///
    /// # Errors
    /// `Malformed` if it is no text.
    pub fn kind(&self) -> Result<Option<&'a str>> {
        self.model.text("tokenizer.ggml.model")
    }

    /// `tokenizer.ggml.pre`: which pre-tokenizer.
    ///
    /// # Errors
    /// `Malformed` if it is no text.
    pub fn pre(&self) -> Result<Option<&'a str>> {
        self.model.text("tokenizer.ggml.pre")
    }

    /// The tokens, in order of their ids; no allocation each.
    pub fn tokens(&self) -> impl Iterator<Item = Text<'a>> + use<'a> {
        strings(self.tokens)
    }

    /// The merges of a byte-pair encoding, in order.
    pub fn merges(&self) -> impl Iterator<Item = Text<'a>> + use<'a> {
        self.merges.into_iter().flat_map(strings)
    }

    /// The scores, one per token, if the file has them.
    #[must_use]
    pub const fn scores(&self) -> Option<Array<'a>> {
        self.scores
    }

    /// The types, one per token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    #[must_use]
    pub const fn token_types(&self) -> Option<Array<'a>> {
        self.token_types
    }

    /// The id of a special token: `bos`, `eos`, `eot`, `unknown`, `padding`, `separator`, `mask`, …
    ///
    /// The separator is misspelt in llama.cpp (`seperator_token_id`): both spellings are read.
    ///
    /// # Errors
    /// `Malformed` if the id is no number below the number of tokens.
    pub fn special(&self, name: &str) -> Result<Option<u64>> {
        let id = |name: &str| {
            let key = format!("tokenizer.ggml.{name}_token_id");
            let most = self.len().saturating_sub(1);
            self.model.number(&key, most)
        };
        match name {
            "separator" | "seperator" => Ok(id("separator")?.or(id("seperator")?)),
            name => id(name),
        }
    }

    /// The byte that a byte token stands for: `<0x0A>` is 10.
    ///
    /// # Errors
    /// `Caller` if the text has no such form: two hexadecimal digits, nothing else.
    pub fn byte(token: &str) -> Result<u8> {
        let digits = token
            .strip_prefix("<0x")
            .and_then(|rest| rest.strip_suffix('>'));
        digits
            .filter(|digits| {
                digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or_else(|| Error::caller(Caller::Misuse("the token is no byte token")))
    }
}

fn strings(array: Array<'_>) -> impl Iterator<Item = Text<'_>> {
    array.iter().filter_map(|value| match value {
        Value::String(text) => Some(text),
        _ => None,
    })
}
