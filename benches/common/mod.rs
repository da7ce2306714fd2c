//! What the benchmarks of dequantization share: files in memory, buffers, and medians of interleaved runs.
//! The package of peers includes this file too.

#![allow(missing_docs, dead_code, unreachable_pub)]

pub mod files;
pub mod record;

use std::time::{Duration, Instant};

use weighbridge::{Checkpoint, DType};

/// 64 Mi weights: an f32 output far beyond every cache.
pub const WEIGHTS: usize = 64 << 20;

/// Random blocks with ordinary scales, never the same block twice: signs that repeat would be learnt by
/// the branch predictor.
pub fn blocks(dtype: DType, weights: usize) -> Vec<u8> {
    let length = dtype.block_bytes();
    let total = weights / dtype.block_elements() * length;
    let mut bytes = Vec::with_capacity(total + 8);
    let mut step = 0_u64;
    while bytes.len() < total {
        step += 1;
        let mut word = step.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(total);
    let scales: Vec<usize> = match dtype {
        // f32.
        DType::Q8_K => vec![3],
        // The top nibbles of four words make the scale.
        DType::IQ1_M => vec![55],
        DType::MXFP4 => vec![0],
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => vec![length - 1],
        // The first half, and its neighbour where the type has a minimum; fields that repeat more often
        // are packed codes, behind the scale.
        dtype if dtype.block_elements() > 1 => {
            let halves = dtype.swapped_fields().iter().find(|field| field.bytes == 2);
            let ends = halves.into_iter().flat_map(|fields| {
                let count = if fields.count > 2 { 1 } else { fields.count };
                (0..count).map(|at| fields.offset + 2 * at + 1)
            });
            ends.collect()
        }
        _ => vec![],
    };
    for block in bytes.chunks_exact_mut(length) {
        for &at in &scales {
            block[at] = match dtype {
                DType::MXFP4 => 112 + block[at] % 16,
                DType::Q8_K => 0x3a | block[at] & 0x80,
                _ => 0x20 | block[at] & 0x8f,
            };
        }
    }
    bytes
}

/// A safetensors or GGUF file with one tensor `t`.
pub fn file(dtype: DType, data: &[u8]) -> Vec<u8> {
    let elements = data.len() / dtype.block_bytes() * dtype.block_elements();
    let mut file = Vec::with_capacity(data.len() + 128);
    if let Some(id) = dtype.ggml_id() {
        file.extend(b"GGUF\x03\0\0\0");
        file.extend(1_u64.to_le_bytes());
        file.extend(0_u64.to_le_bytes());
        file.extend(1_u64.to_le_bytes());
        file.extend(b"t");
        file.extend(2_u32.to_le_bytes());
        file.extend(4096_u64.to_le_bytes());
        file.extend((elements as u64 / 4096).to_le_bytes());
        file.extend(id.to_le_bytes());
        file.extend(0_u64.to_le_bytes());
        file.resize(file.len().next_multiple_of(32), 0);
    } else {
        let shape = format!("[{},4096]", elements / 4096);
        let header = format!(
            r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{}]}}}}"#,
            data.len()
        );
        file.extend((header.len() as u64).to_le_bytes());
        file.extend(header.as_bytes());
    }
    file.extend_from_slice(data);
    file
}

/// A checkpoint with one tensor `t` of `weights` random elements, in rows of 4,096.
pub fn checkpoint(dtype: DType, weights: usize) -> (Checkpoint, Vec<u8>) {
    let data = blocks(dtype, weights);
    let model = Checkpoint::from_bytes(file(dtype, &data)).unwrap();
    (model, data)
}

/// Every type that has values, block types first.
pub fn dtypes() -> Vec<DType> {
    let plain = [
        DType::F16,
        DType::BF16,
        DType::F32,
        DType::F64,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::U8,
        DType::U16,
        DType::F8_E4M3,
        DType::F8_E5M2,
        DType::F4,
    ];
    let blocks = DType::ALL
        .iter()
        .copied()
        .filter(|dtype| dtype.block_elements() >= 32 && dtype.ggml_id().is_some_and(|id| id < 100));
    blocks.chain(plain).collect()
}

/// Touched memory, page-aligned; on huge pages where the kernel has some.
pub fn buffer(bytes: usize, huge: bool) -> memmap2::MmapMut {
    let mut map = memmap2::MmapMut::map_anon(bytes).unwrap();
    #[cfg(target_os = "linux")]
    map.advise(if huge {
        memmap2::Advice::HugePage
    } else {
        memmap2::Advice::NoHugePage
    })
    .unwrap();
    #[cfg(not(target_os = "linux"))]
    let _ = huge;
    map.fill(1);
    map
}

/// The times of jobs that took turns: `times[job][round]`.
pub struct Times(Vec<Vec<Duration>>);

/// Runs every job in turn, round after round.
pub fn interleaved(rounds: usize, jobs: &mut [&mut dyn FnMut()]) -> Times {
    let mut times = vec![Vec::with_capacity(rounds); jobs.len()];
    for _ in 0..rounds {
        for (job, times) in jobs.iter_mut().zip(&mut times) {
            let start = Instant::now();
            job();
            times.push(start.elapsed());
        }
    }
    Times(times)
}

impl Times {
    /// The median of a job, in milliseconds.
    pub fn milliseconds(&self, job: usize) -> f64 {
        median(self.0[job].iter().map(|time| time.as_secs_f64() * 1e3))
    }

    /// The median over the rounds of one job's time divided by another's: what happens to the machine in
    /// a round happens to both.
    pub fn ratio(&self, job: usize, to: usize) -> f64 {
        let pairs = self.0[job].iter().zip(&self.0[to]);
        median(pairs.map(|(time, base)| time.as_secs_f64() / base.as_secs_f64()))
    }

    /// The ratio of the best times.
    pub fn best_ratio(&self, job: usize, to: usize) -> f64 {
        let best = |job: usize| self.0[job].iter().min().unwrap().as_secs_f64();
        best(job) / best(to)
    }
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The arguments that are no flags of cargo's.
pub fn arguments() -> Vec<String> {
    let all = std::env::args().skip(1);
    all.filter(|argument| !argument.starts_with("--")).collect()
}
