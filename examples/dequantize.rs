//! Decodes one tensor and shows its values: the first ones, least, greatest, mean, and how many are
//! no number.
//!
//! `cargo run --release --example dequantize -- tests/files/gguf/network.gguf`

mod common;

use std::fmt::Write as _;
use std::process::ExitCode;

use common::{Arguments, printable};

const HELP: &str = "\
Decodes one tensor of a model file and shows its values.

usage: dequantize PATH [TENSOR] [--count N]

Without TENSOR: the first tensor that can be decoded.

  --count N   show N values instead of 8

exit status: 0 done, 2 could not do it
";

fn main() -> ExitCode {
    let arguments = match Arguments::parse(HELP, &[], &["count"]) {
        Ok(arguments) => arguments,
        Err(message) => return common::fail(message),
    };
    let (path, name) = match arguments.paths.as_slice() {
        [path] => (path, None),
        [path, name] => (path, name.to_str()),
        _ => return common::fail("give a path and a tensor; --help says more"),
    };
    let count = match arguments.value("count").map(str::parse) {
        None => 8,
        Some(Ok(count)) => count,
        Some(Err(_)) => return common::fail("--count takes a number"),
    };
    match show(path, name, count) {
        Ok(text) => {
            common::print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => common::report(path, &error, false),
    }
}

fn show(path: &std::path::Path, name: Option<&str>, count: usize) -> weighbridge::Result<String> {
    let model = weighbridge::open(path)?;
    let tensor = match name {
        Some(name) => model.tensor(name)?,
        None => match model.tensors().find(|tensor| tensor.can_dequantize()) {
            Some(tensor) => tensor,
            None => return Ok(String::from("no tensor that can be decoded\n")),
        },
    };
    let mut values = vec![0.0_f32; tensor.elements()];
    tensor.dequantize_into(&mut values)?;

    let numbers = values.iter().filter(|value| !value.is_nan());
    let least = numbers.clone().copied().fold(f32::INFINITY, f32::min);
    let greatest = numbers.clone().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = numbers.clone().map(|&value| f64::from(value)).sum();
    let known = numbers.count();

    let mut text = String::new();
    let name = printable(tensor.name(), 80);
    let shape = tensor.shape();
    let _ = writeln!(text, "{name} {} {shape:?}", tensor.dtype_name());
    let head: Vec<String> = values.iter().take(count).map(f32::to_string).collect();
    let more = if values.len() > count { ", …" } else { "" };
    let _ = writeln!(text, "values  [{}{more}]", head.join(", "));
    if known > 0 {
        let mean = sum / known as f64;
        let _ = writeln!(text, "least   {least}\ngreatest {greatest}\nmean    {mean}");
    }
    let _ = writeln!(text, "NaN     {} of {}", values.len() - known, values.len());
    Ok(text)
}
