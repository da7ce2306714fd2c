//! What a file may ask for: bombs by a counting allocator, and each limit from both sides. Memory of honest files
//! stands in `memory.rs`, depth in `stack.rs`.

#![allow(missing_docs, unreachable_pub, unsafe_code)]

#[path = "support/allocation.rs"]
mod allocation;
mod support;

use support::gguf::Gguf;
use support::torch::{checkpoint, dict, int, pickle, storage, tensor, text};
use support::zip::{Zip, deflated};
use weighbridge::limits::Limit;
use weighbridge::{Checkpoint, Limits, OpenOptions, Strictness};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// Memory is counted for the whole process: one test at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Peak heap of opening `file`, beyond the file itself.
fn peak(file: &[u8]) -> usize {
    let bytes: &'static [u8] = Vec::leak(file.to_vec());
    allocation::peak(|| drop(Checkpoint::from_bytes(bytes)))
}

const SMALL: usize = 64 * 1024;

#[test]
fn bombs_are_cheap() {
    let _alone = alone();
    // Each list holds the one before twice: 2^64 leaves in a few hundred bytes.
    let mut doubling = b"](NNeq\0".to_vec();
    for level in 1..64_u8 {
        doubling.extend([
            b']',
            b'(',
            b'h',
            level - 1,
            b'h',
            level - 1,
            b'e',
            b'q',
            level,
        ]);
    }
    let nested_tuples = [b"N".to_vec(), vec![0x85; 1_000_000]].concat();
    let nested_lists = [vec![b']'; 1_000_000], vec![b'a'; 999_999]].concat();
    let marks = vec![b'('; 1_000_000];
    let cycle = b"}q\0U\x01xh\0s".to_vec();
    let pairs: Vec<u8> = [
        b"}(".to_vec(),
        [int(1), int(2)].concat().repeat(200_000),
        b"u".to_vec(),
    ]
    .concat();
    // Each number lies just below twice the last.
    let mut memo = b"N".to_vec();
    for bit in 0..30 {
        memo.extend([&b"r"[..], &(60_u32 << bit).to_le_bytes()].concat());
    }
    let key = text(&"k".repeat(60_000));
    let one = tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]);
    let list = |item: &[u8]| [b"](".to_vec(), item.repeat(50_000), b"e".to_vec()].concat();
    let values = dict(&[(key.clone(), list(b"K\x01"))]);
    let shared = [
        one,
        b"q\x01".to_vec(),
        b"0".to_vec(),
        dict(&[(key, list(b"h\x01"))]),
    ]
    .concat();
    let tensors = shared;
    let bombs = [
        ("doubling", pickle(doubling)),
        ("nested tuples", pickle(nested_tuples)),
        ("nested lists", pickle(nested_lists)),
        ("marks", pickle(marks)),
        ("cycle", pickle(cycle)),
        ("pairs", pickle(pairs)),
        ("memo", pickle(memo)),
        ("long key over many values", pickle(values)),
        ("long key over many tensors", pickle(tensors)),
    ];
    for (name, bomb) in bombs {
        let file = checkpoint(&bomb);
        let peak = peak(&file);
        assert!(
            peak <= SMALL * 2 + 80 * file.len(),
            "{name}: {peak} bytes for {}",
            file.len()
        );
    }
    let mut members = support::torch::members(b"");
    members[0] = deflated("archive/data.pkl", &vec![0; 64 << 20]);
    let file = Zip::of(members).build();
    let mut limits = Limits::default();
    limits.inflated_bytes = 1 << 20;
    limits.inflate_ratio = u64::MAX;
    let bytes: &'static [u8] = Vec::leak(file);
    let peak = allocation::peak(|| {
        let error = OpenOptions::new()
            .limits(limits)
            .from_bytes(bytes)
            .unwrap_err();
        assert_eq!(
            error.as_limit().map(|(limit, ..)| limit),
            Some("inflated_bytes")
        );
    });
    assert!(peak < SMALL, "deflate bomb: {peak} bytes");
}

