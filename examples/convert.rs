//! Converts a model file to safetensors or GGUF. Runs nothing in it.
//!
//! `cargo run --release --example convert -- tests/files/torch/network.pt /tmp/network.safetensors`

mod common;

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use common::{Arguments, human_bytes, printable};
use weighbridge::Progress;
use weighbridge::convert::{ConvertOptions, Converted, DTypePolicy};
use weighbridge::quant::QUANTIZABLE;
use weighbridge::{Checkpoint, DType, Severity, Verdict};

const HELP: &str = "\
Converts a model file to safetensors, or to GGUF if OUT ends in .gguf. Runs nothing in it.

usage: convert IN OUT [--dtype keep|f32|f16|bf16] [--shard-size N] [--overwrite] [--allow-dangerous]
               [--clone-shared] [--companions] [--skip-absent] [--follow-links] [--no-provenance]
               [--no-verify] [--metadata KEY=VALUE]... [--quantize TYPE] [--lenient]

  --dtype D          what floating-point and quantized tensors become (keep)
  --shard-size N     at most N bytes of tensors in a file, with an index; kB, MB and GB are understood
  --overwrite        replace an existing file
  --allow-dangerous  convert a pickle that would run code when loaded with Python
  --clone-shared     write tied weights once for each name
  --companions       split torch dtypes that safetensors lacks into other tensors
  --skip-absent      leave out tensors without data instead of refusing the file
  --follow-links     write to where OUT points if it is a symbolic link
  --no-provenance    do not record the source's name, format and sha256
  --no-verify        do not compare the result with the source
  --metadata K=V     add a key to the metadata
  --quantize TYPE    for GGUF: q8_0, q4_0, q4_1, q5_0, q5_1, tq1_0, tq2_0, mxfp4
  --lenient          accept files that are sloppy but have one meaning

exit status: 0 done, 2 could not do it
";

const SWITCHES: &[&str] = &[
    "overwrite",
    "allow-dangerous",
    "clone-shared",
    "companions",
    "skip-absent",
    "follow-links",
    "no-provenance",
    "no-verify",
    "lenient",
];

fn main() -> ExitCode {
    let values = ["dtype", "shard-size", "metadata", "quantize"];
    let options = Arguments::parse(HELP, SWITCHES, &values)
        .and_then(|arguments| Ok((options(&arguments)?, arguments)));
    let (options, arguments) = match options {
        Ok(parsed) => parsed,
        Err(message) => return common::fail(message),
    };
    let [from, to] = arguments.paths.as_slice() else {
        return common::fail("give a path to read and one to write; --help says more");
    };
    let mut open = weighbridge::OpenOptions::new().allow_dangerous(true);
    if arguments.has("lenient") {
        open = open.strictness(weighbridge::Strictness::Lenient);
    }
    let model = match open.open(from) {
        Ok(model) => model,
        Err(error) => return common::report(from, &error, false),
    };
    report_danger(&model);
    match convert(&options, &model, to) {
        Ok(converted) => {
            summarise(&converted);
            ExitCode::SUCCESS
        }
        Err(error) => common::report(from, &error, false),
    }
}

fn options(arguments: &Arguments) -> Result<ConvertOptions, String> {
    let mut options = ConvertOptions::new()
        .overwrite(arguments.has("overwrite"))
        .allow_dangerous(arguments.has("allow-dangerous"))
        .clone_shared(arguments.has("clone-shared"))
        .companions(arguments.has("companions"))
        .skip_absent(arguments.has("skip-absent"))
        .follow_links(arguments.has("follow-links"))
        .provenance(!arguments.has("no-provenance"))
        .verify(!arguments.has("no-verify"));
    for (name, value) in &arguments.values {
        options = match name.as_str() {
            "dtype" => {
                let policy = DTypePolicy::from_name(value);
                options.dtype(policy.ok_or("--dtype takes keep, f32, f16 or bf16")?)
            }
            "shard-size" => {
                let bytes = bytes(value);
                options.shard_bytes(Some(bytes.ok_or("--shard-size takes a number of bytes")?))
            }
            "quantize" => {
                let known = |dtype: &&DType| dtype.name().eq_ignore_ascii_case(value);
                let dtype = QUANTIZABLE.iter().find(known);
                options.quantize(Some(
                    *dtype.ok_or("--quantize takes a type; --help says which")?,
                ))
            }
            _ => {
                let pair = value.split_once('=');
                let (key, value) = pair.ok_or("--metadata takes KEY=VALUE")?;
                options.metadata(key, value)
            }
        };
    }
    Ok(options)
}

/// `5GB` and the like, in powers of 1000; 0 makes no file.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &*text[digits.len()..].to_ascii_lowercase() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (bytes > 0).then_some(bytes)
}

/// Says what loading the file with Python would have run.
fn report_danger(model: &Checkpoint) {
    if model.verdict() != Verdict::Dangerous {
        return;
    }
    let dangerous = Severity::Verdict(Verdict::Dangerous);
    let mut text = String::from("dangerous: loading this file with Python would run\n");
    for finding in model.findings() {
        if finding.severity == dangerous {
            let stream = printable(&finding.stream, 100);
            let place = match (stream.as_str(), finding.offset) {
                (stream, Some(offset)) => format!("{stream} at byte {offset:#x}: "),
                ("", None) => String::new(),
                (stream, None) => format!("{stream}: "),
            };
            let message = printable(&finding.message, 400);
            text += &format!("  {}{message}\n", place.trim_start());
        }
    }
    common::print(&text);
}

fn convert(
    options: &ConvertOptions,
    model: &Checkpoint,
    to: &Path,
) -> weighbridge::Result<Converted> {
    let bar = common::progress_bar(0);
    let show = |progress: Progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        ControlFlow::Continue(())
    };
    let converted = options.convert(model, to, Some(&show));
    bar.finish_and_clear();
    converted
}

fn summarise(converted: &Converted) {
    let mut text = String::new();
    for file in &converted.files {
        text += &format!("wrote {}\n", printable(&file.display().to_string(), 400));
    }
    let size = human_bytes(converted.tensor_bytes);
    let verified = match converted.verified {
        true => "every byte compared with the source",
        false => "not verified",
    };
    let tensors = match converted.tensors {
        1 => String::from("1 tensor"),
        count => format!("{count} tensors"),
    };
    text += &format!("{tensors}, {size}, {verified}\n");
    for (removed, kept) in &converted.aliases {
        let (removed, kept) = (printable(removed, 100), printable(kept, 100));
        text += &format!("tied: {removed} is {kept}\n");
    }
    for name in &converted.separated {
        let name = printable(name, 100);
        text += &format!("shares bytes with another tensor, written in full: {name}\n");
    }
    for name in &converted.left_out {
        text += &format!("left out: {}\n", printable(name, 100));
    }
    common::print(&text);
}
