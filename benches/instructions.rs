//! Instruction counts of what must not become slower, beside the last record: a number that other work on
//! the machine does not move.
//!
//! `cargo bench --bench instructions` counts every job under valgrind (which must be installed), prints
//! how many times the recorded count each takes, and exits with 1 if one takes more than [`MOST`].
//! `-- WORD…` counts the jobs whose names hold one of the words; `-- record` writes the record,
//! `benches/instructions.tsv`. `RUSTFLAGS="--cfg weighbridge_scalar"` counts the code without kernels,
//! `"--cfg weighbridge_baseline"` that with kernels which need no question to the processor; they have rows of their own.
//!
//! Of its own and not iai-callgrind, which does the same by the same tool: that needs a second program,
//! installed in exactly its version. Counts say nothing about memory or about how long an instruction takes:
//! `dequantize`, `open`, `read` and `convert` measure times.

#![allow(missing_docs)]

mod common;

use std::hint::black_box;
use std::process::{Command, ExitCode};

use common::record::Record;
use common::{checkpoint, dtypes, files};
use half::{bf16, f16};
use weighbridge::formats::pickle;
use weighbridge::limits::Budget;
use weighbridge::{Checkpoint, Scanner};

/// The largest ratio to the record that is no regression: the same code was never off by more than a
/// thousandth.
const MOST: f64 = 1.03;

const ROW: usize = 4096;
/// Rows of a tensor of 1 Mi weights.
const ROWS: usize = 256;

/// Tells the process that valgrind runs what to do.
const COUNTED: &str = "WEIGHBRIDGE_COUNTED";

/// Valgrind counts from its start to its end. The name is in the arguments of valgrind.
#[inline(never)]
fn counted_by_valgrind(job: &mut dyn FnMut()) {
    job();
    black_box(());
}

/// Names the jobs, or runs those that are wanted.
struct Jobs<'w> {
    wanted: &'w [String],
    run: bool,
    names: Vec<String>,
}

impl Jobs<'_> {
    /// `make` prepares the work, uncounted; the work is done once before, so that what is asked once in a
    /// process, as the processor's features are, does not count.
    fn job<W: FnMut()>(&mut self, name: String, make: impl FnOnce() -> W) {
        if !self.wanted.is_empty() && !self.wanted.iter().any(|word| name.contains(word)) {
            return;
        }
        if self.run {
            let mut work = make();
            work();
            counted_by_valgrind(&mut work);
        }
        self.names.push(name);
    }
}

fn all(jobs: &mut Jobs<'_>) {
    open(jobs);
    #[cfg(feature = "convert")]
    convert(jobs);
    for dtype in dtypes() {
        dequantize::<f32>(jobs, dtype, "f32");
        dequantize::<f16>(jobs, dtype, "f16");
        dequantize::<bf16>(jobs, dtype, "bf16");
    }
}

fn opened(file: Vec<u8>) -> impl FnMut() {
    let file: &'static [u8] = Vec::leak(file);
    move || drop(black_box(Checkpoint::from_bytes(file).unwrap()))
}

fn open(jobs: &mut Jobs<'_>) {
    jobs.job("open safetensors, 1000 tensors".to_owned(), || {
        opened(files::safetensors_head(1000, 0))
    });
    jobs.job("open gguf, 1000 tensors, 32768 words".to_owned(), || {
        opened(files::gguf_head(1000, 0, 32_768))
    });
    jobs.job("open torch zip, 1000 tensors".to_owned(), || {
        opened(files::torch_archive(1000, 16))
    });
    jobs.job("walk pickle, 10000 tensors".to_owned(), || {
        let data = files::state_dict(10_000, 16);
        move || {
            let walk = pickle::walk(&data, 0, &mut (), &mut Budget::default());
            assert!(black_box(walk).is_ok());
        }
    });
    jobs.job("scan torch zip, 1000 tensors".to_owned(), || {
        let archive = files::torch_archive(1000, 16);
        move || drop(black_box(Scanner::new().bytes(&archive)))
    });
}