#[test]
fn a_view_of_2_to_40_elements_costs_nothing_until_it_is_copied() {
    let _alone = alone();
    let view = tensor(
        storage("FloatStorage", "0", 2),
        0,
        &[1 << 20, 1 << 20],
        &[0, 0],
    );
    let file: &'static [u8] = Vec::leak(checkpoint(&pickle(dict(&[(text("x"), view)]))));
    // The table of known globals is made once, by whichever test comes first.
    drop(Checkpoint::from_bytes(file).unwrap());
    let peak = allocation::peak(|| {
        let model = Checkpoint::from_bytes(file).unwrap();
        let tensor = model.tensor("x").unwrap();
        assert_eq!(tensor.elements(), 1 << 40);
        let error = tensor.for_each_chunk(|_| Ok(())).unwrap_err();
        assert_eq!(error.as_limit(), Some(("expanded_bytes", 4 << 40, 1 << 30)));
        // Neither by rows, nor by elements of one row.
        for part in [tensor.clone(), tensor.narrow(0, ..1 << 10).unwrap()] {
            let error = part.difference(&part).unwrap_err();
            assert_eq!(error.as_limit().unwrap().0, "expanded_bytes");
            let error = part.has_same_elements(&part).unwrap_err();
            assert_eq!(error.as_limit().unwrap().0, "expanded_bytes");
        }
        let corner = tensor.narrow(0, 7..9).unwrap().narrow(1, ..3).unwrap();
        let mut values = [0.0_f32; 6];
        corner.dequantize_into(&mut values).unwrap();
        assert_eq!(values, [1.0; 6]);
    });
    assert!(peak < SMALL, "{peak} bytes");
}

#[test]
fn a_million_of_anything_costs_a_million_steps() {
    let _alone = alone();
    // Each of these took quadratic time before it was bounded: the test would not end.
    let many = 300_000;
    let itself = [b"}q\0(".to_vec(), b"K\x01h\0".repeat(many), b"u".to_vec()].concat();
    let calls = [b"](".to_vec(), b"N)R".repeat(many), b"e".to_vec()].concat();
    let names: Vec<Vec<u8>> = (0..many / 4).map(|at| text(&format!("{at:06}"))).collect();
    let buffers: Vec<(Vec<u8>, Vec<u8>)> = names
        .iter()
        .map(|name| (name.clone(), b"N".to_vec()))
        .collect();
    let hidden = [b"\x8f(".to_vec(), names.concat(), b"\x90".to_vec()].concat();
    let module = dict(&[
        (text("_parameters"), b"}".to_vec()),
        (text("_modules"), b"}".to_vec()),
        (text("_buffers"), dict(&buffers)),
        (text("_non_persistent_buffers_set"), hidden),
    ]);
    let module = [b"cm\nM\n)\x81".to_vec(), module, b"b".to_vec()].concat();
    let shared = [
        b"](".to_vec(),
        b"N".repeat(many),
        b"eq\x010](".to_vec(),
        b"h\x01".repeat(many),
        b"e".to_vec(),
    ]
    .concat();
    for (name, body) in [
        ("itself", itself),
        ("calls", calls),
        ("module", module),
        ("shared", shared),
    ] {
        let file = checkpoint(&pickle(body));
        let opened = OpenOptions::new().allow_dangerous(true).from_bytes(file);
        // The shared list stands for 9 * 10^10 values: more than the walk may visit.
        assert_eq!(opened.is_ok(), name != "shared", "{name}: {opened:?}");
    }
}

/// A file that needs exactly `needed` of one limit.
struct Case {
    limit: Limit,
    needed: u64,
    file: Vec<u8>,
    strictness: Strictness,
}

