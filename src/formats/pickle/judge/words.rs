//! What would have run, in words: a call as Python would write it, as far as the file tells.

use crate::error::shortened;
use crate::formats::pickle::tree::{NodeId, Tree, Value};

/// Arguments shown, and levels of containers in them: a report is one line.
const MOST_ITEMS: usize = 6;
const MOST_LEVELS: u8 = 2;
const MOST_BYTES: usize = 80;

/// `os.system("id")`.
pub(super) fn call(tree: &Tree<'_>, callable: NodeId, arguments: NodeId) -> String {
    let mut text = value(tree, callable, 0);
    match tree.sequence(arguments) {
        Some(items) => text.push_str(&list(tree, items, "(", ")", 0)),
        None => text.push_str(&format!("(*{})", value(tree, arguments, 0))),
    }
    shortened(&text)
}

/// The depth is bounded by [`MOST_LEVELS`], whatever the file says.
fn value(tree: &Tree<'_>, id: NodeId, level: u8) -> String {
    match tree.value(id) {
        Value::None => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(number) => number.to_string(),
        Value::BigInt(_) => "a large int".into(),
        Value::Float(number) => number.to_string(),
        Value::Str(text) | Value::ByteString(text) => quoted(text),
        Value::Bytes(bytes) | Value::ByteArray(bytes) => format!("b{}", quoted(bytes)),
        Value::Tuple(items) => list(tree, items, "(", ")", level.saturating_add(1)),
        Value::List(items) => list(tree, items, "[", "]", level.saturating_add(1)),
        Value::Set(items) | Value::Dict(items) => {
            list(tree, items, "{", "}", level.saturating_add(1))
        }
        Value::Global(global) => {
            format!("{}.{}", shortened(global.module), shortened(global.name))
        }
        Value::Object(object) if level < MOST_LEVELS => {
            let class = value(tree, object.callable, level.saturating_add(1));
            format!("{class}(…)")
        }
        other => format!("<{}>", other.kind()),
    }
}

fn list(tree: &Tree<'_>, items: &[NodeId], open: &str, close: &str, level: u8) -> String {
    if level > MOST_LEVELS {
        return format!("{open}…{close}");
    }
    let shown = items.iter().take(MOST_ITEMS);
    let mut parts: Vec<String> = shown.map(|&item| value(tree, item, level)).collect();
    if items.len() > MOST_ITEMS {
        parts.push("…".into());
    }
    format!("{open}{}{close}", parts.join(", "))
}

fn quoted(bytes: &[u8]) -> String {
    let shown = bytes.get(..MOST_BYTES).unwrap_or(bytes);
    let rest = if shown.len() < bytes.len() { "…" } else { "" };
    format!("{:?}{rest}", String::from_utf8_lossy(shown))
}
