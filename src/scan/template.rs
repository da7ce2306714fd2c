//! Chat templates: programs for a Jinja engine, which others run.
//!
//! An engine that is no sandbox lets an expression reach from any value to its class and from there to
//! everything (CVE-2024-34359). What an honest template never needs is flagged; that there is a template is
//! noted.

use super::look::{Look, Part};
use crate::error::shortened;
use crate::findings::{Finding, Severity, Verdict};

/// Attributes and functions by which templates leave their sandbox.
const ESCAPES: &[&str] = &[
    "__class__",
    "__base__",
    "__bases__",
    "__mro__",
    "__subclasses__",
    "__globals__",
    "__builtins__",
    "__import__",
    "__init__",
    "__dict__",
    "__getattribute__",
    "__getitem__",
    "__call__",
    "__code__",
    "__func__",
    "__self__",
    "__module__",
    "__loader__",
    "__spec__",
    "__reduce__",
    "__new__",
    "|attr(",
    "| attr(",
    "|attr (",
    "| attr (",
    "popen(",
    "os.system",
    "subprocess",
    "cycler.",
    "joiner.",
    "lipsum.",
    "namespace.__",
    "self.__",
    "request.",
    "\\x5f\\x5f",
    "\\u005f\\u005f",
    "gi_frame",
    "cr_frame",
    "f_globals",
    "func_globals",
    "mro()",
];

/// Notes a template, and flags it if it reaches out.
pub(super) fn check<'a>(look: &mut Look<'a, '_>, part: &Part<'a>, name: &str, text: &str) {
    let found = expressions(text).find_map(|expression| {
        let mut escapes = ESCAPES.iter();
        escapes
            .find(|escape| expression.contains(**escape))
            .map(|escape| (*escape, expression))
    });
    let finding = match found {
        None => {
            let message = format!(
                "{}: a Jinja template, which others run: {:?}",
                shortened(name),
                start(text)
            );
            Finding::new(Severity::Note, "chat-template", message)
        }
        Some((escape, expression)) => {
            let message = format!(
                "{}: a Jinja template that reaches for {escape:?}: {:?}",
                shortened(name),
                start(expression.trim()),
            );
            let severity = Severity::Verdict(Verdict::Dangerous);
            Finding::new(severity, "template-escape", message)
        }
    };
    look.add(finding, part);
}

fn start(text: &str) -> String {
    text.chars().take(120).collect()
}

/// What stands between the delimiters of statements and expressions; the last one may be left open.
fn expressions(text: &str) -> impl Iterator<Item = &str> {
    // One look at each byte: a search for two texts in turn would read on to the end for the rarer one.
    let find = |text: &str, pairs: [&[u8; 2]; 2]| {
        let mut windows = text.as_bytes().windows(2);
        windows.position(|window| pairs.iter().any(|pair| window == *pair))
    };
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = find(rest, [b"{{", b"{%"])?;
        let inside = rest.get(start.saturating_add(2)..)?;
        let end = find(inside, [b"}}", b"%}"]).unwrap_or(inside.len());
        let (expression, after) = inside.split_at_checked(end)?;
        rest = after;
        Some(expression)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_found_between_their_delimiters() {
        let text = "a {{ b }} c {%- if d -%} {{ e";
        let found: Vec<&str> = expressions(text).map(str::trim).collect();
        assert_eq!(found, ["b", "- if d -", "e"]);
    }
}
