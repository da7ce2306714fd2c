//! Dequantization beside a memset of the output in the same run.
//!
//! `cargo bench --bench dequantize -- [JOB…] [TYPE…]`, where a job is `big` (64 Mi weights to f32 on huge
//! pages, one thread), `small-pages` (the same on pages of 4 KiB), `rows` (rows of 4,096 weights into one
//! buffer), `cached` (the same with the source in the cache, to each output), `half` (f16 and bf16 output),
//! `threads`; without one, all of them. The buffer of a row is aligned to a page: in one that `Vec` makes, stores may
//! cross cache lines. `record` among the words writes the ratios to `benches/times.tsv`; without it they stand
//! beside the last record of this machine. Each figure is a ratio to the memset: only ratios of one run can be compared. Figures stand
//! in `benches/README.md`.

#![allow(missing_docs)]

mod common;

use common::record::Ratios;
use common::{WEIGHTS, buffer, checkpoint, interleaved};
use half::{bf16, f16};
use weighbridge::{DType, TensorView};

const ROUNDS: usize = 11;
const ROW: usize = 4096;

fn one_thread() -> rayon::ThreadPool {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(1);
    builder.build().unwrap()
}

/// Memset and dequantization of the whole tensor, as often as `ROUNDS` says.
fn whole<T: weighbridge::quant::Output>(
    pool: &rayon::ThreadPool,
    tensor: &TensorView<'_>,
    out: &mut [u8],
) -> common::Times {
    let cell = std::cell::RefCell::new(out);
    interleaved(
        ROUNDS,
        &mut [&mut || fill(pool, &mut cell.borrow_mut()), &mut || {
            let mut out = cell.borrow_mut();
            let out: &mut [T] = bytemuck::cast_slice_mut(&mut out);
            pool.install(|| tensor.dequantize_into(out)).unwrap();
        }],
    )
}

/// A memset on the threads of the pool.
fn fill(pool: &rayon::ThreadPool, out: &mut [u8]) {
    use rayon::prelude::*;
    let part = out.len() / pool.current_num_threads();
    pool.install(|| out.par_chunks_mut(part).for_each(|part| part.fill(7)));
}

fn big<T: weighbridge::quant::Output>(
    ratios: &mut Ratios,
    what: &str,
    dtypes: &[DType],
    huge: bool,
    pool: &rayon::ThreadPool,
) {
    let bytes = WEIGHTS * size_of::<T>();
    println!(
        "{what}: {} Mi weights, ms (times the memset)",
        WEIGHTS >> 20
    );
    let mut out = buffer(bytes, huge);
    for &dtype in dtypes {
        let (model, _) = checkpoint(dtype, WEIGHTS);
        let tensor = model.tensor("t").unwrap();
        let times = whole::<T>(pool, &tensor, &mut out);
        let milliseconds = [1, 0].map(|job| times.milliseconds(job));
        report(ratios, what, dtype, &times, milliseconds);
    }
}

/// Ours, the memset, by how many times ours takes longer (median of the rounds, and best to best), and the last
/// record.
fn report(
    ratios: &mut Ratios,
    what: &str,
    dtype: DType,
    times: &common::Times,
    [ours, memset]: [f64; 2],
) {
    let ratio = times.ratio(1, 0);
    println!(
        "  {:12} {ours:7.2}  memset {memset:6.2}  {ratio:5.2}  best {:5.2}  {}",
        dtype.name(),
        times.best_ratio(1, 0),
        ratios.beside_the_last(&format!("{what}: {}", dtype.name()), ratio)
    );
}

/// Rows of 4,096 into one buffer, `weights` in turn, as often as makes 64 Mi weights.
fn rows<T: weighbridge::quant::Output>(
    ratios: &mut Ratios,
    what: &str,
    dtypes: &[DType],
    weights: usize,
) {
    println!("{what}: Gweights/s (times the memset)");
    for &dtype in dtypes {
        let (model, _) = checkpoint(dtype, weights);
        let tensor = model.tensor("t").unwrap();
        let mut row = buffer(size_of::<T>() * ROW, false);
        let cell = std::cell::RefCell::new(bytemuck::cast_slice_mut::<u8, T>(&mut row));
        let times = interleaved(
            ROUNDS,
            &mut [
                &mut || {
                    for at in 0..WEIGHTS / ROW {
                        let mut row = cell.borrow_mut();
                        let row: &mut [u8] = bytemuck::cast_slice_mut(*row);
                        row.fill(at as u8 | 1);
                        std::hint::black_box(row);
                    }
                },
                &mut || {
                    for at in 0..WEIGHTS / ROW {
                        let at = at % (weights / ROW);
                        let mut row = cell.borrow_mut();
                        tensor.dequantize_rows_into(at..at + 1, *row).unwrap();
                        std::hint::black_box(&mut **row);
                    }
                },
            ],
        );
        let rate = |job: usize| WEIGHTS as f64 / times.milliseconds(job) / 1e6;
        report(ratios, what, dtype, &times, [rate(1), rate(0)]);
    }
}

fn main() {
    const JOBS: [&str; 6] = ["big", "small-pages", "rows", "cached", "half", "threads"];
    let mut arguments = common::arguments();
    let ratios = &mut Ratios::of_this_machine(&arguments);
    arguments.retain(|argument| argument != "record");
    let (jobs, names): (Vec<String>, Vec<String>) = arguments
        .into_iter()
        .partition(|argument| JOBS.contains(&argument.as_str()));
    let dtypes: Vec<DType> = common::dtypes()
        .into_iter()
        .filter(|dtype| names.is_empty() || names.iter().any(|name| name == dtype.name()))
        .collect();
    let wanted = |job: &str| jobs.is_empty() || jobs.iter().any(|wanted| wanted == job);
    let one = one_thread();
    if wanted("big") {
        big::<f32>(ratios, "f32, huge pages, one thread", &dtypes, true, &one);
    }
    if wanted("small-pages") {
        big::<f32>(
            ratios,
            "f32, pages of 4 KiB, one thread",
            &dtypes,
            false,
            &one,
        );
    }
    if wanted("rows") {
        rows::<f32>(
            ratios,
            "rows of 4,096 streamed from memory",
            &dtypes,
            WEIGHTS,
        );
    }
    if wanted("cached") {
        let cached = 64 * ROW;
        rows::<f32>(
            ratios,
            "rows of 4,096 from the cache to f32",
            &dtypes,
            cached,
        );
        rows::<f16>(
            ratios,
            "rows of 4,096 from the cache to f16",
            &dtypes,
            cached,
        );
        rows::<bf16>(
            ratios,
            "rows of 4,096 from the cache to bf16",
            &dtypes,
            cached,
        );
    }
    if wanted("half") {
        big::<f16>(ratios, "f16, huge pages, one thread", &dtypes, true, &one);
        big::<bf16>(ratios, "bf16, huge pages, one thread", &dtypes, true, &one);
    }
    if wanted("threads") {
        let all = rayon::ThreadPoolBuilder::new().build().unwrap();
        let what = format!("f32, huge pages, {} threads", all.current_num_threads());
        big::<f32>(ratios, &what, &dtypes, true, &all);
    }
}
