//! What opening and scanning may hold at one time, counted by the allocator for every file of the tree, every
//! malformed one and every seed of the fuzzers, and for small files that claim much.
//!
//! The bound is 64 KiB + 4 × the bytes of metadata: all that is not the data of a tensor, and what compressed
//! members inflate to.

#![allow(missing_docs, unreachable_pub, unsafe_code)]

#[path = "support/allocation.rs"]
mod allocation;
mod support;

use std::io::Read;
use std::path::{Path, PathBuf};

use support::gguf::{Gguf, STRING};
use support::torch::{checkpoint, dict, pickle, storage, tensor, text};
use support::zip::{Zip, deflated};
use weighbridge::{Checkpoint, Content, OpenOptions, Scanner, Strictness};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// Memory is counted for the whole process: one test at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    let guard = ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    // Made once for the whole program.
    let _ = weighbridge::policy::Policy::default();
    guard
}

const SMALL: usize = 64 * 1024;

/// Every way to read a file.
const WAYS: [&str; 4] = ["strict", "lenient", "dangerous", "scan"];

fn options(way: &str) -> OpenOptions {
    OpenOptions::new()
        .strictness(if way == "strict" {
            Strictness::Strict
        } else {
            Strictness::Lenient
        })
        .allow_dangerous(way == "dangerous")
}

/// Peak heap of reading `file`, beyond the file itself.
fn peak(file: &'static [u8], way: &str) -> usize {
    let options = options(way);
    allocation::peak(|| match way {
        "scan" => drop(Scanner::new().bytes(file)),
        _ => drop(options.from_bytes(file)),
    })
}

/// Bytes that are not the data of a tensor; all of a file that does not open.
fn metadata_bytes(file: &'static [u8]) -> usize {
    let opened = options("dangerous").from_bytes(file);
    let tensors: u64 = opened.map_or(0, |model: Checkpoint| {
        let regions = model.layout();
        let tensors = regions
            .iter()
            .filter(|region| matches!(region.content, Content::Tensor(_)));
        tensors.map(|region| region.length).sum()
    });
    file.len() - tensors as usize + inflated_bytes(file)
}

/// What reading costs whatever the size; twice that where something may be inflated: an inflater's state is
/// 43 KiB, and buffers stand beside it.
fn small(file: &[u8]) -> usize {
    let holds = |magic: &[u8]| file.windows(magic.len()).any(|bytes| bytes == magic);
    let inflates = file.starts_with(b"\x1f\x8b") || file.starts_with(b"\x78");
    if inflates || holds(b"PK\x03\x04") {
        2 * SMALL
    } else {
        SMALL
    }
}

/// What a gzip file, or the deflated members of a zip, inflate to.
fn inflated_bytes(file: &[u8]) -> usize {
    if file.starts_with(b"\x1f\x8b") {
        let mut bytes = Vec::new();
        let _ = flate2::read::GzDecoder::new(file).read_to_end(&mut bytes);
        return bytes.len();
    }
    let records = file.windows(4).enumerate();
    let records = records.filter(|(_, bytes)| bytes == b"PK\x01\x02");
    let number = |at: usize, bytes: usize| {
        let bytes = file.get(at..at + bytes).unwrap_or_default();
        bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | usize::from(byte))
    };
    records
        .filter(|(at, _)| number(at + 10, 2) == 8)
        // No more than deflate could give.
        .map(|(at, _)| number(at + 24, 4).min(1032 * number(at + 20, 4)))
        .sum()
}

/// Every file of the tree that is no text, and every seed.
fn files() -> Vec<PathBuf> {
    let mut files = support::files_below(&support::file(""));
    files.retain(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        !matches!(extension, Some("py" | "err" | "json" | "jsonl" | "txt"))
    });
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    files.extend(support::files_below(&seeds));
    files
}

#[test]
fn every_file_is_read_within_4_times_its_metadata() {
    let _alone = alone();
    let files = files();
    let mut worst = Vec::new();
    for path in &files {
        let bytes: &'static [u8] = std::fs::read(path).unwrap().leak();
        let metadata = metadata_bytes(bytes);
        for way in WAYS {
            let peak = peak(bytes, way);
            let ratio = peak.saturating_sub(small(bytes)) as f64 / metadata.max(1) as f64;
            worst.push((ratio, peak, metadata, way, path.clone()));
        }
    }
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (ratio, peak, metadata, way, path) in worst.iter().take(12) {
        println!(
            "{ratio:.2} ({peak} for {metadata}) {way} {}",
            path.display()
        );
    }
    let (ratio, .., path) = &worst[0];
    assert!(*ratio <= 4.0, "{}: {ratio:.2}", path.display());
    assert!(files.len() > 600, "{} files", files.len());
}

