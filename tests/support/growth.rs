//! Files of `n` things of one kind, for tests and benchmarks of how work grows.

use super::gguf::{Gguf, STRING};
use super::torch::{checkpoint, dict, pickle, storage, tensor, text};
use super::zip::{Zip, entry};

/// A kind of file, by its name.
pub struct Kind {
    pub name: &'static str,
    pub file: fn(usize) -> Vec<u8>,
    /// The most that is made: larger ones reach a limit of the format or of the builder.
    pub most: usize,
}

const MILLION: usize = 1 << 20;

pub const KINDS: &[Kind] = &[
    kind("safetensors: tensors", safetensors, MILLION),
    kind(
        "safetensors: names that collide under FxHash",
        colliding,
        1 << 17,
    ),
    kind("safetensors: keys", safetensors_keys, 1 << 16),
    kind("GGUF: tensors", gguf, MILLION),
    kind(
        "GGUF: names that collide under FxHash",
        gguf_colliding,
        1 << 17,
    ),
    kind("GGUF: keys", gguf_keys, 1 << 16),
    kind("GGUF: strings of an array", gguf_strings, MILLION),
    kind("pickle: values", values, MILLION),
    kind("pickle: memo", memo, MILLION),
    kind("pickle: keys", keys, MILLION),
    kind("pickle: calls", calls, MILLION),
    kind("torch: tensors", tensors, MILLION),
    kind("zip: members", members, 1 << 15),
    kind("tar: members", tar, 1 << 17),
];

const fn kind(name: &'static str, file: fn(usize) -> Vec<u8>, most: usize) -> Kind {
    Kind { name, file, most }
}

fn header(infos: impl Iterator<Item = String>) -> Vec<u8> {
    let infos: Vec<String> = infos.collect();
    super::safetensors::build(&format!("{{{}}}", infos.join(",")), &[])
}

fn info(name: &str) -> String {
    format!(r#""{name}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#)
}

fn safetensors(n: usize) -> Vec<u8> {
    header((0..n).map(|at| info(&format!("layers.{at}.weight"))))
}

fn colliding(n: usize) -> Vec<u8> {
    header(collisions(n).iter().map(|name| info(name)))
}

fn safetensors_keys(n: usize) -> Vec<u8> {
    let pairs: Vec<String> = (0..n).map(|at| format!(r#""key {at}":"{at}""#)).collect();
    header(std::iter::once(format!(
        r#""__metadata__":{{{}}}"#,
        pairs.join(",")
    )))
}

/// The head of a file whose infos or pairs are all in one piece.
fn gguf_of(pairs: Vec<Vec<u8>>, infos: Vec<Vec<u8>>) -> Vec<u8> {
    let file = Gguf {
        pairs,
        infos,
        ..Gguf::default()
    };
    file.build()
}

fn gguf_infos(names: impl Iterator<Item = String>) -> Vec<u8> {
    let one = |name: String| Gguf::default().info(name.as_bytes(), &[0], 0, 0).infos;
    gguf_of(Vec::new(), names.flat_map(one).collect())
}

fn gguf(n: usize) -> Vec<u8> {
    gguf_infos((0..n).map(|at| format!("blk.{at}.weight")))
}

fn gguf_colliding(n: usize) -> Vec<u8> {
    gguf_infos(collisions(n).into_iter())
}

fn gguf_keys(n: usize) -> Vec<u8> {
    let one = |at| Gguf::default().pair_u32(&format!("key.{at}"), 1).pairs;
    gguf_of((0..n).flat_map(one).collect(), Vec::new())
}

fn gguf_strings(n: usize) -> Vec<u8> {
    let string = [5_u64.to_le_bytes().as_slice(), b"token"].concat();
    let strings = string.repeat(n);
    let file = Gguf::default().pair_array("tokens", STRING, n as u64, &strings);
    file.build()
}

fn list(item: &[u8], n: usize) -> Vec<u8> {
    pickle([b"](".to_vec(), item.repeat(n), b"e".to_vec()].concat())
}

fn values(n: usize) -> Vec<u8> {
    list(b"N", n)
}

fn memo(n: usize) -> Vec<u8> {
    list(b"N\x94", n)
}

fn calls(n: usize) -> Vec<u8> {
    list(b"ccollections\nOrderedDict\n)R", n)
}

fn keys(n: usize) -> Vec<u8> {
    let pairs = (0..n).map(|at| (text(&format!("key {at}")), b"N".to_vec()));
    pickle(dict(&pairs.collect::<Vec<_>>()))
}

fn tensors(n: usize) -> Vec<u8> {
    let pairs = (0..n).map(|at| {
        let view = tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]);
        (text(&format!("layers.{at}.weight")), view)
    });
    checkpoint(&pickle(dict(&pairs.collect::<Vec<_>>())))
}

fn members(n: usize) -> Vec<u8> {
    let mut members = super::torch::members(&super::torch::good_pickle());
    members.extend((1..n).map(|at| entry(&format!("archive/data/{at}"), &[0; 4])));
    Zip::of(members).build()
}

fn tar(n: usize) -> Vec<u8> {
    let mut entries = vec![super::tar::file(
        "a.pt",
        &checkpoint(&super::torch::good_pickle()),
    )];
    entries.extend((1..n).map(|at| super::tar::file(&format!("file {at}"), &[])));
    super::tar::tar(&entries)
}

/// Names of 16 printable letters that the hash of rustc's tables (FxHash: rotate by 5, xor, multiply, for each 8
/// bytes) sends to one number: a table with that hash would look at all of them for each.
fn collisions(n: usize) -> Vec<String> {
    // Found once: most candidates are no text.
    static FOUND: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    let mut found = FOUND.lock().unwrap();
    if found.len() < n {
        *found = search(n);
    }
    found.iter().take(n).cloned().collect()
}

fn search(n: usize) -> Vec<String> {
    const SEED: u64 = 0x517c_c1b7_2722_0a95;
    // What the second half must turn every first half into.
    const MEETING: u64 = 0x1234_5678_9abc_def0;
    let is_plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+=<>:;,~!@#$%^&*()".contains(byte);
    let mut names = Vec::with_capacity(n);
    let mut state = 1_u64;
    while names.len() < n {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Eight letters of 64.
        let letter = |at: u32| b'0' + (state >> (16 + 6 * at)) as u8 % 43;
        let first: [u8; 8] = std::array::from_fn(|at| letter(at as u32));
        let hash = u64::from_le_bytes(first).wrapping_mul(SEED).rotate_left(5);
        let second = (hash ^ MEETING).to_le_bytes();
        if first.iter().all(is_plain) && second.iter().all(is_plain) {
            let name = [first, second].concat();
            names.push(String::from_utf8(name).unwrap());
        }
    }
    names.sort();
    names.dedup();
    names
}
