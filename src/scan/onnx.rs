//! ONNX models: protobuf, of which only what reaches out of the file is read.
//!
//! ```text
//! ModelProto   1 ir_version  7 graph  8 opset_import  25 functions  …
//! OperatorSet  1 domain      2 version
//! TensorProto  13 external_data {1 key "location"  2 value}   14 data_location
//! ```
//!
//! Source: onnx 1.19 `onnx.proto`. A model has no magic number: it is one if every field of it is known.

use super::look::{Look, Part};
use crate::checkpoint::objection_to_name;
use crate::error::shortened;
use crate::findings::{Finding, Severity, Verdict};

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

/// One field of a message.
struct Field<'a> {
    number: u64,
    /// The bytes of a length-delimited field; empty for numbers.
    bytes: &'a [u8],
}

/// The fields of a message; `None` where it breaks off.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Option<Field<'_>>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let field = field(&mut bytes);
        if field.is_none() {
            bytes = &[];
        }
        Some(field)
    })
}

fn field<'a>(bytes: &mut &'a [u8]) -> Option<Field<'a>> {
    let tag = varint(bytes)?;
    let number = tag >> 3;
    let length = match tag & 7 {
        0 => {
            varint(bytes)?;
            0
        }
        1 => 8,
        2 => usize::try_from(varint(bytes)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    let value = if tag & 7 == 2 { value } else { &[] };
    Some(Field {
        number,
        bytes: value,
    })
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value: u64 = 0;
    for shift in 0..10_u32 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift.saturating_mul(7))?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Whether bytes are a model: an `ir_version` first, known fields only, a graph and operator sets.
pub(super) fn is_model(bytes: &[u8]) -> bool {
    let (mut graph, mut operators) = (false, false);
    if !matches!(bytes, [0x08, 1..=64, ..]) {
        return false;
    }
    for field in fields(bytes) {
        let Some(field) = field else { return false };
        if !matches!(field.number, 1..=8 | 14 | 20 | 25 | 26) {
            return false;
        }
        graph |= field.number == 7;
        operators |= field.number == 8;
    }
    graph && operators
}

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
                let domain = String::from_utf8_lossy(domain);
                if !DOMAINS.contains(&domain.as_ref()) {
                    let message = format!(
                        "operators of {:?}, which are native code beside the model",
                        shortened(&domain)
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
            let name = String::from_utf8_lossy(name);
            let parts = name.strip_prefix("./").unwrap_or(&name);
            let outside = parts
                .split('/')
                .any(|part| objection_to_name(part).is_some());
            let (severity, code) = if outside {
                (Severity::Verdict(Verdict::Malformed), "outside-folder")
            } else {
                (Severity::Note, "external-data")
            };
            let message = format!("weights are in {:?}", shortened(&name));
            look.add(Finding::new(severity, code, message), part);
        }
    }
}
