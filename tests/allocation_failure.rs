//! Memory that cannot be had is an error: each allocation of 48 KiB and more fails once, for every file that
//! needs any.
//!
//! A failure that the library does not expect aborts the process: each file has a process of its own.

#![allow(missing_docs, unreachable_pub, unsafe_code)]

#[path = "support/allocation.rs"]
mod allocation;
#[path = "support/failing_files.rs"]
mod failing_files;
mod support;

use failing_files::{LONG_RANK, Made};

use support::gguf::{Gguf, STRING};
use support::torch::{checkpoint, dict, pickle, storage, tensor, text};
use support::zip::{Zip, deflated};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

const MANY: usize = 1_200;

fn name(at: usize) -> String {
    format!("model.layers.{at}.weight")
}

fn safetensors() -> Vec<u8> {
    let infos: Vec<String> = (0..MANY)
        .map(|at| {
            let name = name(at);
            format!(r#""{name}":{{"dtype":"U8","shape":[0,1,2,3],"data_offsets":[0,0]}}"#)
        })
        .collect();
    let metadata: Vec<String> = (0..MANY)
        .map(|at| format!(r#""k\u0041{at}":"value {at}""#))
        .collect();
    let header = format!(
        r#"{{"__metadata__":{{{}}},{}}}"#,
        metadata.join(","),
        infos.join(",")
    );
    support::safetensors::build(&header, &[])
}

fn gguf() -> Vec<u8> {
    let mut file = Gguf::default();
    for at in 0..MANY {
        file = file.pair_u32(&format!("key.{at}"), 1);
        file = file.info(name(at).as_bytes(), &[0, 2, 3], 0, 0);
    }
    let strings = [3_u64.to_le_bytes().as_slice(), b"abc"].concat();
    file = file.pair_array("strings", STRING, 20_000, &strings.repeat(20_000));
    file.pair_string("long", &vec![b'a'; 200_000]).build()
}

/// A state dict of many tensors, with what else checkpoints hold.
fn pickled() -> Vec<u8> {
    let tensors = (0..MANY / 4).map(|at| {
        let view = tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]);
        (text(&name(at)), view)
    });
    pickle_of(tensors.collect())
}

fn plain_pickle() -> Vec<u8> {
    pickle_of(Vec::new())
}

/// A pickle of these pairs and of numbers, texts, lists, a large memo.
fn pickle_of(mut pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    let numbers = [b"](".to_vec(), b"K\x01".repeat(MANY), b"e".to_vec()].concat();
    pairs.push((text("numbers"), numbers));
    let words: Vec<u8> = (0..MANY).flat_map(|at| text(&format!("{at}"))).collect();
    pairs.push((
        text("words"),
        [b"](".to_vec(), words, b"e".to_vec()].concat(),
    ));
    let keys = (0..MANY).map(|at| (text(&format!("{at}")), text("value")));
    pairs.push((text("hyper_parameters"), dict(&keys.collect::<Vec<_>>())));
    let memo: Vec<u8> = (0..MANY as u32)
        .flat_map(|at| {
            [
                b"N".to_vec(),
                b"r".to_vec(),
                at.to_le_bytes().to_vec(),
                b"0".to_vec(),
            ]
            .concat()
        })
        .collect();
    let escaped = [b"V".to_vec(), b"\\u0041".repeat(40_000), b"\n0".to_vec()].concat();
    pickle([memo, escaped, dict(&pairs)].concat())
}

fn archive() -> Vec<u8> {
    checkpoint(&pickled())
}

/// Bytes that do not deflate to nothing.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn deflated_archive() -> Vec<u8> {
    let mut members = support::torch::members(&pickled());
    members[0] = deflated("archive/data.pkl", &pickled());
    members.push(deflated("archive/data/1", &noise(100_000)));
    Zip::of(members).build()
}

/// An archive of many members, each a storage of a tensor.
fn members() -> Vec<u8> {
    let many = 600;
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = (0..many)
        .map(|at| {
            let storage = storage("FloatStorage", &at.to_string(), 2);
            (text(&name(at)), tensor(storage, 0, &[2], &[1]))
        })
        .collect();
    let mut members = support::torch::members(&pickle(dict(&pairs)));
    members.remove(1);
    for at in 0..many {
        members.push(support::zip::entry(&format!("archive/data/{at}"), &[0; 8]));
    }
    Zip::of(members).build()
}

/// An archive of storages that no tensor uses.
fn unused_storages() -> Vec<u8> {
    let mut members = support::torch::members(&pickle(dict(&[])));
    for at in 1..4_096 {
        members.push(support::zip::entry(&format!("archive/data/{at}"), &[0; 8]));
    }
    Zip::of(members).build()
}

/// A tensor of so many dimensions that their sizes need a large allocation.
fn long_shape() -> Vec<u8> {
    let ones = vec![1; LONG_RANK];
    let view = tensor(storage("FloatStorage", "0", 2), 0, &ones, &ones);
    checkpoint(&pickle(dict(&[(text("x"), view)])))
}

fn dangerous() -> Vec<u8> {
    let calls: Vec<u8> = (0..MANY)
        .flat_map(|at| {
            [
                format!("cos\nf{at}\n").into_bytes(),
                text("id"),
                b"\x85R".to_vec(),
            ]
            .concat()
        })
        .collect();
    pickle([b"](".to_vec(), calls, b"e".to_vec()].concat())
}

