//! Parts of tensors: compared with NumPy, and with a model that walks index by index.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::path::PathBuf;

use serde_json::Value as Json;
use support::torch::{dict, pickle, storage, tensor, text};
use support::zip::{Zip, crc, entry};
use weighbridge::{Caller, Checkpoint, Error, TensorView};

/// `tests/files/slices`, or the folder that `tests/files/make_slices.py` wrote more cases to.
fn folder() -> PathBuf {
    match std::env::var_os("WEIGHBRIDGE_SLICES") {
        Some(folder) => folder.into(),
        None => support::file("slices"),
    }
}

fn ranges(case: &Json) -> Vec<[usize; 3]> {
    serde_json::from_value(case["ranges"].clone()).unwrap()
}

fn cut<'a>(whole: &TensorView<'a>, ranges: &[[usize; 3]]) -> Result<TensorView<'a>, Error> {
    ranges
        .iter()
        .try_fold(whole.clone(), |part, &[axis, start, end]| {
            part.narrow(axis, start..end)
        })
}

fn copied(tensor: &TensorView<'_>) -> Vec<u8> {
    let mut bytes = vec![0xa5; tensor.byte_length() as usize];
    tensor.copy_into(&mut bytes).unwrap();
    bytes
}

fn walked(tensor: &TensorView<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    tensor
        .for_each_chunk(|chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })
        .unwrap();
    bytes
}

#[test]
fn slices_are_those_of_numpy() {
    let folder = folder();
    let strided = weighbridge::open(folder.join("strided.pt")).unwrap();
    let blocks = weighbridge::open(folder.join("blocks.gguf")).unwrap();
    let cases = std::fs::read_to_string(folder.join("cases.jsonl")).unwrap();
    let (mut seen, mut cutting, mut of_blocks, mut not_contiguous) = (0, 0, 0, 0);
    for line in cases.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let name = case["tensor"].as_str().unwrap();
        let model = if name.contains('.') {
            &blocks
        } else {
            &strided
        };
        let whole = model.tensor(name).unwrap();
        let part = cut(&whole, &ranges(&case));
        seen += 1;
        if let Some(block) = case["cuts"].as_u64() {
            let error = part.expect_err(line);
            let Some(Caller::CutsBlock { block: named, .. }) = error.as_caller() else {
                panic!("{line}: {error}");
            };
            assert_eq!(*named as u64, block, "{line}");
            cutting += 1;
            continue;
        }
        let part = part.unwrap_or_else(|error| panic!("{line}: {error}"));
        let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).unwrap();
        assert_eq!(part.shape(), shape, "{line}");
        let bytes = copied(&part);
        assert_eq!(
            u64::from(crc(&bytes)),
            case["crc"].as_u64().unwrap(),
            "{line}"
        );
        assert_eq!(walked(&part), bytes, "{line}");
        of_blocks += usize::from(name.contains('.'));
        not_contiguous += usize::from(!part.is_contiguous());
        if let Ok(borrowed) = part.bytes() {
            assert_eq!(borrowed, bytes, "{line}");
        }
        if let Some(expected) = case["f32"].as_u64() {
            let mut values = vec![0.0_f32; part.elements()];
            part.dequantize_into(&mut values).unwrap();
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            assert_eq!(u64::from(crc(&bytes)), expected, "{line}");
        }
        // The same part of a tensor that is kept, and of one that was read.
        if seen % 16 == 0 {
            let mut kept = whole.to_shared();
            let mut read = whole.load().unwrap();
            for [axis, start, end] in ranges(&case) {
                kept = kept.narrow(axis, start..end).unwrap();
                read = read.narrow(axis, start..end).unwrap();
            }
            assert_eq!(copied(&kept.view()), bytes, "{line}");
            assert_eq!(copied(&read.view()), bytes, "{line}");
            assert_eq!(copied(&part.load().unwrap().view()), bytes, "{line}");
        }
    }
    println!(
        "{seen} cases, {of_blocks} of block types, {not_contiguous} strided, {cutting} cut a block"
    );
    assert!(seen >= 1000 && cutting * 50 > seen && of_blocks * 10 > seen);
}