/// Without the digest of the source, which valgrind's processor computes without its own instructions.
#[cfg(feature = "convert")]
fn convert(jobs: &mut Jobs<'_>) {
    use weighbridge::convert::ConvertOptions;
    jobs.job("convert torch zip, 1000 tensors".to_owned(), || {
        let folder = tempfile::tempdir().unwrap();
        let model = Checkpoint::from_bytes(files::torch_archive(1000, 1024)).unwrap();
        let options = ConvertOptions::new().provenance(false).overwrite(true);
        move || {
            let path = folder.path().join("model.safetensors");
            drop(black_box(options.convert(&model, path, None).unwrap()));
        }
    });
}

/// One row of 4,096; for f32 also 1 Mi weights.
fn dequantize<T: weighbridge::quant::Output>(
    jobs: &mut Jobs<'_>,
    dtype: weighbridge::DType,
    output: &str,
) {
    let mut decode = |what: &str, rows: usize| {
        jobs.job(format!("{what} {dtype} to {output}"), || {
            let (model, _) = checkpoint(dtype, rows * ROW);
            let tensor = Box::leak(Box::new(model)).tensor("t").unwrap();
            let mut out = vec![T::zeroed(); rows * ROW];
            move || {
                tensor.dequantize_rows_into(0..rows, &mut out).unwrap();
                black_box(&out);
            }
        });
    };
    decode("row", 1);
    if output == "f32" {
        decode("1 Mi", ROWS);
    }
}

/// The instructions of each job, in turn.
fn count(words: &[String], jobs: usize) -> Result<Vec<u64>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let out = folder.path().join("callgrind.out");
    // Parts of the count begin and end with the work, so that what its threads do counts too.
    let valgrind = Command::new("valgrind")
        .args(["--tool=callgrind", "--combine-dumps=yes"])
        .arg("--zero-before=instructions::counted_by_valgrind")
        .arg("--dump-after=instructions::counted_by_valgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().map_err(|error| error.to_string())?)
        .args(words)
        .env(COUNTED, "1")
        .output()
        .map_err(|error| format!("valgrind cannot be run ({error}): is it installed?"))?;
    if !valgrind.status.success() {
        return Err(String::from_utf8_lossy(&valgrind.stderr).into_owned());
    }
    let parts = std::fs::read_to_string(out).map_err(|error| error.to_string())?;
    let totals = parts
        .lines()
        .filter_map(|line| line.strip_prefix("totals: "));
    let totals: Vec<u64> = totals.filter_map(|total| total.parse().ok()).collect();
    // Each job gives a part, and the last part is what came after them.
    if totals.len() != jobs + 1 {
        return Err(format!(
            "valgrind counted {} parts of {jobs} jobs",
            totals.len()
        ));
    }
    Ok(totals[..jobs].to_vec())
}

/// What decides the count of a job: its code.
fn build() -> &'static str {
    if cfg!(weighbridge_scalar) {
        return "scalar";
    }
    if cfg!(weighbridge_baseline) {
        return "baseline";
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") {
        return "avx2";
    }
    std::env::consts::ARCH
}

fn main() -> ExitCode {
    let mut words = common::arguments();
    let recording = words.iter().any(|word| word == "record");
    words.retain(|word| word != "record");
    let mut jobs = Jobs {
        wanted: &words,
        run: std::env::var_os(COUNTED).is_some(),
        names: Vec::new(),
    };
    all(&mut jobs);
    if jobs.run {
        return ExitCode::SUCCESS;
    }
    let counts = match count(&words, jobs.names.len()) {
        Ok(counts) => counts,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    let mut record = Record::read("instructions.tsv", "build", "instructions");
    let mut worse = 0;
    println!("{:44} {:>12}  times the record", build(), "instructions");
    for (name, &instructions) in jobs.names.iter().zip(&counts) {
        let ratio = record.ratio(build(), name, instructions as f64);
        worse += usize::from(ratio.is_some_and(|ratio| ratio > MOST));
        let ratio = ratio.map_or("new".to_owned(), |ratio| format!("{ratio:.3}"));
        println!("{name:44} {instructions:12}  {ratio}");
        if recording {
            record.set(build(), name, instructions as f64);
        }
    }
    if recording {
        record.write();
        return ExitCode::SUCCESS;
    }
    println!(
        "{worse} of {} jobs take more than {MOST} times the record",
        counts.len()
    );
    ExitCode::from(u8::from(worse > 0))
}
