//! What would have run, in words: a call as Python would write it, as far as the file tells.

use std::fmt::{self, Display, Formatter};

use crate::error::{shortened, shortened_display};
use crate::formats::pickle::tree::{NodeId, Tree, Value};

/// Arguments shown, and levels of containers in them: a report is one line.
const MOST_ITEMS: usize = 6;
const MOST_LEVELS: u8 = 2;
const MOST_BYTES: usize = 80;

/// `os.system("id")`.
pub(super) fn call(tree: &Tree<'_>, callable: NodeId, arguments: NodeId) -> String {
    shortened_display(Call {
        callable: Shown::new(tree, callable, 0),
        arguments: Shown::new(tree, arguments, 0),
    })
}

struct Call<'t, 'a> {
    callable: Shown<'t, 'a>,
    arguments: Shown<'t, 'a>,
}

impl Display for Call<'_, '_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.callable.fmt(formatter)?;
        let arguments = &self.arguments;
        match arguments.tree.sequence(arguments.id) {
            Some(items) => arguments.list(formatter, items, ["(", ")"], 0),
            None => write!(formatter, "(*{arguments})"),
        }
    }
}

/// A value in words, written piece by piece: nested lists of long names would be longer than any message, and
/// whoever takes the pieces stops before.
struct Shown<'t, 'a> {
    tree: &'t Tree<'a>,
    id: NodeId,
    level: u8,
}

impl Display for Shown<'_, '_> {
    /// The depth is bounded by [`MOST_LEVELS`], whatever the file says.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let deeper = self.level.saturating_add(1);
        match self.tree.value(self.id) {
            Value::None => formatter.write_str("None"),
            Value::Bool(true) => formatter.write_str("True"),
            Value::Bool(false) => formatter.write_str("False"),
            Value::Int(number) => write!(formatter, "{number}"),
            Value::BigInt(_) => formatter.write_str("a large int"),
            Value::Float(number) => write!(formatter, "{number}"),
            Value::Str(text) | Value::ByteString(text) => quoted(formatter, text),
            Value::Bytes(bytes) | Value::ByteArray(bytes) => {
                formatter.write_str("b")?;
                quoted(formatter, bytes)
            }
            Value::Tuple(items) => self.list(formatter, items, ["(", ")"], deeper),
            Value::List(items) => self.list(formatter, items, ["[", "]"], deeper),
            Value::Set(items) | Value::Dict(items) => {
                self.list(formatter, items, ["{", "}"], deeper)
            }
            Value::Global(global) => {
                let (module, name) = (shortened(global.module), shortened(global.name));
                write!(formatter, "{module}.{name}")
            }
            Value::Object(object) if self.level < MOST_LEVELS => {
                let class = Shown::new(self.tree, object.callable, deeper);
                write!(formatter, "{class}(…)")
            }
            other => write!(formatter, "<{}>", other.kind()),
        }
    }
}

impl<'t, 'a> Shown<'t, 'a> {
    const fn new(tree: &'t Tree<'a>, id: NodeId, level: u8) -> Self {
        Self { tree, id, level }
    }

    fn list(
        &self,
        formatter: &mut Formatter<'_>,
        items: &[NodeId],
        [open, close]: [&str; 2],
        level: u8,
    ) -> fmt::Result {
        formatter.write_str(open)?;
        if level > MOST_LEVELS {
            formatter.write_str("…")?;
            return formatter.write_str(close);
        }
        for (place, &item) in items.iter().take(MOST_ITEMS).enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            write!(
                formatter,
                "{separator}{}",
                Shown::new(self.tree, item, level)
            )?;
        }
        if items.len() > MOST_ITEMS {
            formatter.write_str(", …")?;
        }
        formatter.write_str(close)
    }
}

fn quoted(formatter: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let shown = bytes.get(..MOST_BYTES).unwrap_or(bytes);
    let rest = if shown.len() < bytes.len() { "…" } else { "" };
    write!(formatter, "{:?}{rest}", String::from_utf8_lossy(shown))
}
