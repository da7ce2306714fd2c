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

use std::collections::BTreeMap;

use super::options::{ConvertOptions, Converted};
use crate::checkpoint::Checkpoint;
use crate::error::Format;
use crate::index::Value;

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
pub(super) type Pairs = BTreeMap<String, String>;

/// The metadata of a safetensors file, without the digest of its source.
pub(super) fn carried(model: &Checkpoint, converted: &mut Converted) -> Pairs {
    let mut pairs = Pairs::new();
    let mut used: usize = 0;
    let prefix = match model.format() {
        Format::Safetensors => "",
        Format::Gguf => "gguf.",
        _ => "torch.",
    };
    for (key, value) in model.metadata().iter() {
        let text = key.as_str().ok().zip(text_of(&value));
        let Some((key, text)) = text else {
            converted.left_out.push(key.to_string_lossy().into_owned());
            continue;
        };
        let bytes = key.len().saturating_add(text.len());
        used = used.saturating_add(bytes);
        // Safetensors' own were in such a header before.
        if !prefix.is_empty() && used > MOST_BYTES {
            used = used.saturating_sub(bytes);
            converted.left_out.push(key.to_owned());
            continue;
        }
        let own = key.strip_prefix(SAFETENSORS).filter(|_| prefix == "gguf.");
        let key = own.map_or_else(|| format!("{prefix}{key}"), str::to_owned);
        pairs.insert(key, text);
    }
    if model.format() != Format::Safetensors {
        pairs
            .entry(String::from("format"))
            .or_insert_with(|| String::from("pt"));
    }
    pairs
}

/// Where the file comes from. The digests are filled in when they are known: `sha256` holds one text of 64
/// digits for each file of the source.
pub(super) fn provenance(model: &Checkpoint, sha256: &[String]) -> Pairs {
    let names = model.files().iter().map(|file| {
        let name = file.path.file_name().unwrap_or_default();
        name.to_string_lossy().escape_debug().to_string()
    });
    let names: Vec<String> = names.collect();
    let pairs = [
        (VERSION, env!("CARGO_PKG_VERSION").to_owned()),
        (SOURCE_FORMAT, model.format().name().to_owned()),
        (SOURCE_FILE, names.join("\n")),
        (SOURCE_SHA256, sha256.join("\n")),
    ];
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// The metadata of a safetensors file: the source's, its provenance, the caller's.
pub(super) fn of_safetensors(
    options: &ConvertOptions,
    model: &Checkpoint,
    carried: &Pairs,
    sha256: &[String],
) -> Pairs {
    let mut pairs = carried.clone();
    if options.provenance {
        pairs.extend(provenance(model, sha256));
    }
    pairs.extend(options.metadata.iter().cloned());
    pairs
}

/// A value as text; `None` if it is a long list or no UTF-8.
fn text_of(value: &Value<'_>) -> Option<String> {
    if let Some(array) = value.as_array() {
        if array.len() > MOST_ELEMENTS {
            return None;
        }
        let elements: Option<Vec<String>> = array
            .iter()
            .map(|element| match element {
                Value::String(text) => serde_json::to_string(text.as_str().ok()?).ok(),
                Value::Array(_) => None,
                scalar => text_of(&scalar),
            })
            .collect();
        return Some(format!("[{}]", elements?.join(",")));
    }
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    if let Some(number) = value.as_integer() {
        return Some(number.to_string());
    }
    match *value {
        Value::F32(number) => Some(number.to_string()),
        Value::F64(number) => Some(number.to_string()),
        Value::Bool(0) => Some(String::from("false")),
        Value::Bool(1) => Some(String::from("true")),
        Value::Bool(other) => Some(other.to_string()),
        _ => None,
    }
}
