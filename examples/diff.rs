//! Says how two models differ: names, shapes, types, bytes, values. They may be of different formats.
//!
//! `cargo run --release --example diff -- tests/files/torch/network.pt tests/files/gguf/network.gguf`

#![allow(missing_docs, unreachable_pub)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use common::{Arguments, printable};
use serde::Serialize;
use weighbridge::{Caller, Checkpoint, Error, Job, OpenOptions, TensorView};

const HELP: &str = "\
Says how two models differ. They may be of different formats and precisions.

usage: diff A B [--json] [--tolerance X] [--names FILE] [--match]

  --json         print one JSON object
  --tolerance X  values that differ by at most X count as the same, and so do types
  --names FILE   a JSON object of names of A and the names that they have in B
  --match        pair tensors of other names by their shapes and values

exit status: 0 the same, 1 different, 2 could not do it
";

/// Values of a tensor that are looked at to find its match.
const SAMPLE: usize = 1 << 14;

/// Of two tensors whose values differ by a third of their size, one is no copy of the other: the coarsest
/// quantization errs by less, unrelated weights differ by more than all of it.
const ALIKE: f64 = 0.33;

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    left: &'a Path,
    right: &'a Path,
    same: usize,
    only_left: Vec<Listed>,
    only_right: Vec<Listed>,
    different: Vec<Pair>,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    dtype: String,
    shape: Vec<usize>,
}

/// Two tensors that are not the same.
#[derive(Serialize)]
struct Pair {
    names: [String; 2],
    dtypes: [String; 2],
    shapes: [Vec<usize>; 2],
    /// Whether the values could be compared, and what came out.
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Values>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Values {
    different: u64,
    /// `null` if it is infinite.
    largest: f32,
    at: Vec<usize>,
}

fn main() -> ExitCode {
    let arguments = match Arguments::parse(HELP, &["json", "match"], &["tolerance", "names"]) {
        Ok(arguments) => arguments,
        Err(message) => return common::fail(message),
    };
    let [left, right] = arguments.paths.as_slice() else {
        return common::fail("give two paths; --help says more");
    };
    let tolerance = match arguments.value("tolerance").map(str::parse::<f32>) {
        None => None,
        Some(Ok(tolerance)) if tolerance >= 0.0 => Some(tolerance),
        Some(_) => return common::fail("--tolerance takes a number from 0 up"),
    };
    let names = match arguments.value("names").map(names) {
        None => BTreeMap::new(),
        Some(Ok(names)) => names,
        Some(Err(message)) => return common::fail(message),
    };
    let json = arguments.has("json");
    // Comparing runs nothing: dangerous pickles open too.
    let open = |path: &Path| OpenOptions::new().allow_dangerous(true).open(path);
    let a = match open(left) {
        Ok(model) => model,
        Err(error) => return common::report(left, &error, json),
    };
    let b = match open(right) {
        Ok(model) => model,
        Err(error) => return common::report(right, &error, json),
    };
    let (pairs, only_left, only_right) = pair(&a, &b, &names, arguments.has("match"));
    let (same, different) = match compare(&pairs, tolerance) {
        Ok(compared) => compared,
        Err(error) => return common::report(left, &error, json),
    };
    let report = Report {
        schema: 1,
        left,
        right,
        same,
        only_left: only_left.iter().map(listed).collect(),
        only_right: only_right.iter().map(listed).collect(),
        different,
    };
    let text = match json {
        true => serde_json::to_string(&report).unwrap_or_default() + "\n",
        false => text(&report),
    };
    common::print(&text);
    let equal =
        report.only_left.is_empty() && report.only_right.is_empty() && report.different.is_empty();
    ExitCode::from(u8::from(!equal))
}

fn names(path: &str) -> Result<BTreeMap<String, String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))
}

fn listed(tensor: &TensorView<'_>) -> Listed {
    Listed {
        name: tensor.name().to_owned(),
        dtype: tensor.dtype_name().to_owned(),
        shape: tensor.shape().to_vec(),
    }
}

type Pairs<'a> = Vec<(TensorView<'a>, TensorView<'a>)>;

