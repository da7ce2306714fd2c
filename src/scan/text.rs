//! Texts: JSON that names code, chat templates, configurations that name what Hydra would call.

use super::look::{Look, Part};
use super::{json, template};
use crate::error::shortened;
use crate::findings::{Finding, Severity, Verdict};
use crate::policy::Standing;

/// Whether bytes are text: UTF-8 without control characters but white space.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let odd =
        |&byte: &u8| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b | 0x08);
    std::str::from_utf8(bytes).is_ok() && !bytes.iter().any(odd)
}

/// A text.
pub(super) fn look<'a>(look: &mut Look<'a, '_>, part: &Part<'a>) -> String {
    let data = part.data.clone();
    let Ok(text) = std::str::from_utf8(data.bytes()) else {
        look.not_read("unknown content", part);
        return "unknown".into();
    };
    if text.trim_start().starts_with(['{', '[']) && json::look(look, part, text) {
        return "json".into();
    }
    if text.contains("{%") {
        template::check(look, part, "the template", text);
    }
    targets(look, part, text);
    "text".into()
}

/// `_target_: module.name` in YAML: NeMo and Hydra call it (CVE-2025-23304).
fn targets<'a>(look: &mut Look<'a, '_>, part: &Part<'a>, text: &str) {
    /// Packages whose own configurations are written so.
    const EXPECTED: &[&str] = &[
        "nemo",
        "torch",
        "lightning",
        "pytorch_lightning",
        "omegaconf",
    ];
    for line in text.lines() {
        let line = line.trim_start().trim_start_matches("- ");
        let Some(target) = line.strip_prefix("_target_:") else {
            continue;
        };
        let target = target.trim().trim_matches(['"', '\'']);
        let (module, name) = target.rsplit_once('.').unwrap_or(("builtins", target));
        let root = module.split('.').next().unwrap_or_default();
        let verdict = match look.scanner.policy.standing(module, name) {
            Standing::Dangerous(_) => Verdict::Dangerous,
            _ if EXPECTED.contains(&root) => continue,
            _ => Verdict::Unrecognised,
        };
        let message = format!("a configuration names {:?} to be called", shortened(target));
        look.add(
            Finding::new(Severity::Verdict(verdict), "yaml-target", message),
            part,
        );
    }
}