/// Small files that claim 2^60 of each thing that a file can claim.
fn claims() -> Vec<(&'static str, Vec<u8>)> {
    let huge = 1_u64 << 60;
    let long = huge.to_le_bytes();
    let gguf = |pairs, tensors| {
        let file = Gguf {
            key_value_count: pairs,
            tensor_count: tensors,
            alignment: 1,
            ..Gguf::default()
        };
        file.build()
    };
    let tiny = || Gguf {
        alignment: 1,
        ..Gguf::default()
    };
    let raw = |body: &[&[u8]]| [b"\x80\x05", body.concat().as_slice()].concat();
    let safetensors = |shape: &str| {
        let info = format!(r#"{{"x":{{"dtype":"U8","shape":{shape},"data_offsets":[0,0]}}}}"#);
        support::safetensors::build(&info, &[])
    };
    let mut tar = support::tar::file("a", &[]);
    // Base 256: the highest bit, then the number.
    tar.size = [&[0x80, 0, 0, 0][..], &huge.to_be_bytes()].concat();
    let mut npy = b"\x93NUMPY\x01\0\x36\0".to_vec();
    npy.extend(b"{'descr':'<f4','fortran_order':0,'shape':(1<<60,)}    \n");
    let end = |count: u16, size: u32| {
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
        end.extend(size.to_le_bytes());
        end.extend([0; 6]);
        end
    };
    let mut members = support::torch::members(b"N.");
    members[0] = deflated("archive/data.pkl", b"N.");
    members[0].size = Some(u32::MAX);
    vec![
        ("keys of GGUF", gguf(Some(huge), None)),
        ("tensors of GGUF", gguf(None, Some(huge))),
        ("both of GGUF", gguf(Some(huge), Some(huge))),
        ("a key's length", [&gguf(Some(1), None)[..], &long].concat()),
        ("a string of GGUF", tiny().pair(b"k", STRING, &long).build()),
        (
            "an array of GGUF",
            tiny().pair_array("k", 0, huge, &[]).build(),
        ),
        (
            "an array of numbers",
            tiny().pair_array("k", 12, huge, &[]).build(),
        ),
        (
            "an array of strings",
            tiny().pair_array("k", STRING, huge, &[]).build(),
        ),
        (
            "an array of arrays",
            tiny().pair_array("k", 9, huge, &[]).build(),
        ),
        (
            "a dimension of GGUF",
            tiny().info(b"w", &[huge], 0, 0).build(),
        ),
        (
            "an offset of GGUF",
            tiny().info(b"w", &[1], 0, huge).build(),
        ),
        (
            "a tensor name's length",
            [&gguf(None, Some(1))[..], &long].concat(),
        ),
        (
            "a rank of GGUF",
            [
                &gguf(None, Some(1))[..],
                &1_u64.to_le_bytes(),
                b"w",
                &[255; 4],
            ]
            .concat(),
        ),
        ("a header's length", [&long[..], b"{}"].concat()),
        (
            "a header's largest length",
            [&100_000_000_u64.to_le_bytes()[..], b"{}"].concat(),
        ),
        (
            "a dimension of safetensors",
            safetensors("[1152921504606846976]"),
        ),
        ("an element of none", safetensors("[1152921504606846976,0]")),
        ("members of a zip", end(u16::MAX, 0)),
        ("a zip's directory", end(1, u32::MAX)),
        ("a member's size", Zip::of(members).build()),
        ("BINBYTES8", raw(&[b"\x8e", &long])),
        ("BINUNICODE8", raw(&[b"\x8d", &long])),
        ("BYTEARRAY8", raw(&[b"\x96", &long])),
        ("BINBYTES", raw(&[b"B\xff\xff\xff\xff"])),
        ("BINUNICODE", raw(&[b"X\xff\xff\xff\xff"])),
        ("BINSTRING", raw(&[b"T\xff\xff\xff\x7f"])),
        ("LONG4", raw(&[b"\x8b\xff\xff\xff\x7f"])),
        (
            "LONG4 of a negative length",
            raw(&[b"\x8b\xff\xff\xff\xff"]),
        ),
        ("FRAME", raw(&[b"\x95", &long, b"N."])),
        ("LONG_BINPUT", raw(&[b"Nr\xf0\xff\xff\xff."])),
        ("PUT", raw(&[b"Np1152921504606846976\n."])),
        ("LONG_BINGET", raw(&[b"j\xff\xff\xff\xff."])),
        ("EXT4", raw(&[b"\x84\xff\xff\xff\x7f."])),
        ("a member of a tar", support::tar::tar(&[tar])),
        ("an array of NumPy", npy),
        (
            "bytes in an archive",
            checkpoint(&pickle([&b"\x8e"[..], &long].concat())),
        ),
    ]
}

#[test]
fn a_few_bytes_that_claim_2_to_60_of_anything_cost_nothing() {
    let _alone = alone();
    let mut short = 0;
    for (name, file) in claims() {
        short += usize::from(file.len() <= 64);
        let file: &'static [u8] = file.leak();
        for way in WAYS {
            // What was allocated in all, not at one time: so a loop over the claim shows as well.
            let (calls, bytes) = allocation::total(|| {
                peak(file, way);
            });
            assert!(bytes < SMALL, "{name}, {way}: {bytes} bytes");
            assert!(calls < 300, "{name}, {way}: {calls} allocations");
        }
        let opened = OpenOptions::new().from_bytes(file);
        let harmless = matches!(name, "LONG_BINPUT" | "PUT" | "an element of none");
        assert!(opened.is_err() || harmless, "{name}: {opened:?}");
    }
    assert!(short >= 25, "{short} files of at most 64 bytes");
}

/// `n` infos of one form.
fn header(infos: usize, info: impl Fn(usize) -> String) -> Vec<u8> {
    let infos: Vec<String> = (0..infos).map(info).collect();
    support::safetensors::build(&format!("{{{}}}", infos.join(",")), &[])
}

fn ratio(file: Vec<u8>, way: &str) -> f64 {
    let file: &'static [u8] = file.leak();
    peak(file, way).saturating_sub(SMALL) as f64 / file.len() as f64
}

#[test]
fn large_headers_cost_a_small_multiple_of_their_size() {
    let _alone = alone();
    let zeros = |rank: usize| vec!["0"; rank].join(",");
    let dense = |rank: usize| {
        let shape = zeros(rank);
        header(1_600_000 / (2 * rank + 50), |at| {
            format!(r#""{at:x}":{{"dtype":"U8","shape":[{shape}],"data_offsets":[0,0]}}"#)
        })
    };
    let realistic = header(20_000, |at| {
        format!(
            r#""model.layers.{at}.self_attn.q_proj.weight":{{"dtype":"F32","shape":[0,4096],"data_offsets":[0,0]}}"#
        )
    });
    let info = r#":{"dtype":"U8","shape":[],"data_offsets":[0,0]}"#.replace("[]", "[0]");
    let shortest = header(20_000, |at| format!(r#""{at:x}"{info}"#));
    let pairs: Vec<String> = (0..20_000).map(|at| format!(r#""{at:x}":"""#)).collect();
    let metadata = format!(r#"{{"__metadata__":{{{}}}}}"#, pairs.join(","));
    let strings = [1_u64.to_le_bytes().as_slice(), b"a"].concat();
    let mut keys = Gguf::default();
    let mut infos = Gguf::default();
    for at in 0..20_000 {
        keys = keys.pair(format!("{at:x}").as_bytes(), 0, &[1]);
        infos = infos.info(format!("{at:x}").as_bytes(), &[0], 0, 0);
    }
    for (name, file, most) in [
        ("names as real ones", realistic, 3.0),
        ("the shortest names", shortest, 3.0),
        // A dimension of two characters is eight bytes in memory.
        ("a rank of 8", dense(8), 4.0),
        ("a rank of 64", dense(64), 4.0),
        // A pair of nine bytes is a record of 48 and its place in the order.
        (
            "metadata",
            support::safetensors::build(&metadata, &[]),
            12.0,
        ),
        // The shortest pair has 14 bytes.
        ("keys of GGUF", keys.build(), 4.5),
        // The shortest info has 33 bytes.
        ("tensors of GGUF", infos.build(), 5.0),
        (
            "strings of GGUF",
            Gguf::default()
                .pair_array("k", STRING, 100_000, &strings.repeat(100_000))
                .build(),
            0.1,
        ),
    ] {
        for way in ["strict", "scan"] {
            let found = ratio(file.clone(), way);
            println!("{found:.2} {way}: {name}");
            assert!(found <= most, "{name}, {way}: {found:.2} times the file");
        }
    }
}

/// Headers that took the reference crate 20 and 14 times their size: a rank of 20 million in 40 MB, and 1.7
/// million tensors of no bytes in 99 MB.
#[test]
fn bombs_of_the_reference_crate_are_refused_or_cheap() {
    let _alone = alone();
    let rank = header(1, |_| {
        let shape = vec!["1"; 20_000_000].join(",");
        format!(r#""x":{{"dtype":"U8","shape":[{shape}],"data_offsets":[0,1]}}"#)
    });
    let file: &'static [u8] = rank.leak();
    for way in WAYS {
        let peak = peak(file, way);
        assert!(
            peak < 2 * SMALL,
            "a rank of 20 million, {way}: {peak} bytes"
        );
    }
    let error = OpenOptions::new().from_bytes(file).unwrap_err();
    assert_eq!(
        error.as_limit().map(|(limit, ..)| limit),
        Some("rank"),
        "{error}"
    );
    // A debug build reads a tenth of it.
    let many = if cfg!(debug_assertions) {
        170_000
    } else {
        1_700_000
    };
    let empty = header(many, |at| {
        format!(r#""{at:x}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#)
    });
    let ratio = ratio(empty, "strict");
    println!("{ratio:.2}: {many} tensors of no bytes");
    assert!(ratio <= 4.0, "{ratio:.2} times the file");
}

/// An opcode of one byte makes a value of 16 bytes, a place on the stack, in the memo and in a container: so
/// the bound of a pickle that is nothing else is another, about 28. Numbers of two bytes, each listed as metadata
/// under a name of its own, take 80, as long as `Limits::metadata_entries` lists them. State dicts of the shortest
/// names take 6, those of the fixtures less than 4 (see above).
#[test]
fn the_densest_pickles_cost_at_most_90_times_their_size() {
    const MOST: f64 = 90.0;
    let _alone = alone();
    let many = 40_000;
    let list = |item: &[u8]| [b"](".to_vec(), item.repeat(many), b"e".to_vec()].concat();
    let names: Vec<(Vec<u8>, Vec<u8>)> = (0..many / 8)
        .map(|at| (text(&format!("{at}")), b"N".to_vec()))
        .collect();
    let tensors: Vec<(Vec<u8>, Vec<u8>)> = (0..many / 32)
        .map(|at| {
            let view = tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]);
            (text(&format!("{at}")), view)
        })
        .collect();
    let bodies = [
        ("None in a list", list(b"N")),
        ("None, memoized", list(b"N\x94")),
        ("empty tuples", list(b")")),
        ("empty lists", list(b"]")),
        ("empty dicts", list(b"}")),
        ("tuples of one", list(b"N\x85")),
        (
            "tuples in tuples",
            [b"N".to_vec(), vec![0x85; many]].concat(),
        ),
        (
            "lists in lists",
            [vec![b']'; many], vec![b'a'; many - 1]].concat(),
        ),
        ("marks", vec![b'('; many]),
        ("numbers", list(b"K\x01")),
        (
            "pairs",
            [b"}(".to_vec(), b"K\x01N".repeat(many), b"u".to_vec()].concat(),
        ),
        ("calls", list(b"N)R")),
        ("globals", list(b"ca\nb\n")),
        ("duplicates", list(b"2")),
        ("names", dict(&names)),
        ("tensors", dict(&tensors)),
    ];
    let mut worst = (0.0, "", "");
    for (name, body) in bodies {
        for (kind, file) in [
            ("in an archive", checkpoint(&pickle(body.clone()))),
            ("alone", pickle(body)),
        ] {
            for way in ["strict", "scan"] {
                let ratio = ratio(file.clone(), way);
                println!("{ratio:.2} {way}, {kind}: {name}");
                assert!(
                    ratio <= MOST,
                    "{name}, {kind}, {way}: {ratio:.2} times the file"
                );
                if ratio > worst.0 {
                    worst = (ratio, name, way);
                }
            }
        }
    }
    println!("{worst:?}");
}

/// A text of a megabyte that a memo gives to a thousand arrays is not decoded a thousand times.
#[test]
fn arrays_that_share_a_text_are_refused() {
    let _alone = alone();
    use support::torch::{call, global, int};
    let long = [text(&"a".repeat(100_000)), b"q\x01".to_vec(), b"0".to_vec()].concat();
    let array = |number: i32| {
        let data = call("_codecs", "encode", &[b"h\x01".to_vec(), text("latin1")]);
        let dtype = [
            call(
                "numpy",
                "dtype",
                &[text("u1"), b"\x89".to_vec(), b"\x88".to_vec()],
            ),
            b"(K\x03".to_vec(),
            text("|"),
            b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb".to_vec(),
        ];
        let empty = [
            global("numpy", "ndarray"),
            b"K\0\x85".to_vec(),
            b"C\x01b".to_vec(),
        ];
        let array = [
            call("numpy.core.multiarray", "_reconstruct", &empty),
            b"(K\x01".to_vec(),
            [int(100_000), b"\x85".to_vec()].concat(),
            dtype.concat(),
            b"\x89".to_vec(),
            data,
            b"tb".to_vec(),
        ];
        (text(&number.to_string()), array.concat())
    };
    let file = |arrays: i32| {
        let pairs: Vec<_> = (0..arrays).map(array).collect();
        checkpoint(&pickle([long.clone(), dict(&pairs)].concat()))
    };
    assert!(Checkpoint::from_bytes(file(1)).is_ok());
    let error = Checkpoint::from_bytes(file(1_000)).unwrap_err();
    assert_eq!(error.kind(), weighbridge::ErrorKind::Limit, "{error}");
    let ratio = ratio(file(1_000), "lenient");
    assert!(ratio <= 8.0, "{ratio:.2} times the file");
}