/// A small generator (xorshift64*), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Classes of torch and the bytes of their elements.
const CLASSES: &[(&str, usize)] = &[
    ("ByteStorage", 1),
    ("HalfStorage", 2),
    ("FloatStorage", 4),
    ("DoubleStorage", 8),
    ("ComplexDoubleStorage", 16),
];

/// A tensor as the model sees it: any strides and offset inside its storage.
struct Modelled {
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    storage: Vec<u8>,
    element: usize,
}

impl Modelled {
    fn random(random: &mut Random, element: usize) -> Self {
        let rank = random.below(6);
        let shape: Vec<usize> = (0..rank)
            .map(|_| [0, 1, 2, 3, 5, 9][1 + random.below(5)])
            .collect();
        let strides: Vec<usize> = (0..rank).map(|_| random.below(14)).collect();
        let offset = random.below(6);
        let reach: usize = shape
            .iter()
            .zip(&strides)
            .map(|(&n, &step)| (n - 1) * step)
            .sum();
        let elements = offset + reach + 1 + random.below(3);
        let storage = (0..elements * element)
            .map(|_| random.next() as u8)
            .collect();
        Self {
            shape,
            strides,
            offset,
            storage,
            element,
        }
    }

    /// The bytes of a part, index by index.
    fn part(&self, starts: &[usize], shape: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let count: usize = shape.iter().product();
        for mut number in 0..count {
            let mut at = self.offset;
            for axis in (0..shape.len()).rev() {
                at += (starts[axis] + number % shape[axis]) * self.strides[axis];
                number /= shape[axis];
            }
            bytes.extend(&self.storage[at * self.element..][..self.element]);
        }
        bytes
    }
}

/// A checkpoint of these tensors, each with a storage of its own, named by its number.
fn checkpoint(tensors: &[Modelled]) -> Checkpoint {
    let int = |number: usize| i32::try_from(number).unwrap();
    let ints = |numbers: &[usize]| numbers.iter().map(|&n| int(n)).collect::<Vec<_>>();
    let mut pairs = Vec::new();
    let mut members = Vec::new();
    for (number, modelled) in tensors.iter().enumerate() {
        let key = number.to_string();
        let class = CLASSES
            .iter()
            .find(|(_, bytes)| *bytes == modelled.element)
            .unwrap();
        let elements = int(modelled.storage.len() / modelled.element);
        let value = tensor(
            storage(class.0, &key, elements),
            int(modelled.offset),
            &ints(&modelled.shape),
            &ints(&modelled.strides),
        );
        pairs.push((text(&key), value));
        members.push(entry(&format!("archive/data/{key}"), &modelled.storage));
    }
    let mut all = vec![entry("archive/data.pkl", &pickle(dict(&pairs)))];
    all.extend(members);
    all.push(entry("archive/version", b"3\n"));
    Checkpoint::from_bytes(Zip::of(all).build()).unwrap()
}

/// How many random cases; `WEIGHBRIDGE_CASES` asks for more.
fn cases() -> usize {
    let asked = std::env::var("WEIGHBRIDGE_CASES").ok();
    asked.map_or(20_000, |cases| cases.parse().unwrap())
}

