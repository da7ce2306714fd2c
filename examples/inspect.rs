//! Shows what a model file holds: tensors, metadata, findings. Runs nothing in it.
//!
//! `cargo run --release --example inspect -- tests/files/gguf/network.gguf --digest`

#![allow(missing_docs, unreachable_pub)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use common::{Arguments, human_bytes, human_count, printable};
use serde::{Serialize, Serializer};
use weighbridge::{Checkpoint, Content, OpenOptions, TensorView, Value};

const HELP: &str = "\
Shows what a model file holds: tensors, metadata, findings. Runs nothing in it.

usage: inspect PATH [--json] [--metadata] [--digest] [--layout] [--check] [--lenient]

  --json      print one JSON object
  --metadata  show every metadata key (JSON always has them)
  --digest    add the sha256 of each tensor's elements, and one of the whole model that does not
              depend on its metadata or container
  --layout    show what every byte of the files holds
  --check     look for NaN, infinity and bad block scales
  --lenient   accept files that are sloppy but have one meaning

exit status: 0 done, 2 could not do it
";

fn main() -> ExitCode {
    let switches = ["json", "metadata", "digest", "layout", "check", "lenient"];
    let arguments = match Arguments::parse(HELP, &switches, &[]) {
        Ok(arguments) => arguments,
        Err(message) => return common::fail(message),
    };
    let [path] = arguments.paths.as_slice() else {
        return common::fail("give one path; --help says more");
    };
    // Looking is harmless: a dangerous pickle opens too, and shows its verdict.
    let mut options = OpenOptions::new().allow_dangerous(true);
    if arguments.has("lenient") {
        options = options.strictness(weighbridge::Strictness::Lenient);
    }
    let json = arguments.has("json");
    let model = match options.open(path) {
        Ok(model) => model,
        Err(error) => return common::report(path, &error, json),
    };
    let tensors: Vec<TensorView<'_>> = model.tensors().collect();
    let digests = if arguments.has("digest") {
        common::digests(&tensors)
    } else {
        vec![None; tensors.len()]
    };
    if json {
        print_json(path, &model, &tensors, digests);
        return ExitCode::SUCCESS;
    }
    print_table(path, &model, &tensors, &digests, arguments.has("metadata"));
    if arguments.has("layout") {
        print_layout(&model);
    }
    if arguments.has("check") {
        print_check(&tensors);
    }
    ExitCode::SUCCESS
}

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    path: &'a Path,
    format: &'a str,
    files: Vec<File<'a>>,
    #[serde(serialize_with = "as_map")]
    metadata: Vec<(String, serde_json::Value)>,
    tensors: Vec<Tensor<'a>>,
    totals: Totals,
    verdict: &'a str,
    findings: Vec<common::FindingLine<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a Path,
    bytes: u64,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    dtype: &'a str,
    shape: &'a [usize],
    bytes: u64,
    file: Option<usize>,
    offset: Option<u64>,
    strides: Vec<usize>,
    contiguous: bool,
    storage: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

