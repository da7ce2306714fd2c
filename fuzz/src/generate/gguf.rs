//! GGUF files: versions 1 to 3, either byte order, every value type and tensor type, alignments.

use weighbridge::DType;

use super::{Expected, Made, Maker};
use crate::builders::gguf::{ARRAY, Gguf, STRING};

/// Keys that accessors ask for.
const KEYS: &[&str] = &[
    "general.architecture",
    "general.name",
    "general.file_type",
    "general.quantization_version",
    "llama.block_count",
    "llama.context_length",
    "llama.embedding_length",
    "llama.feed_forward_length",
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
    "llama.attention.layer_norm_rms_epsilon",
    "llama.rope.freq_base",
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.seperator_token_id",
    "tokenizer.chat_template",
    "tokenizer.chat_template.tool_use",
];

/// Bytes of a number of each value type; strings and arrays have none.
const BYTES: &[usize] = &[1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

/// A file from the fuzzer's bytes.
#[must_use]
pub fn make(data: &[u8]) -> Made {
    let mut maker = Maker::new(data);
    let mut file = Gguf {
        version: [3, 2, 1][maker.below(3)],
        big_endian: maker.below(4) == 3,
        ..Gguf::default()
    };
    if maker.oddly() {
        file.version = maker.number(3) as u32;
    }
    let mut used = Vec::new();
    if maker.coin() {
        file = file.pair_string("general.architecture", b"llama");
        used.push(String::from("general.architecture"));
    }
    if maker.coin() {
        let alignment = *maker.pick(&[32, 8, 16, 64, 128]);
        file.alignment = alignment;
        let stated = maker.number(alignment) as u32;
        file = file.pair_u32("general.alignment", stated);
    }
    for _ in 0..maker.below(8) {
        file = pair(&mut maker, file, &mut used);
    }
    let types: Vec<DType> = DType::ALL
        .iter()
        .copied()
        .filter(|dtype| dtype.ggml_id().is_some())
        .collect();
    let mut tensors = Vec::new();
    let mut names = Vec::new();
    for _ in 0..maker.below(6) {
        file = tensor(&mut maker, file, &types, &mut names, &mut tensors);
    }
    let mut bytes = file.build();
    if maker.oddly() {
        bytes.truncate(usize::from(maker.byte()) * bytes.len() / 256);
    }
    Made {
        file: bytes,
        tensors,
        is_odd: maker.is_odd,
    }
}

fn pair(maker: &mut Maker<'_>, file: Gguf, used: &mut Vec<String>) -> Gguf {
    let mut key = match maker.coin() {
        true => (*maker.pick(KEYS)).to_owned(),
        false => maker.name(),
    };
    while used.contains(&key) {
        key.push('1');
    }
    if maker.oddly() {
        key = used.first().cloned().unwrap_or_default();
    }
    used.push(key.clone());
    let value_type = maker.below(13) as u32;
    let value = value(maker, &file, value_type, true);
    let stated = maker.number(value_type.into()) as u32;
    file.pair(key.as_bytes(), stated, &value)
}

fn value(maker: &mut Maker<'_>, file: &Gguf, value_type: u32, nested: bool) -> Vec<u8> {
    match value_type {
        STRING => {
            let mut text = maker.name().into_bytes();
            if maker.oddly() {
                text.push(0xff);
            }
            let length = length(maker, file, text.len());
            [length, text].concat()
        }
        ARRAY => {
            let element = match maker.oddly() && nested {
                true => ARRAY,
                false => [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12][maker.below(12)],
            };
            let count = maker.below(6);
            let stated = length(maker, file, count);
            let elements: Vec<u8> = (0..count)
                .flat_map(|_| value(maker, file, element, false))
                .collect();
            [file.u32(element), stated, elements].concat()
        }
        7 => match maker.oddly() {
            true => vec![2],
            false => vec![maker.byte() & 1],
        },
        number => maker.bytes(BYTES[number as usize]),
    }
}

/// A length as the file's version has it.
fn length(maker: &mut Maker<'_>, file: &Gguf, right: usize) -> Vec<u8> {
    let length = maker.number(right as u64);
    match file.version {
        1 => file.u32(length as u32),
        _ => file.u64(length),
    }
}

fn tensor(
    maker: &mut Maker<'_>,
    file: Gguf,
    types: &[DType],
    names: &mut Vec<String>,
    tensors: &mut Vec<Expected>,
) -> Gguf {
    let name = maker.new_name(names);
    let dtype = *maker.pick(types);
    // Innermost first.
    let mut dimensions: Vec<u64> = (0..=maker.below(4))
        .map(|_| maker.below(4) as u64)
        .collect();
    dimensions[0] *= dtype.block_elements() as u64;
    let elements: u64 = dimensions.iter().product();
    let length = (elements as usize) / dtype.block_elements() * dtype.block_bytes();
    let stored = maker.bytes(length);
    let mut bytes = stored.clone();
    if file.big_endian {
        swap(dtype, &mut bytes);
    }
    tensors.push(Expected {
        name: name.clone(),
        dtype: dtype.name().to_owned(),
        shape: dimensions
            .iter()
            .rev()
            .map(|&length| length as usize)
            .collect(),
        bytes,
    });
    let stated: Vec<u64> = dimensions
        .iter()
        .map(|&length| maker.number(length))
        .collect();
    let id = maker.number(dtype.ggml_id().unwrap_or_default().into()) as u32;
    let offset = maker.number(file.data.len() as u64);
    if file.version == 1 && stated.iter().any(|&length| length > u32::MAX.into()) {
        return file;
    }
    let mut file = file
        .info(name.as_bytes(), &stated, id, offset)
        .data(&stored);
    let padded = file.data.len().next_multiple_of(file.alignment as usize);
    file.data.resize(padded, 0);
    file
}

/// Swaps what a big-endian file stores swapped.
fn swap(dtype: DType, bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
        for fields in dtype.swapped_fields() {
            for field in 0..fields.count {
                let start = fields.offset + field * fields.bytes;
                block[start..start + fields.bytes].reverse();
            }
        }
    }
}
