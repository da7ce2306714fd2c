//! JSON: configurations that name code, indexes that name files, Keras models.

use super::look::{Look, Part};
use super::template;
use crate::checkpoint::objection_to_name;
use crate::error::shortened;
use crate::findings::{Finding, Severity, Verdict};
use crate::formats::json::{Json, JsonValue};
use crate::policy::Standing;

/// Looks at a text that may be JSON; whether it is.
pub(super) fn look<'a>(look: &mut Look<'a, '_>, part: &Part<'a>, text: &str) -> bool {
    let mut budget = look.fresh();
    let json = match Json::parse(text.as_bytes(), &mut budget) {
        Ok(json) => json,
        Err(error) if error.kind() == crate::error::ErrorKind::Limit => {
            look.error(&error, part);
            return true;
        }
        Err(error) => {
            // Two readers may see two configurations; a text that is no JSON is just a text.
            if error.to_string().contains("duplicate key") {
                let message = format!("a key of the JSON stands twice: {error}");
                look.add(
                    Finding::new(Severity::Warning, "repeated-key", message),
                    part,
                );
            }
            return false;
        }
    };
    let root = json.root();
    auto_map(look, part, root);
    shards(look, part, root);
    templates(look, part, root);
    keras(look, part, root);
    true
}

fn report(
    look: &mut Look<'_, '_>,
    part: &Part<'_>,
    verdict: Verdict,
    code: &'static str,
    message: String,
) {
    look.add(
        Finding::new(Severity::Verdict(verdict), code, message),
        part,
    );
}

/// `"auto_map": {"AutoModel": "modeling_my.MyModel"}`: transformers runs that file, if it may.
fn auto_map<'a>(look: &mut Look<'a, '_>, part: &Part<'a>, root: JsonValue<'_>) {
    for (class, code) in root.get("auto_map").into_iter().flat_map(JsonValue::items) {
        let listed = code.items().filter_map(|(_, name)| name.as_str());
        for name in code.as_str().into_iter().chain(listed) {
            let message = format!(
                "transformers would run {:?} for {:?} with trust_remote_code",
                shortened(name),
                shortened(class),
            );
            report(look, part, Verdict::Unrecognised, "auto-map", message);
        }
    }
}

/// File names of an index: plain names of its own folder.
fn shards<'a>(look: &mut Look<'a, '_>, part: &Part<'a>, root: JsonValue<'_>) {
    let mut last = "";
    for (_, shard) in root
        .get("weight_map")
        .into_iter()
        .flat_map(JsonValue::items)
    {
        let Some(name) = shard.as_str().filter(|name| *name != last) else {
            continue;
        };
        last = name;
        if let Some(why) = objection_to_name(name) {
            let message = format!("the index names {:?}, {why}", shortened(name));
            report(look, part, Verdict::Malformed, "outside-folder", message);
        }
    }
}

/// `"chat_template": "…"`, or a list of `{"name": …, "template": …}`.
fn templates<'a>(look: &mut Look<'a, '_>, part: &Part<'a>, root: JsonValue<'_>) {
    let Some(template) = root.get("chat_template") else {
        return;
    };
    if let Some(text) = template.as_str() {
        template::check(look, part, "chat_template", text);
    }
    for (_, item) in template.items() {
        if let Some(text) = item.get("template").and_then(JsonValue::as_str) {
            template::check(look, part, "chat_template", text);
        }
    }
}

/// Keras: a Lambda layer holds marshalled code; a class of another package is imported by its name
/// (CVE-2025-1550).
pub(super) fn keras<'a>(look: &mut Look<'a, '_>, part: &Part<'a>, root: JsonValue<'_>) {
    let mut rest = vec![root];
    while let Some(value) = rest.pop() {
        let (mut class, mut module) = (None, None);
        for (key, item) in value.items() {
            match key {
                "class_name" => class = item.as_str(),
                "module" => module = item.as_str(),
                _ => {}
            }
            if item.has_items() {
                if rest.try_reserve(1).is_err() {
                    return look.out_of_memory(part);
                }
                rest.push(item);
            }
        }
        let Some(class) = class else { continue };
        if matches!(class, "Lambda" | "__lambda__") {
            let message = "a Keras Lambda layer, whose code runs when the model is loaded or used";
            report(
                look,
                part,
                Verdict::Dangerous,
                "keras-lambda",
                message.into(),
            );
        }
        let Some(module) = module else { continue };
        let root = module.split('.').next().unwrap_or_default();
        let what = format!("{}.{}", shortened(module), shortened(class));
        match look.scanner.policy.standing(module, class) {
            Standing::Dangerous(why) => {
                let message = format!("loading it with Keras would import {what:?}, which {why}");
                report(look, part, Verdict::Dangerous, "keras-class", message);
            }
            _ if matches!(
                root,
                "keras" | "keras_hub" | "keras_nlp" | "keras_cv" | "builtins"
            ) => {}
            _ => {
                let message = format!(
                    "loading it with Keras would import {what:?}, which is not on the list"
                );
                report(look, part, Verdict::Unrecognised, "keras-class", message);
            }
        }
    }
}
