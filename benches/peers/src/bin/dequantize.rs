//! Dequantization by weighbridge, ggml and candle-core beside a memset of the output, in one run.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml --bin dequantize -- [big|small-pages|rows|half] [TYPE…]`
//!
//! ggml is compiled here from the sources that the crate llama-cpp-sys-2 vendors (`cargo fetch` has brought
//! them; nothing else of that crate is built): once as llama.cpp compiles the file that holds these
//! functions by default (baseline x86-64, -O3), once with -march=native.

use std::cell::RefCell;
use std::process::Command;

use candle_core::quantized::k_quants::*;
use common::{Times, WEIGHTS, buffer, interleaved};
use half::{bf16, f16};
use weighbridge::quant::Output;
use weighbridge::{DType, TensorView};

#[path = "../../../common/mod.rs"]
mod common;
#[path = "../ggml.rs"]
mod ggml;

const ROUNDS: usize = 7;
const ROW: usize = 4096;

type Row = unsafe extern "C" fn(*const u8, *mut f32, i64);

/// One build of ggml's `ggml-quants.c`.
struct Ggml(libloading::Library);

impl Ggml {
    fn build(name: &str, flags: &[&str]) -> Self {
        let ggml = ggml::sources();
        let library = std::env::temp_dir().join(format!("weighbridge-ggml-{name}.so"));
        let status = Command::new("cc")
            .args(["-O3", "-DNDEBUG", "-fPIC", "-shared", "-D_GNU_SOURCE"])
            .args(flags)
            .arg("-I")
            .arg(ggml.join("include"))
            .arg("-I")
            .arg(ggml.join("src"))
            .arg(ggml.join("src/ggml-quants.c"))
            .arg("-o")
            .arg(&library)
            .status()
            .expect("a C compiler");
        assert!(status.success());
        // SAFETY: the library was built just now; it runs no code when it is loaded.
        Self(unsafe { libloading::Library::new(library) }.expect("loads"))
    }

    fn row(&self, dtype: DType) -> Option<Row> {
        let name = match dtype.name() {
            name if name.ends_with("_K") => format!("q{}", &name[1..]),
            name => name.to_lowercase(),
        };
        // SAFETY: `ggml-quants.h` declares every function of this name with this signature.
        let symbol = unsafe {
            self.0
                .get::<Row>(format!("dequantize_row_{name}").as_bytes())
        };
        symbol.ok().map(|symbol| *symbol)
    }
}

/// candle's decoding of whole blocks.
fn candle(dtype: DType) -> Option<fn(&[u8], &mut [f32])> {
    fn decode<B: GgmlType>(bytes: &[u8], out: &mut [f32]) {
        assert!(bytes.as_ptr().cast::<B>().is_aligned());
        let blocks = bytes.len() / size_of::<B>();
        // SAFETY: candle's blocks are `repr(C)` numbers; length and alignment were checked.
        let blocks = unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<B>(), blocks) };
        B::to_float(blocks, out);
    }
    Some(match dtype {
        DType::Q4_0 => decode::<BlockQ4_0>,
        DType::Q4_1 => decode::<BlockQ4_1>,
        DType::Q5_0 => decode::<BlockQ5_0>,
        DType::Q5_1 => decode::<BlockQ5_1>,
        DType::Q8_0 => decode::<BlockQ8_0>,
        DType::Q2_K => decode::<BlockQ2K>,
        DType::Q3_K => decode::<BlockQ3K>,
        DType::Q4_K => decode::<BlockQ4K>,
        DType::Q5_K => decode::<BlockQ5K>,
        DType::Q6_K => decode::<BlockQ6K>,
        DType::Q8_K => decode::<BlockQ8K>,
        DType::F16 => decode::<f16>,
        DType::BF16 => decode::<bf16>,
        _ => return None,
    })
}

/// Times of the memset, ours, ggml stock, ggml native and candle, in this order.
fn print(dtype: DType, times: &Times, peers: &[Option<usize>; 3]) {
    let peer = |job: Option<usize>| match job {
        Some(job) => format!("{:6.2} ({:5.2})", times.ratio(job, 0), times.ratio(job, 1)),
        None => format!("{:>14}", "-"),
    };
    println!(
        "{:8} {:6.2} ms {:6.2} | {} {} {}",
        dtype.name(),
        times.milliseconds(0),
        times.ratio(1, 0),
        peer(peers[0]),
        peer(peers[1]),
        peer(peers[2])
    );
}