fn cases() -> Vec<Case> {
    let strict = |limit, needed, file| Case {
        limit,
        needed,
        file,
        strictness: Strictness::Strict,
    };
    let x = r#"{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#;
    let two = r#"{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"y":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
    let st = |header: &str| support::safetensors::build(header, &[1, 2]);
    let plain = support::torch::good_pickle();
    let archive = checkpoint(&plain);
    let directory: u64 = ["data.pkl", "data/0", "version"]
        .iter()
        .map(|name| 46 + 8 + name.len() as u64)
        .sum();
    let small = Zip::of({
        let mut members = support::torch::members(&plain);
        members[0] = deflated("archive/data.pkl", &plain);
        members
    });
    let ratio = plain.len() as u64 / small.entries[0].data.len() as u64;
    let level = |depth: usize| {
        let level = [9_u32.to_le_bytes().as_slice(), &1_u64.to_le_bytes()].concat();
        let innermost = [0_u32.to_le_bytes().as_slice(), &0_u64.to_le_bytes()].concat();
        Gguf::default()
            .pair(b"a", 9, &[level.repeat(depth - 1), innermost].concat())
            .build()
    };
    vec![
        strict(Limit::HeaderBytes, x.len() as u64, st(x)),
        strict(Limit::Tensors, 2, st(two)),
        strict(
            Limit::MetadataEntries,
            2,
            Gguf::default().pair_u32("a", 1).pair_u32("b", 2).build(),
        ),
        strict(
            Limit::NameBytes,
            5,
            Gguf::default().pair_u32("abcde", 1).build(),
        ),
        strict(
            Limit::StringBytes,
            5,
            Gguf::default().pair_string("a", b"hello").build(),
        ),
        strict(
            Limit::ArrayElements,
            3,
            Gguf::default().pair_array("a", 0, 3, &[1, 2, 3]).build(),
        ),
        Case {
            limit: Limit::ArrayDepth,
            needed: 3,
            file: level(3),
            strictness: Strictness::Lenient,
        },
        strict(Limit::Rank, 1, st(x)),
        strict(
            Limit::Alignment,
            64,
            Gguf::default().pair_u32("general.alignment", 64).build(),
        ),
        strict(Limit::ArchiveMembers, 3, archive.clone()),
        strict(Limit::DirectoryBytes, directory, archive.clone()),
        strict(Limit::InflatedBytes, plain.len() as u64, small.build()),
        strict(Limit::InflateRatio, ratio, small.build()),
        strict(Limit::PickleBytes, plain.len() as u64, archive),
        strict(
            Limit::PickleOpcodes,
            5,
            checkpoint(&pickle(b"NN0".to_vec())),
        ),
        strict(
            Limit::PickleStack,
            3,
            checkpoint(&pickle(b"NNN00".to_vec())),
        ),
        strict(
            Limit::PickleDigits,
            5,
            checkpoint(&pickle(b"I12345\n".to_vec())),
        ),
        strict(
            Limit::Nesting,
            3,
            checkpoint(&pickle(b"N\x85\x85\x85".to_vec())),
        ),
    ]
}

/// Limits that one number of one file in memory cannot reach, and the tests below that try them.
const ELSEWHERE: &[(Limit, &str)] = &[
    (Limit::HeapBytes, "the_heap_is_limited_to_the_byte"),
    (
        Limit::ExpandedBytes,
        "copies_of_stride_0_are_limited_to_the_byte",
    ),
    (Limit::Shards, "shards_are_limited_to_the_file"),
];

#[test]
fn every_limit_is_enforced_just_under_and_just_over() {
    let _alone = alone();
    let cases = cases();
    for &limit in Limit::ALL {
        let elsewhere = ELSEWHERE.iter().any(|(known, _)| *known == limit);
        let case = cases.iter().find(|case| case.limit == limit);
        let Some(case) = case else {
            assert!(elsewhere, "{} is never tried", limit.name());
            continue;
        };
        let open = |allowed| {
            let mut limits = Limits::default();
            *limit.of_mut(&mut limits) = allowed;
            let options = OpenOptions::new()
                .limits(limits)
                .strictness(case.strictness);
            options.from_bytes(case.file.clone())
        };
        let under = open(case.needed);
        assert!(under.is_ok(), "{}: {:?}", limit.name(), under.err());
        let over = open(case.needed - 1).unwrap_err();
        assert_eq!(
            over.as_limit().map(|(name, ..)| name),
            Some(limit.name()),
            "{over}"
        );
    }
}

fn limited(limit: Limit, allowed: u64) -> OpenOptions {
    let mut limits = Limits::default();
    *limit.of_mut(&mut limits) = allowed;
    OpenOptions::new().limits(limits)
}