fn tarred() -> Vec<u8> {
    let mut entries = vec![
        support::tar::file("a.pt", &archive()),
        support::tar::file("b.pt", &long_shape()),
    ];
    for at in 0..1_000 {
        entries.push(support::tar::file(&format!("file {at}"), &[1]));
    }
    support::tar::tar(&entries)
}

/// A stream of torch 0.4, with so many storages that their list needs a large allocation.
fn legacy() -> Vec<u8> {
    let id = |key: usize| {
        let parts = [
            text("storage"),
            support::torch::global("torch", "FloatStorage"),
            text(&key.to_string()),
            text("cpu"),
            support::torch::int(2),
            b"N".to_vec(),
        ];
        [support::torch::tuple(&parts), b"Q".to_vec()].concat()
    };
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = (0..MANY)
        .map(|at| (text(&name(at)), tensor(id(at), 0, &[2], &[1])))
        .collect();
    let keys: Vec<u8> = (0..MANY).flat_map(|at| text(&at.to_string())).collect();
    let mut file = pickle(b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19".to_vec());
    file.extend(pickle(b"M\xe9\x03".to_vec()));
    file.extend(pickle(dict(&[(text("little_endian"), b"\x88".to_vec())])));
    file.extend(pickle(dict(&pairs)));
    file.extend(pickle([b"](".to_vec(), keys, b"e".to_vec()].concat()));
    for _ in 0..MANY {
        file.extend(2_u64.to_le_bytes());
        file.extend([0; 8]);
    }
    file
}

/// NumPy arrays of the text that protocol 2 writes, and objects with attributes.
fn arrays() -> Vec<u8> {
    let data = support::torch::call(
        "_codecs",
        "encode",
        &[text(&"a".repeat(200_000)), text("latin1")],
    );
    let dtype = [
        support::torch::call(
            "numpy",
            "dtype",
            &[text("u1"), b"\x89".to_vec(), b"\x88".to_vec()],
        ),
        b"(K\x03".to_vec(),
        text("|"),
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb".to_vec(),
    ]
    .concat();
    let array = [
        support::torch::call(
            "numpy.core.multiarray",
            "_reconstruct",
            &[
                support::torch::global("numpy", "ndarray"),
                b"K\0\x85".to_vec(),
                b"C\x01b".to_vec(),
            ],
        ),
        b"(K\x01".to_vec(),
        [support::torch::int(200_000), b"\x85".to_vec()].concat(),
        dtype,
        b"\x89".to_vec(),
        data,
        b"tb".to_vec(),
    ]
    .concat();
    let attributes: Vec<_> = (0..MANY)
        .map(|at| (text(&format!("a{at}")), b"K\x01".to_vec()))
        .collect();
    let object = [b"cm\nM\n)\x81".to_vec(), dict(&attributes), b"b".to_vec()].concat();
    let hidden: Vec<u8> = attributes
        .iter()
        .flat_map(|(name, _)| name.clone())
        .collect();
    let module = dict(&[
        (text("_parameters"), b"}".to_vec()),
        (text("_modules"), b"}".to_vec()),
        (text("_buffers"), dict(&attributes)),
        (
            text("_non_persistent_buffers_set"),
            [b"\x8f(".to_vec(), hidden, b"\x90".to_vec()].concat(),
        ),
    ]);
    let module = [b"cm\nM\n)\x81".to_vec(), module, b"b".to_vec()].concat();
    let key = [
        text(&"k".repeat(30_000)),
        text(&"l".repeat(40_000)),
        b"\x86".to_vec(),
    ]
    .concat();
    pickle(dict(&[
        (text("array"), array),
        (text("object"), object),
        (text("module"), module),
        (key, dict(&[(text("x"), b"K\x01".to_vec())])),
    ]))
}

/// A list with room left for some, when it is given many more.
fn list_in_parts() -> Vec<u8> {
    let part = |count| [b"(".to_vec(), b"M\x01\x01".repeat(count), b"e".to_vec()].concat();
    let list = [b"]".to_vec(), part(1_000), part(1), part(20_000)].concat();
    pickle(dict(&[(text("list"), list)]))
}

fn gzipped() -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&tarred()).unwrap();
    encoder.finish().unwrap()
}

const MADE: &[Made] = &[
    Made::accepted("safetensors", safetensors),
    Made::accepted("gguf", gguf),
    Made::accepted("pickle", plain_pickle),
    Made::accepted("archive", archive),
    Made::accepted("deflated archive", deflated_archive),
    Made::accepted("members", members),
    Made::accepted("unused storages", unused_storages),
    Made::accepted("long shape", long_shape),
    Made::accepted("dangerous", dangerous),
    Made::accepted("legacy", legacy),
    Made::accepted("arrays", arrays),
    Made::accepted("list in parts", list_in_parts),
    Made::accepted("tar", tarred),
    Made::accepted("tar.gz", gzipped),
];

/// The process of one file.
#[test]
#[ignore = "started by the test below, for one file each"]
fn child() {
    failing_files::child(MADE, |_| ());
}

#[test]
fn memory_that_cannot_be_had_is_an_error() {
    failing_files::check_all(MADE);
}
