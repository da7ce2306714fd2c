//! The first forty lines of an inference engine: open, check shapes, take weights without a copy,
//! decode rows of the quantized ones as they are needed.
//!
//! `cargo run --release --example load_for_inference -- tests/files/safetensors/network.safetensors`

mod common;

use std::process::ExitCode;

use weighbridge::{Checkpoint, Result, TensorView};

const HELP: &str = "\
Loads a model file as an inference engine would, and multiplies by its weights.

usage: load_for_inference PATH

exit status: 0 done, 2 could not do it
";

/// A weight matrix: borrowed from the file where its bytes are f32 and aligned, else decoded row by
/// row into a buffer of one row, so that a 70 GB model needs a few kilobytes here.
struct Matrix<'a> {
    tensor: TensorView<'a>,
    borrowed: Option<&'a [f32]>,
}

impl<'a> Matrix<'a> {
    fn new(tensor: TensorView<'a>) -> Self {
        let borrowed = tensor.as_slice::<f32>().ok();
        Self { tensor, borrowed }
    }

    /// `self · input`, row by row.
    fn multiply(&self, input: &[f32]) -> Result<Vec<f32>> {
        let (rows, columns) = (self.tensor.shape()[0], self.tensor.shape()[1]);
        let mut row = vec![0.0_f32; columns];
        let mut output = Vec::with_capacity(rows);
        for index in 0..rows {
            let weights = match self.borrowed {
                Some(all) => &all[index * columns..(index + 1) * columns],
                None => {
                    let part = self.tensor.narrow(0, index..index + 1)?;
                    part.dequantize_into(&mut row)?;
                    &row
                }
            };
            output.push(
                weights
                    .iter()
                    .zip(input)
                    .map(|(weight, input)| weight * input)
                    .sum(),
            );
        }
        Ok(output)
    }
}

fn run(model: &Checkpoint) -> Result<String> {
    let mut text = String::new();
    let matrices = model
        .tensors()
        .filter(|tensor| tensor.shape().len() == 2 && tensor.can_dequantize());
    for tensor in matrices {
        // What the engine's architecture says; a model of another shape is refused by name.
        let shape = [tensor.shape()[0], tensor.shape()[1]];
        tensor.expect_shape(&shape)?;
        let matrix = Matrix::new(tensor);
        let output = matrix.multiply(&vec![1.0; shape[1]])?;
        let how = if matrix.borrowed.is_some() {
            "borrowed"
        } else {
            "decoded row by row"
        };
        let name = common::printable(matrix.tensor.name(), 60);
        let sum: f64 = output.iter().map(|&value| f64::from(value)).sum();
        text += &format!(
            "{name} {} {shape:?} {how}, sum of outputs {sum}\n",
            matrix.tensor.dtype()
        );
    }
    Ok(text)
}

fn main() -> ExitCode {
    let arguments = match common::Arguments::parse(HELP, &[], &[]) {
        Ok(arguments) => arguments,
        Err(message) => return common::fail(message),
    };
    let [path] = arguments.paths.as_slice() else {
        return common::fail("give one path; --help says more");
    };
    match weighbridge::open(path).and_then(|model| run(&model)) {
        Ok(text) => {
            common::print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => common::report(path, &error, false),
    }
}