#[derive(Serialize, Default)]
struct Totals {
    tensors: usize,
    elements: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// Keys in the order of the file.
fn as_map<S: Serializer>(
    pairs: &[(String, serde_json::Value)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}

fn print_json(
    path: &Path,
    model: &Checkpoint,
    tensors: &[TensorView<'_>],
    digests: Vec<Option<String>>,
) {
    let files = model.files().iter();
    let mut totals = totals(tensors);
    totals.sha256 = common::model_digest(tensors, &digests);
    let report = Report {
        schema: 1,
        path,
        format: model.format().name(),
        files: files
            .map(|file| File {
                path: &file.path,
                bytes: file.bytes,
            })
            .collect(),
        metadata: model
            .metadata()
            .iter()
            .map(|(key, value)| (key.to_string_lossy().into_owned(), as_json(value)))
            .collect(),
        tensors: tensors
            .iter()
            .zip(digests)
            .map(|(tensor, sha256)| as_record(tensor, sha256))
            .collect(),
        totals,
        verdict: model.verdict().name(),
        findings: model.findings().map(common::FindingLine::new).collect(),
    };
    common::print(&(serde_json::to_string(&report).unwrap_or_default() + "\n"));
}

fn as_record<'a>(tensor: &'a TensorView<'a>, sha256: Option<String>) -> Tensor<'a> {
    let location = tensor.location();
    Tensor {
        name: tensor.name(),
        dtype: tensor.dtype_name(),
        shape: tensor.shape(),
        bytes: tensor.byte_length(),
        file: location.map(|location| location.file),
        offset: location.map(|location| location.offset),
        strides: tensor.strides(),
        contiguous: tensor.is_contiguous(),
        storage: tensor.storage(),
        sha256,
    }
}

fn totals(tensors: &[TensorView<'_>]) -> Totals {
    let mut totals = Totals {
        tensors: tensors.len(),
        ..Totals::default()
    };
    for tensor in tensors {
        totals.elements = totals.elements.saturating_add(tensor.elements() as u64);
        totals.bytes = totals.bytes.saturating_add(tensor.byte_length());
    }
    totals
}

fn as_json(value: Value<'_>) -> serde_json::Value {
    use serde_json::{Value as Json, json};
    if let Some(number) = value.as_integer() {
        return i64::try_from(number)
            .map(Json::from)
            .or_else(|_| u64::try_from(number).map(Json::from))
            .unwrap_or(Json::Null);
    }
    // The shortest text that gives the same f32 back, as the official tools print it.
    let float = match value {
        Value::F32(number) => Some(number.to_string()),
        Value::F64(number) => Some(number.to_string()),
        _ => None,
    };
    if let Some(text) = float {
        return text
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map_or(Json::String(text), Json::Number);
    }
    match value {
        Value::Bool(byte) => match value.as_bool() {
            Some(truth) => Json::Bool(truth),
            None => Json::from(byte),
        },
        Value::String(text) => Json::String(text.to_string_lossy().into_owned()),
        Value::Array(array) => json!({
            "array": array.value_type().name(),
            "length": array.len(),
            // An array in an array is described, not entered: printing must not recurse.
            "head": array.iter().take(8).map(|value| match value {
                Value::Array(inner) => Json::String(format!("{inner:?}")),
                value => as_json(value),
            }).collect::<Vec<_>>(),
        }),
        _ => Json::Null,
    }
}

fn print_table(
    path: &Path,
    model: &Checkpoint,
    tensors: &[TensorView<'_>],
    digests: &[Option<String>],
    metadata: bool,
) {
    let mut text = String::new();
    let totals = totals(tensors);
    let _ = writeln!(
        text,
        "{}: {}, {} tensors, {} parameters, {}",
        path.display().to_string().escape_debug(),
        model.format(),
        totals.tensors,
        human_count(totals.elements),
        human_bytes(totals.bytes),
    );
    write_metadata(&mut text, model, metadata);
    write_tensors(&mut text, tensors, digests);
    write_mix(&mut text, tensors);
    write_blocks(&mut text, tensors);
    write_tokenizer(&mut text, model);
    if let Some(digest) = common::model_digest(tensors, digests) {
        let _ = writeln!(text, "\nmodel sha256 {digest}");
    }
    let _ = writeln!(text, "\nverdict: {}", model.verdict());
    for finding in model.findings() {
        let place = finding
            .offset
            .map_or_else(String::new, |offset| format!(" at byte {offset:#x}"));
        let stream = printable(&finding.stream, 80);
        let _ = writeln!(
            text,
            "  {} [{}]{}{}{place}: {}",
            finding.severity.name(),
            finding.code,
            if stream.is_empty() { "" } else { " in " },
            stream,
            finding.message
        );
    }
    if model.dropped_findings() > 0 {
        let _ = writeln!(text, "  … and {} more", model.dropped_findings());
    }
    common::print(&text);
}

fn write_metadata(text: &mut String, model: &Checkpoint, all: bool) {
    let keys = model.metadata().len();
    if keys == 0 {
        return;
    }
    if !all {
        let _ = writeln!(text, "{keys} metadata keys (--metadata shows them)");
        return;
    }
    let _ = writeln!(text, "\nmetadata");
    for (key, value) in model.metadata().iter() {
        let shown = match value {
            Value::String(value) => format!("\"{}\"", printable(&value.to_string_lossy(), 100)),
            Value::Array(array) => {
                let head: Vec<String> = array
                    .iter()
                    .take(4)
                    .map(|value| as_json(value).to_string())
                    .collect();
                format!("{array:?} {}", printable(&head.join(", "), 80))
            }
            value => as_json(value).to_string(),
        };
        let key = printable(&key.to_string_lossy(), 60);
        let _ = writeln!(text, "  {key} = {shown}");
    }
}

fn write_tensors(text: &mut String, tensors: &[TensorView<'_>], digests: &[Option<String>]) {
    if tensors.is_empty() {
        return;
    }
    let names: Vec<String> = tensors
        .iter()
        .map(|tensor| printable(tensor.name(), 64))
        .collect();
    let width = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(4)
        .max(4);
    let _ = writeln!(
        text,
        "\n{:width$}  dtype     {:>12}  {:>12}  shape",
        "name", "bytes", "offset"
    );
    for ((tensor, name), digest) in tensors.iter().zip(&names).zip(digests) {
        let offset = tensor
            .location()
            .map_or_else(|| String::from("-"), |location| location.offset.to_string());
        let _ = write!(
            text,
            "{name:width$}  {:8}  {:>12}  {offset:>12}  {:?}",
            tensor.dtype_name(),
            tensor.byte_length(),
            tensor.shape(),
        );
        if !tensor.is_contiguous() {
            let _ = write!(text, " strides {:?}", tensor.strides());
        }
        if let Some(digest) = digest {
            let _ = write!(text, "  {digest}");
        }
        text.push('\n');
    }
}

/// Parameters and bytes per dtype: the quantization mix of a model.
fn write_mix(text: &mut String, tensors: &[TensorView<'_>]) {
    let mut mix: BTreeMap<&str, (usize, u64, u64)> = BTreeMap::new();
    for tensor in tensors {
        let (count, elements, bytes) = mix.entry(tensor.dtype_name()).or_default();
        *count += 1;
        *elements = elements.saturating_add(tensor.elements() as u64);
        *bytes = bytes.saturating_add(tensor.byte_length());
    }
    if mix.len() < 2 {
        return;
    }
    let _ = writeln!(text, "\ndtype     tensors  parameters       bytes");
    for (dtype, (count, elements, bytes)) in mix {
        let _ = writeln!(
            text,
            "{dtype:8}  {count:7}  {:>10}  {:>10}",
            human_count(elements),
            human_bytes(bytes)
        );
    }
}

/// Parameters per block of a transformer: `blk.7.`, `model.layers.7.`, …
fn write_blocks(text: &mut String, tensors: &[TensorView<'_>]) {
    let mut blocks: BTreeMap<u64, u64> = BTreeMap::new();
    let mut others: u64 = 0;
    for tensor in tensors {
        let number = tensor.name().split('.').find_map(|part| part.parse().ok());
        let elements = tensor.elements() as u64;
        match number {
            Some(block) => *blocks.entry(block).or_default() += elements,
            None => others = others.saturating_add(elements),
        }
    }
    let (Some(least), Some(most)) = (blocks.values().min(), blocks.values().max()) else {
        return;
    };
    if blocks.len() < 2 {
        return;
    }
    let _ = writeln!(
        text,
        "\n{} blocks of {} to {} parameters, {} outside them",
        blocks.len(),
        human_count(*least),
        human_count(*most),
        human_count(others)
    );
}

/// The vocabulary of a GGUF model in one line.
fn write_tokenizer(text: &mut String, model: &Checkpoint) {
    let metadata = weighbridge::formats::gguf::Model::new(model.metadata());
    if model.metadata().get("tokenizer.ggml.tokens").is_none() {
        return;
    }
    let tokenizer = match metadata.tokenizer() {
        Ok(tokenizer) => tokenizer,
        Err(error) => {
            let _ = writeln!(text, "\ntokenizer: {error}");
            return;
        }
    };
    let kind = tokenizer
        .kind()
        .ok()
        .flatten()
        .unwrap_or("of an unknown kind");
    let merges = tokenizer.merges().count();
    let _ = write!(
        text,
        "\ntokenizer {}, {} tokens, {merges} merges",
        printable(kind, 20),
        tokenizer.len()
    );
    for name in ["bos", "eos", "unknown", "padding"] {
        match tokenizer.special(name) {
            Ok(Some(id)) => {
                let token = usize::try_from(id)
                    .ok()
                    .and_then(|id| tokenizer.tokens().nth(id));
                let token =
                    token.map_or_else(String::new, |token| token.to_string_lossy().into_owned());
                let _ = write!(text, ", {name} {id} {:?}", printable(&token, 20));
            }
            Ok(None) => {}
            Err(error) => {
                let _ = write!(text, ", {name}: {error}");
            }
        }
    }
    text.push('\n');
}

fn print_layout(model: &Checkpoint) {
    let mut text = String::from("\n      offset        length  content\n");
    for region in model.layout() {
        let content = match &region.content {
            Content::Head => String::from("header"),
            Content::Tensor(name) => printable(name, 64),
            Content::Between { zero: true } => String::from("- zeros"),
            Content::Between { zero: false } => String::from("- other bytes"),
            _ => String::from("?"),
        };
        let _ = writeln!(
            text,
            "{:>12}  {:>12}  {content}",
            region.offset, region.length
        );
    }
    common::print(&text);
}

fn print_check(tensors: &[TensorView<'_>]) {
    let bar = common::progress_bar(tensors.iter().map(TensorView::byte_length).sum());
    let mut text = String::new();
    let mut checked = 0;
    for tensor in tensors {
        match tensor.validate() {
            Ok(validity) if validity.is_valid() => checked += 1,
            Ok(validity) => {
                let name = printable(tensor.name(), 64);
                let first = validity.first.unwrap_or_default();
                let _ = writeln!(
                    text,
                    "{name}: {} values are no finite numbers, the first at {first}",
                    validity.not_finite
                );
            }
            Err(error) => {
                let _ = writeln!(text, "{error}");
            }
        }
        bar.inc(tensor.byte_length());
    }
    bar.finish_and_clear();
    common::print(&format!(
        "\n{text}{checked} of {} tensors hold finite numbers only\n",
        tensors.len()
    ));
}