/// Tensors of one name, and those that are in one model only.
fn pair<'a>(
    a: &'a Checkpoint,
    b: &'a Checkpoint,
    names: &BTreeMap<String, String>,
    by_values: bool,
) -> (Pairs<'a>, Vec<TensorView<'a>>, Vec<TensorView<'a>>) {
    let mut right: BTreeMap<&str, TensorView<'_>> = b.tensors().map(|t| (t.name(), t)).collect();
    let (mut pairs, mut alone) = (Vec::new(), Vec::new());
    for tensor in a.tensors() {
        let name = names
            .get(tensor.name())
            .map_or(tensor.name(), String::as_str);
        match right.remove(name) {
            Some(other) => pairs.push((tensor, other)),
            None => alone.push(tensor),
        }
    }
    if !by_values {
        return (pairs, alone, right.into_values().collect());
    }
    let mut others: Vec<(TensorView<'_>, Vec<f32>)> = right
        .into_values()
        .map(|tensor| (tensor.clone(), sample(&tensor)))
        .collect();
    let mut left = Vec::new();
    for tensor in alone {
        let own = sample(&tensor);
        let best = others
            .iter()
            .enumerate()
            .filter(|(_, (other, _))| other.shape() == tensor.shape())
            .map(|(place, (_, other))| (unlikeness(&own, other), place))
            .min_by(|x, y| x.0.total_cmp(&y.0));
        match best {
            Some((unlike, place)) if unlike < ALIKE => {
                pairs.push((tensor, others.swap_remove(place).0));
            }
            _ => left.push(tensor),
        }
    }
    let right = others.into_iter().map(|(tensor, _)| tensor).collect();
    (pairs, left, right)
}

/// The first values of a tensor; none if it cannot be decoded.
fn sample(tensor: &TensorView<'_>) -> Vec<f32> {
    let row: usize = tensor.shape().iter().skip(1).product();
    let rows = SAMPLE.div_ceil(row.max(1));
    let rows = rows.min(tensor.shape().first().copied().unwrap_or(1));
    let part = match tensor.shape() {
        [] => Ok(tensor.clone()),
        _ => tensor.narrow(0, ..rows).or_else(|_| tensor.narrow(0, ..)),
    };
    let values = part.and_then(|part| {
        let mut values = vec![0.0; part.elements()];
        part.dequantize_into(&mut values).map(|()| values)
    });
    values.unwrap_or_default()
}

/// The size of the difference beside the size of the values; 0 for two tensors of zeros.
fn unlikeness(a: &[f32], b: &[f32]) -> f64 {
    let square = |value: f32| f64::from(value) * f64::from(value);
    if a.len() != b.len() || a.is_empty() {
        return f64::INFINITY;
    }
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    let size: f64 = a.iter().map(|a| square(*a)).sum();
    if difference == 0.0 {
        return 0.0;
    }
    (difference / size.max(f64::MIN_POSITIVE)).sqrt()
}

/// How many pairs are the same, and how the others differ.
fn compare(pairs: &Pairs<'_>, tolerance: Option<f32>) -> Result<(usize, Vec<Pair>), Error> {
    let total = pairs.iter().map(|(a, _)| a.byte_length()).sum();
    let bar = common::progress_bar(total);
    let draw = |progress: weighbridge::Progress| {
        bar.set_position(progress.done);
        ControlFlow::Continue(())
    };
    let job = Job::new("comparing", total, &draw);
    let mut same = 0;
    let mut different = Vec::new();
    for (a, b) in pairs {
        match compare_one(&a.watched(&job), b, tolerance)? {
            None => same += 1,
            Some(pair) => different.push(pair),
        }
    }
    bar.finish_and_clear();
    Ok((same, different))
}

fn compare_one(
    a: &TensorView<'_>,
    b: &TensorView<'_>,
    tolerance: Option<f32>,
) -> Result<Option<Pair>, Error> {
    let mut pair = Pair {
        names: [a.name().to_owned(), b.name().to_owned()],
        dtypes: [a.dtype_name().to_owned(), b.dtype_name().to_owned()],
        shapes: [a.shape().to_vec(), b.shape().to_vec()],
        values: None,
        error: None,
    };
    if a.shape() != b.shape() {
        return Ok(Some(pair));
    }
    // Of tensors without data there is no more to compare.
    let is_empty = |tensor: &TensorView<'_>| {
        let bytes = tensor.bytes().err();
        matches!(
            bytes.as_ref().and_then(Error::as_caller),
            Some(Caller::NoData { .. })
        ) && !tensor.can_dequantize()
    };
    if is_empty(a) && is_empty(b) {
        return Ok((pair.dtypes[0] != pair.dtypes[1]).then_some(pair));
    }
    match a.has_same_elements(b) {
        Ok(true) => return Ok(None),
        Err(error) => pair.error = Some(error.to_string()),
        Ok(false) => {}
    }
    if !a.can_dequantize() || !b.can_dequantize() {
        return Ok(Some(pair));
    }
    let found = a.difference(b)?;
    if tolerance.is_some_and(|tolerance| found.largest <= tolerance) {
        return Ok(None);
    }
    pair.values = Some(Values {
        different: found.values,
        largest: found.largest,
        at: found.at.map(|at| index(at, a.shape())).unwrap_or_default(),
    });
    Ok(Some(pair))
}

/// The indices of an element.
fn index(at: u64, shape: &[usize]) -> Vec<usize> {
    let mut rest = usize::try_from(at).unwrap_or_default();
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&length| {
            let here = rest % length.max(1);
            rest /= length.max(1);
            here
        })
        .collect();
    index.reverse();
    index
}

fn text(report: &Report<'_>) -> String {
    let mut text = String::new();
    for (side, tensors) in [("A", &report.only_left), ("B", &report.only_right)] {
        for Listed { name, dtype, shape } in tensors {
            let name = printable(name, 80);
            let _ = writeln!(text, "only in {side}  {name} {dtype} {shape:?}");
        }
    }
    for pair in &report.different {
        let [a, b] = &pair.names;
        let name = match a == b {
            true => printable(a, 80),
            false => format!("{} / {}", printable(a, 60), printable(b, 60)),
        };
        let [first, second] = &pair.dtypes;
        let dtypes = match first == second {
            true => first.clone(),
            false => format!("{first} / {second}"),
        };
        let what = match (&pair.values, &pair.error) {
            _ if pair.shapes[0] != pair.shapes[1] => {
                format!("{:?} / {:?}", pair.shapes[0], pair.shapes[1])
            }
            (Some(values), _) => format!(
                "{} values differ, most by {} at {:?}",
                values.different, values.largest, values.at
            ),
            (None, Some(error)) => error.clone(),
            (None, None) => String::from("other bytes"),
        };
        let _ = writeln!(text, "different  {name} {dtypes}: {what}");
    }
    let _ = writeln!(
        text,
        "{} the same, {} different, {} only in A, {} only in B",
        report.same,
        report.different.len(),
        report.only_left.len(),
        report.only_right.len()
    );
    text
}