fn heading(what: &str, peers: &str) {
    println!(
        "\n{what}: time of the memset; times it takes ours; {peers}: times the memset (times ours)"
    );
}

/// Runs everything on `weights` weights; `steps` cuts them into rows that go to the same buffer.
fn compare(dtypes: &[DType], builds: &[Ggml; 2], row: usize, out: &mut [f32]) {
    for &dtype in dtypes {
        let (model, data) = common::checkpoint(dtype, WEIGHTS);
        let tensor = model.tensor("t").expect("the tensor");
        let row_bytes = row / dtype.block_elements() * dtype.block_bytes();
        let out = RefCell::new(&mut *out);
        let mut memset = || {
            for at in 0..WEIGHTS / row {
                let mut out = out.borrow_mut();
                // Not 0, which this processor stores faster than other values.
                bytemuck::cast_slice_mut::<f32, u8>(&mut out).fill(at as u8 | 1);
                std::hint::black_box(&mut **out);
            }
        };
        let rows = row / ROW;
        let mut ours = || {
            for at in 0..WEIGHTS / row {
                let mut out = out.borrow_mut();
                tensor
                    .dequantize_rows_into(at * rows..(at + 1) * rows, &mut out)
                    .expect("decodes");
                std::hint::black_box(&mut **out);
            }
        };
        let each = |decode: &dyn Fn(&[u8], &mut [f32])| {
            for bytes in data.chunks_exact(row_bytes) {
                let mut out = out.borrow_mut();
                decode(bytes, &mut out);
                std::hint::black_box(&mut **out);
            }
        };
        let functions = builds.each_ref().map(|build| build.row(dtype));
        let theirs = functions.map(|function| {
            function.map(|function| {
                move |bytes: &[u8], out: &mut [f32]| {
                    // SAFETY: `bytes` holds the blocks of `out.len()` weights.
                    unsafe { function(bytes.as_ptr(), out.as_mut_ptr(), out.len() as i64) }
                }
            })
        });
        let candle = candle(dtype);
        let mut stock = || each(theirs[0].as_ref().expect("asked for"));
        let mut native = || each(theirs[1].as_ref().expect("asked for"));
        let mut candle_job = || each(&candle.expect("asked for"));
        let mut jobs: Vec<&mut dyn FnMut()> = vec![&mut memset, &mut ours];
        let mut peers = [None; 3];
        if theirs[0].is_some() {
            peers[0] = Some(jobs.len());
            jobs.push(&mut stock);
            peers[1] = Some(jobs.len());
            jobs.push(&mut native);
        }
        if candle.is_some() {
            peers[2] = Some(jobs.len());
            jobs.push(&mut candle_job);
        }
        let times = interleaved(ROUNDS, &mut jobs);
        print(dtype, &times, &peers);
        if theirs[0].is_some() {
            same_bits(&tensor, &data, theirs[0].as_ref().expect("there"));
        }
    }
}

/// Panics unless ggml and weighbridge give the same bits for the first million weights, none of them NaN.
fn same_bits(tensor: &TensorView<'_>, data: &[u8], ggml: &dyn Fn(&[u8], &mut [f32])) {
    let rows = 256;
    let mut ours = vec![0.0_f32; rows * ROW];
    tensor
        .dequantize_rows_into(0..rows, &mut ours)
        .expect("decodes");
    let mut theirs = vec![0.0_f32; ours.len()];
    let dtype = tensor.dtype();
    ggml(
        &data[..ours.len() / dtype.block_elements() * dtype.block_bytes()],
        &mut theirs,
    );
    let mut pairs = ours.iter().zip(&theirs);
    let other =
        pairs.position(|(ours, theirs)| ours.is_nan() || ours.to_bits() != theirs.to_bits());
    if let Some(at) = other {
        let (ours, theirs) = (ours[at], theirs[at]);
        panic!("{dtype}: weight {at} is {ours:e}, ggml's is {theirs:e}");
    }
}

