//! The text metadata of a converted file: the source's own, and where it comes from.
//!
//! | source | key in safetensors |
//! |---|---|
//! | safetensors | the same |
//! | GGUF | `gguf.KEY`; the key alone if it was `safetensors.KEY`, which is where a GGUF file that came from safetensors keeps it |
//! | torch | `torch.PATH` for values beside the tensors (`epoch`, scales of quantized tensors) |
//!
//! Numbers and booleans are written as JSON has them, short lists as JSON lists. `format` is `pt` unless the
//! source says otherwise: transformers refuses files without it, and every framework reads them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::json;
use super::options::Converted;
use crate::bytes::room;
use crate::checkpoint::Checkpoint;
use crate::error::{Format, Result};
use crate::index::{Array, Value};

/// Keys of where a file comes from.
pub(super) const VERSION: &str = "weighbridge.version";
pub(super) const SOURCE_FORMAT: &str = "weighbridge.source_format";
pub(super) const SOURCE_FILE: &str = "weighbridge.source_file";
pub(super) const SOURCE_SHA256: &str = "weighbridge.source_sha256";

/// What a key of safetensors' metadata is called in GGUF.
pub(super) const SAFETENSORS: &str = "safetensors.";

/// Longer lists (vocabularies) are left out: a header is read as a whole by every loader.
const MOST_ELEMENTS: u64 = 256;

/// All that is carried over from GGUF or torch, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// Keys and values in the order of the keys: the same input gives the same file.
pub(super) type Pairs<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// What is carried over from the source, under the keys of a safetensors file.
///
/// # Errors
/// `Io` if there is no memory for it.
pub(super) fn carried<'a>(model: &'a Checkpoint, converted: &mut Converted) -> Result<Pairs<'a>> {
    let mut pairs = Pairs::new();
    let mut used: usize = 0;
    let prefix = match model.format() {
        Format::Safetensors => "",
        Format::Gguf => "gguf.",
        _ => "torch.",
    };
    for (key, value) in model.metadata().iter() {
        let text = match key.as_str() {
            Ok(key) => text_of(&value)?.map(|text| (key, text)),
            Err(_) => None,
        };
        let Some((key, text)) = text else {
            room::push(&mut converted.left_out, room::lossy(key.as_bytes())?)?;
            continue;
        };
        let bytes = key.len().saturating_add(text.len());
        used = used.saturating_add(bytes);
        // Safetensors' own were in such a header before.
        if !prefix.is_empty() && used > MOST_BYTES {
            used = used.saturating_sub(bytes);
            room::push(&mut converted.left_out, room::copy(key)?)?;
            continue;
        }
        let own = key.strip_prefix(SAFETENSORS).filter(|_| prefix == "gguf.");
        let key = match own {
            Some(key) => Cow::Borrowed(key),
            None if prefix.is_empty() => Cow::Borrowed(key),
            None => Cow::Owned(room::join([prefix, key], "")?),
        };
        pairs.insert(key, text);
    }
    if model.format() != Format::Safetensors {
        pairs.entry("format".into()).or_insert("pt".into());
    }
    Ok(pairs)
}

/// Where the file comes from. The digests are filled in when they are known: `sha256` holds one text of 64
/// digits for each file of the source.
///
/// # Errors
/// `Io` if there is no memory for it.
pub(super) fn provenance(
    model: &Checkpoint,
    sha256: &[String],
) -> Result<[(&'static str, Cow<'static, str>); 4]> {
    let mut names = Vec::new();
    for file in model.files() {
        let name = file.path.file_name().unwrap_or_default();
        let name = name.to_string_lossy().escape_debug().to_string();
        room::push(&mut names, name)?;
    }
    let lines = |texts: &[String]| room::join(texts.iter().map(String::as_str), "\n");
    Ok([
        (VERSION, env!("CARGO_PKG_VERSION").into()),
        (SOURCE_FORMAT, model.format().name().into()),
        (SOURCE_FILE, lines(&names)?.into()),
        (SOURCE_SHA256, lines(sha256)?.into()),
    ])
}

/// A value as text; `None` if it is a long list or no UTF-8.
fn text_of<'a>(value: &Value<'a>) -> Result<Option<Cow<'a, str>>> {
    if let Some(array) = value.as_array() {
        return Ok(list_text(array)?.map(Cow::Owned));
    }
    if let Some(text) = value.as_str() {
        return Ok(Some(Cow::Borrowed(text)));
    }
    if let Some(number) = value.as_integer() {
        return Ok(Some(Cow::Owned(number.to_string())));
    }
    Ok(match *value {
        Value::F32(number) => Some(Cow::Owned(number.to_string())),
        Value::F64(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(0) => Some(Cow::Borrowed("false")),
        Value::Bool(1) => Some(Cow::Borrowed("true")),
        Value::Bool(other) => Some(Cow::Owned(other.to_string())),
        _ => None,
    })
}

/// A short list as JSON.
fn list_text(array: Array<'_>) -> Result<Option<String>> {
    if array.len() > MOST_ELEMENTS {
        return Ok(None);
    }
    let mut json = Vec::from(*b"[");
    for (place, element) in array.iter().enumerate() {
        if place > 0 {
            room::append(&mut json, b",")?;
        }
        match element {
            Value::Array(_) => return Ok(None),
            Value::String(text) => match text.as_str() {
                Ok(text) => json::write(&mut json, text)?,
                Err(_) => return Ok(None),
            },
            scalar => match text_of(&scalar)? {
                Some(text) => room::append(&mut json, text.as_bytes())?,
                None => return Ok(None),
            },
        }
    }
    room::append(&mut json, b"]")?;
    Ok(String::from_utf8(json).ok())
}
