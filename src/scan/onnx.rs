//! ONNX models: protobuf, of which only what reaches out of the file is read.
//!
//! ```text
//! ModelProto   1 ir_version  7 graph  8 opset_import  25 functions  …
//! OperatorSet  1 domain      2 version
//! TensorProto  13 external_data {1 key "location"  2 value}   14 data_location
//! ```
//!
//! Source: onnx 1.19 `onnx.proto`. What a model is told by stands in [`crate::formats::onnx`].

use super::look::{Look, Part};
use crate::checkpoint::objection_to_name;
use crate::error::shortened_bytes;
use crate::findings::{Finding, Severity, Verdict};
use crate::formats::onnx::fields;

/// Domains whose operators every runtime has.
const DOMAINS: &[&str] = &[
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.training",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "com.microsoft",
    "com.microsoft.nchwc",
    "com.microsoft.experimental",
    "com.ms.internal.nhwc",
    "org.pytorch.aten",
    "pkg.onnxscript.torch_lib",
    "pkg.onnxscript.torch_lib.common",
];

/// A model.
pub(super) fn look<'a>(look: &mut Look<'a, '_>, part: &Part<'a>) -> String {
    let data = part.data.clone();
    for field in fields(data.bytes()).flatten() {
        match field.number {
            8 => {
                let domain = fields(field.bytes)
                    .flatten()
                    .find(|field| field.number == 1);
                let domain = domain.map_or(&b""[..], |domain| domain.bytes);
                if !DOMAINS.iter().any(|known| known.as_bytes() == domain) {
                    let message = format!(
                        "operators of {:?}, which are native code beside the model",
                        shortened_bytes(domain)
                    );
                    let severity = Severity::Verdict(Verdict::Unrecognised);
                    look.add(Finding::new(severity, "onnx-domain", message), part);
                }
            }
            7 | 20 | 25 => external(look, part, field.bytes),
            _ => {}
        }
    }
    "onnx".into()
}

/// `external_data` entries anywhere below: `{1: "location", 2: NAME}`. Messages are not told apart: whatever
/// has this form counts. Depth is bounded by a list, not by the stack.
fn external<'a>(look: &mut Look<'a, '_>, part: &Part<'a>, graph: &[u8]) {
    /// Messages looked at; a graph has a few for each node.
    const MOST: u64 = 5_000_000;
    /// Bytes of one part of a path that are looked at; names of files have at most 255.
    const MOST_PART: usize = 1024;
    let mut rest = vec![graph];
    let mut messages: u64 = 0;
    while let Some(message) = rest.pop() {
        messages = messages.saturating_add(1);
        if messages > MOST {
            let severity = Severity::Verdict(Verdict::Incomplete);
            let message = "the graph has more messages than are looked at";
            return look.add(Finding::new(severity, "limit", message), part);
        }
        let (mut is_location, mut value) = (false, None);
        for field in fields(message) {
            let Some(field) = field else { break };
            match field.number {
                1 if field.bytes == b"location" => is_location = true,
                2 => value = Some(field.bytes),
                _ => {}
            }
            // Raw data is no message.
            if field.bytes.len() > 9 && field.number != 9 {
                if rest.try_reserve(1).is_err() {
                    return look.out_of_memory(part);
                }
                rest.push(field.bytes);
            }
        }
        if let (true, Some(name)) = (is_location, value) {
            let parts = name.strip_prefix(b"./").unwrap_or(name);
            // What is cut off belongs to a part that is too long without it.
            let outside = parts.split(|&byte| byte == b'/').any(|part| {
                let part = part.get(..MOST_PART).unwrap_or(part);
                objection_to_name(&String::from_utf8_lossy(part)).is_some()
            });
            let (severity, code) = if outside {
                (Severity::Verdict(Verdict::Malformed), "outside-folder")
            } else {
                (Severity::Note, "external-data")
            };
            let message = format!("weights are in {:?}", shortened_bytes(name));
            look.add(Finding::new(severity, code, message), part);
        }
    }
}