/// f16 and bf16 outputs beside candle's `dequantize_f16`.
fn half(dtypes: &[DType]) {
    heading("f16 and bf16 output", "candle dequantize_f16");
    let mut bytes = buffer(2 * WEIGHTS, true);
    for &dtype in dtypes {
        let (model, data) = common::checkpoint(dtype, WEIGHTS);
        let tensor = model.tensor("t").expect("the tensor");
        let bytes = RefCell::new(&mut bytes[..]);
        let mut memset = || bytes.borrow_mut().fill(7);
        fn ours<T: Output>(tensor: &TensorView<'_>, bytes: &mut [u8]) {
            let out: &mut [T] = bytemuck::cast_slice_mut(bytes);
            let rows = out.len() / ROW;
            tensor.dequantize_rows_into(0..rows, out).expect("decodes");
        }
        let mut to_f16 = || ours::<f16>(&tensor, &mut bytes.borrow_mut());
        let mut to_bf16 = || ours::<bf16>(&tensor, &mut bytes.borrow_mut());
        let quantized = candle_tensor(dtype, &data);
        let mut candle = || {
            let device = candle_core::Device::Cpu;
            let tensor = quantized
                .as_ref()
                .expect("asked for")
                .dequantize_f16(&device);
            std::hint::black_box(tensor.expect("decodes"));
        };
        let mut jobs: Vec<&mut dyn FnMut()> = vec![&mut memset, &mut to_f16, &mut to_bf16];
        if quantized.is_some() {
            jobs.push(&mut candle);
        }
        let candle = quantized.is_some();
        let times = interleaved(3, &mut jobs);
        let peer = match candle {
            true => format!("{:6.2} ({:5.1})", times.ratio(3, 0), times.ratio(3, 1)),
            false => "-".to_owned(),
        };
        println!(
            "{:8} {:6.2} ms f16 {:5.2} bf16 {:5.2} | {peer}",
            dtype.name(),
            times.milliseconds(0),
            times.ratio(1, 0),
            times.ratio(2, 0)
        );
    }
}

fn candle_tensor(dtype: DType, data: &[u8]) -> Option<candle_core::quantized::QTensor> {
    use candle_core::quantized::{GgmlDType, QStorage, QTensor};
    let kind = match dtype {
        DType::Q4_0 => GgmlDType::Q4_0,
        DType::Q8_0 => GgmlDType::Q8_0,
        DType::Q4_K => GgmlDType::Q4K,
        DType::Q6_K => GgmlDType::Q6K,
        _ => return None,
    };
    let device = candle_core::Device::Cpu;
    let storage = QStorage::from_data(data.into(), &device, kind).expect("storage");
    Some(QTensor::new(storage, (WEIGHTS / ROW, ROW)).expect("a tensor"))
}

fn main() {
    const JOBS: [&str; 4] = ["big", "small-pages", "rows", "half"];
    let (jobs, names): (Vec<String>, Vec<String>) = common::arguments()
        .into_iter()
        .partition(|argument| JOBS.contains(&argument.as_str()));
    let wanted = |job: &str| jobs.is_empty() || jobs.iter().any(|wanted| wanted == job);
    let dtypes: Vec<DType> = common::dtypes()
        .into_iter()
        .filter(|dtype| names.is_empty() || names.iter().any(|name| name == dtype.name()))
        .collect();
    let builds = [
        Ggml::build("stock", &[]),
        Ggml::build("native", &["-march=native"]),
    ];
    let peers = "ggml stock, ggml -march=native, candle";
    for (job, huge) in [("big", true), ("small-pages", false)] {
        if wanted(job) {
            heading(&format!("{job}: 64 Mi weights to f32, one thread"), peers);
            let mut bytes = buffer(4 * WEIGHTS, huge);
            compare(
                &dtypes,
                &builds,
                WEIGHTS,
                bytemuck::cast_slice_mut(&mut bytes),
            );
        }
    }
    if wanted("rows") {
        heading("rows of 4,096 weights into one buffer", peers);
        // Aligned to a page, for all of them.
        let mut bytes = buffer(4 * ROW, false);
        compare(&dtypes, &builds, ROW, bytemuck::cast_slice_mut(&mut bytes));
    }
    if wanted("half") {
        half(&dtypes);
    }
}