/// Files of each kind open with exactly the heap that they need, and not with a byte less.
#[test]
fn the_heap_is_limited_to_the_byte() {
    let _alone = alone();
    let files = [
        support::safetensors::with_info(r#"{"dtype":"U8","shape":[2],"data_offsets":[0,2]}"#),
        Gguf::default()
            .pair_u32("a", 1)
            .tensor("x", &[1], 0, &[0; 4])
            .build(),
        checkpoint(&support::torch::good_pickle()),
    ];
    for file in files {
        let opens = |heap: u64| limited(Limit::HeapBytes, heap).from_bytes(file.clone());
        let (mut under, mut over) = (0, 1 << 20);
        assert!(opens(over).is_ok() && opens(under).is_err());
        while over - under > 1 {
            let middle = (under + over) / 2;
            match opens(middle) {
                Ok(_) => over = middle,
                Err(error) => {
                    let (limit, needed, allowed) = error.as_limit().unwrap();
                    assert_eq!((limit, allowed), ("heap_bytes", middle));
                    assert!(needed > middle);
                    under = middle;
                }
            }
        }
        assert!(opens(over).is_ok() && opens(under).is_err(), "{over}");
    }
}

#[test]
fn copies_of_stride_0_are_limited_to_the_byte() {
    let _alone = alone();
    let view = tensor(storage("FloatStorage", "0", 2), 0, &[10, 2], &[0, 1]);
    let file = checkpoint(&pickle(dict(&[(text("x"), view)])));
    for (allowed, fits) in [(80, true), (79, false)] {
        let model = limited(Limit::ExpandedBytes, allowed);
        let model = model.from_bytes(file.clone()).unwrap();
        let tensor = model.tensor("x").unwrap();
        let chunks = tensor.for_each_chunk(|_| Ok(()));
        let limit = chunks.err().and_then(|error| error.as_limit());
        let expected = (!fits).then_some(("expanded_bytes", 80, allowed));
        assert_eq!(limit, expected);
    }
}

#[test]
fn shards_are_limited_to_the_file() {
    let _alone = alone();
    let sharded = support::file("safetensors/sharded");
    let index = support::files_below(&sharded)
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(".index.json"))
        .unwrap();
    let split = support::files_below(&support::file("gguf/split"));
    for first in [index, split[0].clone()] {
        let whole = weighbridge::open(&first).unwrap();
        let needed = whole.files().len() as u64;
        assert!(needed > 1);
        assert!(limited(Limit::Shards, needed).open(&first).is_ok());
        let error = limited(Limit::Shards, needed - 1).open(&first).unwrap_err();
        assert_eq!(
            error.as_limit(),
            Some(("shards", needed, needed - 1)),
            "{error}"
        );
    }
}

/// Every file of the official writers is small enough for a service that takes files from anybody.
#[test]
fn every_fixture_opens_under_paranoid_limits() {
    let _alone = alone();
    let (mut opened, mut refused) = (0, Vec::new());
    for folder in ["safetensors", "gguf", "torch", "old_torch", "slices"] {
        for path in support::files_below(&support::file(folder)) {
            let Ok(model) = weighbridge::open(&path) else {
                continue;
            };
            let paranoid = OpenOptions::new().limits(Limits::paranoid()).open(&path);
            match paranoid {
                Ok(paranoid) => assert_eq!(paranoid.len(), model.len()),
                Err(error) => refused.push((error.as_limit().unwrap().0, path)),
            }
            opened += 1;
        }
    }
    // NumPy's most: a tensor of 64 dimensions is no model's.
    refused.retain(|(limit, path)| *limit != "rank" || !path.ends_with("high_rank.safetensors"));
    assert!(refused.is_empty(), "{refused:?}");
    assert!(opened > 180, "{opened} files");
}

/// The rows of the table are the fields of the struct, and each preset keeps its promise.
#[test]
fn presets_differ_as_they_say() {
    assert_eq!(Limit::ALL.len(), 21);
    for &limit in Limit::ALL {
        let of = |limits: &Limits| limit.of(limits);
        let (paranoid, usual) = (of(&Limits::paranoid()), of(&Limits::default()));
        assert!(paranoid <= usual, "{}", limit.name());
        assert!(paranoid > 0, "{}", limit.name());
        assert_eq!(of(&Limits::trusted()), u64::MAX, "{}", limit.name());
    }
}

#[test]
fn the_heap_limit_stops_a_large_header() {
    let _alone = alone();
    let infos: Vec<String> = (0..10_000)
        .map(|at| format!(r#""{at}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    let file = support::safetensors::build(&format!("{{{}}}", infos.join(",")), &[]);
    let mut limits = Limits::default();
    limits.heap_bytes = 100_000;
    let bytes: &'static [u8] = Vec::leak(file);
    let peak = allocation::peak(|| {
        let error = OpenOptions::new()
            .limits(limits)
            .from_bytes(bytes)
            .unwrap_err();
        assert_eq!(
            error.as_limit().map(|(limit, ..)| limit),
            Some("heap_bytes")
        );
    });
    // While a list moves to a larger place, both stand for a moment.
    assert!(peak < 200_000, "{peak} bytes");
}