#[test]
fn random_strides_and_ranges_are_what_a_walk_gives() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut done, mut refused) = (0, 0);
    while done < cases() {
        let tensors: Vec<Modelled> = (0..50)
            .map(|number| Modelled::random(&mut random, CLASSES[number % CLASSES.len()].1))
            .collect();
        let model = checkpoint(&tensors);
        for round in 0..500 {
            let number = round % tensors.len();
            let modelled = &tensors[number];
            let mut part = model.tensor(&number.to_string()).unwrap();
            let mut starts = vec![0; modelled.shape.len()];
            let mut shape = modelled.shape.clone();
            for _ in 0..random.below(5) {
                let axis = random.below(shape.len() + 1);
                let (start, end) = (random.below(11), random.below(11));
                let right = axis < shape.len() && start <= end && end <= shape[axis];
                match part.narrow(axis, start..end) {
                    Ok(narrowed) => {
                        assert!(right, "{axis} {start}..{end} of {shape:?}");
                        part = narrowed;
                        starts[axis] += start;
                        shape[axis] = end - start;
                    }
                    Err(error) => {
                        assert!(!right, "{error}");
                        assert!(matches!(error.as_caller(), Some(Caller::Range { .. })));
                        refused += 1;
                    }
                }
            }
            assert_eq!(part.shape(), shape);
            let expected = modelled.part(&starts, &shape);
            assert_eq!(copied(&part), expected, "{shape:?} {:?}", modelled.strides);
            assert_eq!(walked(&part), expected, "{shape:?} {:?}", modelled.strides);
            if part.is_contiguous() {
                assert_eq!(part.bytes().unwrap(), expected);
            }
            done += 1;
        }
    }
    println!("{done} cases, {refused} ranges refused");
    assert!(refused > done / 10);
}

#[test]
fn no_range_panics() {
    let model = weighbridge::open(support::file("safetensors/network.safetensors")).unwrap();
    let weight = model.tensor("embed.weight").unwrap();
    let rows = weight.shape()[0];
    #[allow(clippy::reversed_empty_ranges)]
    let backwards = weight.narrow(0, 3..1);
    let max = usize::MAX;
    for wrong in [
        backwards,
        weight.narrow(0, ..=max),
        weight.narrow(0, max..),
        weight.narrow(0, max..max),
        weight.narrow(
            0,
            (std::ops::Bound::Excluded(max), std::ops::Bound::Unbounded),
        ),
        weight.narrow(0, rows + 1..),
        weight.narrow(0, ..rows + 1),
        weight.narrow(2, ..),
        weight.narrow(max, ..),
        weight.narrow_to_rank(2, 0, 1),
        weight.narrow_to_rank(0, 0, 0),
        weight.narrow_to_rank(0, 4, 4),
        weight.narrow_to_rank(0, 0, max),
        weight.narrow_to_rank(0, max, max),
    ] {
        let error = wrong.unwrap_err();
        assert_eq!(error.tensor(), Some("embed.weight"));
        assert!(matches!(
            error.as_caller(),
            Some(Caller::Range { .. } | Caller::Ranks { .. })
        ));
    }
    assert_eq!(weight.narrow(0, rows..).unwrap().elements(), 0);
    assert_eq!(weight.narrow(0, 1..=1).unwrap().shape()[0], 1);
}

#[test]
fn the_parts_of_all_ranks_are_the_whole() {
    let model = weighbridge::open(support::file("safetensors/network.safetensors")).unwrap();
    let weight = model.tensor("embed.weight").unwrap();
    let (rows, columns) = (weight.shape()[0], weight.shape()[1]);
    let whole = weight.as_slice::<f32>().unwrap();
    for world_size in [1, 2, 4] {
        for axis in 0..2 {
            for rank in 0..world_size {
                let part = weight.narrow_to_rank(axis, rank, world_size).unwrap();
                let mut values = vec![0.0_f32; part.elements()];
                part.dequantize_into(&mut values).unwrap();
                let (height, width) = (part.shape()[0], part.shape()[1]);
                let (top, left) = match axis {
                    0 => (rank * rows / world_size, 0),
                    _ => (0, rank * columns / world_size),
                };
                for (number, value) in values.iter().enumerate() {
                    let (row, column) = (top + number / width, left + number % width);
                    assert_eq!(*value, whole[row * columns + column]);
                }
                assert_eq!(height * width * world_size, rows * columns);
            }
        }
    }
    // Rows of one rank are the file's own bytes; so is what a range of them is.
    let mine = weight.narrow_to_rank(0, 1, 2).unwrap();
    assert_eq!(mine.as_slice::<f32>().unwrap(), &whole[whole.len() / 2..]);
}
