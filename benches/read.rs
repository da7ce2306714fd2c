//! Reading without mapping, strided copies, and how soon long work can be stopped. `cargo bench --bench
//! read [GIB]`; figures stand in `benches/README.md`.

#![allow(missing_docs)]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use weighbridge::{Access, DType, Job, OpenOptions, Tensor, TensorView};

const MIB: usize = 1 << 20;

/// Wall-clock and processor time of `work`: the best of three.
fn measured(mut work: impl FnMut()) -> (Duration, Duration) {
    let times = (0..3).map(|_| {
        let (start, processor) = (Instant::now(), processor_time());
        work();
        (start.elapsed(), processor_time() - processor)
    });
    times.min().unwrap()
}

/// User and system time of this process; 0 where /proc is missing. Ticks are a hundredth of a second.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn report(what: &str, bytes: usize, (wall, processor): (Duration, Duration)) {
    let gib = bytes as f64 / (1_u64 << 30) as f64;
    println!(
        "{what:<58} {:>7.2} GiB/s {:>7.2} CPU-s/GiB",
        gib / wall.as_secs_f64(),
        processor.as_secs_f64() / gib
    );
}

/// A safetensors file of one tensor `x`.
fn write(path: &Path, shape: [usize; 2]) {
    let bytes = shape[0] * shape[1] * 4;
    let header =
        format!(r#"{{"x":{{"dtype":"F32","shape":{shape:?},"data_offsets":[0,{bytes}]}}}}"#);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    let start = file.len();
    file.resize(start + bytes, 0);
    for (place, value) in file[start..].chunks_exact_mut(4).enumerate() {
        value.copy_from_slice(&((place % 1000) as f32).to_le_bytes());
    }
    std::fs::write(path, file).unwrap();
}

/// Reads a file in parallel into anonymous memory.
fn into_anonymous(path: &Path, huge: bool) -> memmap2::MmapMut {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::open(path).unwrap();
    let length = file.metadata().unwrap().len() as usize;
    let mut map = memmap2::MmapMut::map_anon(length).unwrap();
    if huge {
        map.advise(memmap2::Advice::HugePage).unwrap();
    }
    map.par_chunks_mut(MIB)
        .enumerate()
        .for_each(|(place, part)| {
            file.read_exact_at(part, (place * MIB) as u64).unwrap();
        });
    map
}

fn reading(path: &Path, bytes: usize) {
    println!("# Reading {} MiB from the page cache", bytes / MIB);
    report(
        "std::fs::read into a Vec",
        bytes,
        measured(|| {
            std::hint::black_box(std::fs::read(path).unwrap());
        }),
    );
    report(
        "parallel pread, anonymous memory",
        bytes,
        measured(|| {
            std::hint::black_box(into_anonymous(path, false));
        }),
    );
    report(
        "parallel pread, anonymous memory, huge pages asked for",
        bytes,
        measured(|| {
            std::hint::black_box(into_anonymous(path, true));
        }),
    );
    report(
        "OpenOptions, Access::Read",
        bytes,
        measured(|| {
            OpenOptions::new().access(Access::Read).open(path).unwrap();
        }),
    );
    report(
        "Access::Lazy, then load",
        bytes,
        measured(|| {
            let model = OpenOptions::new().access(Access::Lazy).open(path).unwrap();
            std::hint::black_box(model.tensor("x").unwrap().load().unwrap());
        }),
    );
    report(
        "Access::Map, then a sum over every page",
        bytes,
        measured(|| {
            let model = weighbridge::open(path).unwrap();
            let bytes = model.tensor("x").unwrap().bytes().unwrap();
            std::hint::black_box(
                bytes
                    .iter()
                    .step_by(4096)
                    .map(|&byte| u64::from(byte))
                    .sum::<u64>(),
            );
        }),
    );
}

fn slicing(folder: &Path) {
    println!("\n# A column of 10 million rows of 4 floats");
    let path = folder.join("rows.safetensors");
    let rows = 10_000_000;
    write(&path, [rows, 4]);
    let model = weighbridge::open(&path).unwrap();
    let column = model.tensor("x").unwrap().narrow(1, 2..3).unwrap();
    let mut out = vec![1_u8; rows * 4];
    let ours = measured(|| column.copy_into(&mut out).unwrap());
    report("copy_into", rows * 4, ours);
    let mut values = vec![0.0_f32; rows];
    report(
        "dequantize_into",
        rows * 4,
        measured(|| column.dequantize_into(&mut values).unwrap()),
    );
    let file = std::fs::read(&path).unwrap();
    let official = safetensors::SafeTensors::deserialize(&file).unwrap();
    let whole = official.tensor("x").unwrap();
    let theirs = measured(|| {
        use safetensors::slice::IndexOp;
        let slice = whole.slice((.., 2..3)).unwrap();
        let mut at = 0;
        for part in slice {
            out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
    });
    report("safetensors 0.8 slice, copied", rows * 4, theirs);
    println!("ratio {:.1}", theirs.0.as_secs_f64() / ours.0.as_secs_f64());
}

/// The longest time between two calls of a callback, or between the last one and the end: the least of forty,
/// because a process that is not running cannot answer.
fn longest_gap<T>(total: u64, mut work: impl FnMut(&Job<'_>) -> T) -> Duration {
    let gaps = (0..40).map(|_| longest_gap_once(total, &mut work));
    gaps.min().unwrap()
}

fn longest_gap_once<T>(total: u64, work: &mut impl FnMut(&Job<'_>) -> T) -> Duration {
    let state = Mutex::new((Instant::now(), Duration::ZERO));
    let callback = |_| {
        let mut state = state.lock().unwrap();
        let gap = state.0.elapsed();
        state.1 = state.1.max(gap);
        state.0 = Instant::now();
        ControlFlow::Continue(())
    };
    let job = Job::new("measuring", total, &callback);
    job.advance(0).unwrap();
    let result = work(&job);
    let (last, longest) = *state.lock().unwrap();
    let gap = longest.max(last.elapsed());
    // Giving memory back is no part of the work.
    drop(result);
    gap
}

fn stopping(path: &Path, folder: &Path) {
    println!("\n# The longest time between two calls of a callback, 64 MiB");
    let show =
        |what: &str, gap: Duration| println!("{what:<58} {:>7.2} ms", gap.as_secs_f64() * 1e3);
    let model = weighbridge::open(path).unwrap();
    let tensor = model.tensor("x").unwrap();
    let bytes = tensor.byte_length();
    let mut out = vec![1_u8; bytes as usize];
    let watch = |what: &str,
                 tensor: &TensorView<'_>,
                 work: &mut dyn FnMut(&TensorView<'_>) -> Option<Tensor>| {
        show(what, longest_gap(bytes, |job| work(&tensor.watched(job))));
    };
    watch("prefetch", &tensor, &mut |tensor| {
        tensor.prefetch().unwrap();
        None
    });
    watch("copy_into", &tensor, &mut |tensor| {
        tensor.copy_into(&mut out).unwrap();
        None
    });
    watch("load", &tensor, &mut |tensor| tensor.load().ok());
    watch("validate", &tensor, &mut |tensor| {
        assert!(tensor.validate().unwrap().is_valid());
        None
    });
    watch("difference with itself", &tensor, &mut |tensor| {
        assert!(tensor.difference(tensor).unwrap().at.is_none());
        None
    });
    let columns = tensor.narrow(1, 1..2).unwrap();
    let mut column = vec![1_u8; columns.byte_length() as usize];
    watch("copy_into, one column", &columns, &mut |tensor| {
        tensor.copy_into(&mut column).unwrap();
        None
    });
    drop(out);
    let lazy = OpenOptions::new().access(Access::Lazy).open(path).unwrap();
    let tensor = lazy.tensor("x").unwrap();
    watch("load, lazy", &tensor, &mut |tensor| tensor.load().ok());
    watch("for_each_chunk, lazy", &tensor, &mut |tensor| {
        tensor.for_each_chunk(|_| Ok(())).unwrap();
        None
    });
    let many = folder.join("many.safetensors");
    write_many(&many, 100_000);
    for access in [Access::Read, Access::Map] {
        show(
            &format!("open, Access::{access:?}"),
            longest_gap_of_open(path, access),
        );
    }
    let gap = longest_gap_of_open(&many, Access::Map);
    show("open, Access::Map, 100,000 tensors", gap);
    // Blocks of every quantized type, all zero: the time does not depend on the values.
    let mut slowest = (Duration::ZERO, DType::F32);
    for &dtype in DType::ALL {
        let Some(id) = dtype.ggml_id().filter(|_| dtype.block_elements() > 1) else {
            continue;
        };
        let rows = 8 * MIB as u64;
        let bytes = dtype.bytes_for(rows).unwrap() as usize;
        let path = folder.join("blocks.gguf");
        std::fs::write(&path, gguf(id, rows, bytes)).unwrap();
        let model = weighbridge::open(&path).unwrap();
        let tensor = model.tensor("x").unwrap();
        if !tensor.can_dequantize() {
            continue;
        }
        let mut values = vec![1.0_f32; rows as usize];
        let gap = longest_gap(bytes as u64, |job| {
            tensor.watched(job).dequantize_into(&mut values).unwrap();
        });
        slowest = slowest.max((gap, dtype));
    }
    show(
        &format!("dequantize_into, the slowest type ({})", slowest.1),
        slowest.0,
    );
}

/// The same of opening a file.
fn longest_gap_of_open(path: &Path, access: Access) -> Duration {
    let last = Arc::new(Mutex::new((Instant::now(), Duration::ZERO)));
    let seen = Arc::clone(&last);
    let options = OpenOptions::new().access(access).progress(move |_| {
        let mut seen = seen.lock().unwrap();
        let gap = seen.0.elapsed();
        seen.1 = seen.1.max(gap);
        seen.0 = Instant::now();
        ControlFlow::Continue(())
    });
    let gaps = (0..40).map(|_| {
        *last.lock().unwrap() = (Instant::now(), Duration::ZERO);
        let model = options.open(path).unwrap();
        let (at, gap) = *last.lock().unwrap();
        let gap = gap.max(at.elapsed());
        drop(model);
        gap
    });
    gaps.min().unwrap()
}

/// A safetensors file of `count` tensors without bytes.
fn write_many(path: &Path, count: usize) {
    let info = r#"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;
    let infos: Vec<String> = (0..count)
        .map(|at| format!("\"model.layers.{at}\":{info}"))
        .collect();
    let header = format!("{{{}}}", infos.join(","));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    std::fs::write(path, file).unwrap();
}

/// A GGUF file of one tensor `x` of zeros.
fn gguf(id: u32, elements: u64, bytes: usize) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend(1_u64.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.extend(1_u64.to_le_bytes());
    file.extend(b"x");
    file.extend(1_u32.to_le_bytes());
    file.extend(elements.to_le_bytes());
    file.extend(id.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.resize(file.len().next_multiple_of(32) + bytes, 0);
    file
}

fn main() {
    let folder = std::env::temp_dir().join(format!("weighbridge-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("large.safetensors");
    let gib: usize = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1);
    write(&path, [gib << 18, 1024]);
    reading(&path, gib << 30);
    slicing(&folder);
    let path = folder.join("small.safetensors");
    write(&path, [1 << 14, 1024]);
    stopping(&path, &folder);
    std::fs::remove_dir_all(folder).unwrap();
}
