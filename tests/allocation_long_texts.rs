//! Texts and lists that a file makes long: what of them is copied, into messages above all, is cut before, or
//! memory that cannot be had for it is an error.
//!
//! As `allocation_failure.rs` does it; here a file may be refused, as long as it is refused in every case.

#![allow(missing_docs, unreachable_pub, unsafe_code)]

#[path = "support/allocation.rs"]
mod allocation;
#[path = "support/failing_files.rs"]
mod failing_files;
mod support;

use failing_files::{LONG_DEPTH, LONG_RANK, Made};
use support::gguf::{ARRAY, Gguf, U32};
use support::tar::{TarEntry, file, tar};
use support::torch::{
    call, checkpoint, dict, encoded, global, int, numpy_array, numpy_dtype, pickle, text, tuple,
};
use support::zip::{Entry, Zip, deflated, entry};
use weighbridge::Checkpoint;
use weighbridge::formats::gguf::Model;

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// Bytes of a long text: allowed for names.
const LONG: usize = 60_000;

fn long() -> String {
    "n".repeat(LONG)
}

/// Bytes that are no UTF-8: shown as text, they take three times the room.
fn broken() -> Vec<u8> {
    vec![0xff; LONG]
}

// Zip.

fn other_local_name() -> Vec<u8> {
    let mut members = support::torch::members(&support::torch::good_pickle());
    members[0].local_name = Some(broken());
    Zip::of(members).build()
}

/// The second member stands inside the first one.
fn overlapping_members() -> Vec<u8> {
    let first = format!("a/{}", long());
    let inner = [b"PK\x03\x04", &[0; 22][..], &[3, 0, 0, 0], b"a/b"].concat();
    let second = Entry {
        header_offset: Some(30 + first.len() as u32),
        ..entry("a/b", b"")
    };
    Zip::of(vec![entry(&first, &inner), second]).build()
}

/// The folder of all members has a long name, which every error and finding would repeat.
fn long_folder(more: Vec<Entry>) -> Vec<u8> {
    let folder = long();
    let entries = more.into_iter().map(|entry| Entry {
        name: [folder.as_bytes(), b"/", &entry.name].concat(),
        ..entry
    });
    Zip::of(entries.collect()).build()
}

fn long_folder_of_a_checkpoint() -> Vec<u8> {
    let pickle = pickle(call("os", "system", &[text("id")]));
    long_folder(vec![entry("data.pkl", &pickle), entry("version", b"3\n")])
}

fn long_folder_without_a_pickle() -> Vec<u8> {
    long_folder(vec![entry("version", b"3\n"), entry("data/0", b"1234")])
}

fn long_folder_without_a_version() -> Vec<u8> {
    long_folder(vec![entry("data.pkl", &support::torch::good_pickle())])
}

fn remains_of_a_zip() -> Vec<u8> {
    let members = vec![Entry {
        name: broken(),
        ..entry("", &support::torch::good_pickle())
    }];
    let mut bytes = Zip::of(members).build();
    bytes.truncate(bytes.len() - 30);
    bytes
}

// Tar.

fn pax_name() -> Vec<u8> {
    let mut record = [b" path=".as_slice(), &broken(), b"\n"].concat();
    let length = record.len() + 5;
    record.splice(0..0, length.to_string().into_bytes());
    let pax = TarEntry {
        kind: b'x',
        ..file("pax", &record)
    };
    tar(&[pax, file("a", b"1234")])
}

fn many_tar_members() -> Vec<u8> {
    let members = (0..7_000).map(|at| file(&format!("{}", at * 7_919 % 7_000), b""));
    tar(&members.collect::<Vec<_>>())
}

// Pickles.

/// A call with many nested names, which the memo gives again.
fn nested_names() -> Vec<u8> {
    let name = "\u{1f600}".repeat(200);
    let six = |item: &[u8]| tuple(&vec![item.to_vec(); 6]);
    let named = [global(&name, &name), b"q\x000".to_vec()].concat();
    let first = [six(b"h\0"), b"q\x010".to_vec()].concat();
    let second = [six(b"h\x01"), b"q\x020".to_vec()].concat();
    let system = [global("os", "system"), six(b"h\x02"), b"R".to_vec()].concat();
    pickle([named, first, second, system].concat())
}

fn numpy_shape() -> Vec<u8> {
    let ones = vec![1; LONG_RANK];
    let array = numpy_array(numpy_dtype("u1", "|"), &ones, false, encoded("a"));
    pickle(dict(&[(text("x"), array)]))
}

/// Texts of the longest that are looked at; the last one leaves no room for the bracket behind it.
fn tuple_key() -> Vec<u8> {
    let mut items = vec![text(&"k".repeat(4_096)); 7];
    items.push(text(&"k".repeat(2_045)));
    let value = dict(&[(text("x"), b"K\x01".to_vec())]);
    pickle(dict(&[(tuple(&items), value)]))
}

/// Arrays whose bytes are decoded into a buffer each.
fn decoded_arrays() -> Vec<u8> {
    let array = numpy_array(numpy_dtype("u1", "|"), &[1], false, encoded("a"));
    let pairs = (0..1_600).map(|at| (text(&format!("{at}")), array.clone()));
    checkpoint(&pickle(dict(&pairs.collect::<Vec<_>>())))
}

// Archives of torch.

fn package(members: Vec<Entry>) -> Vec<u8> {
    let mut entries = vec![
        entry("p/.data/extern_modules", b"torch\n"),
        entry("p/.data/version", b"6\n"),
    ];
    entries.extend(members);
    Zip::of(entries).build()
}

fn long_resource() -> Vec<u8> {
    package(vec![entry(
        &format!("p/{}.pkl", long()),
        &pickle(call("os", "system", &[text("id")])),
    )])
}

fn many_pickles() -> Vec<u8> {
    let members = (0..3_200).map(|at| entry(&format!("p/{at}.pkl"), b"\x80\x02N."));
    package(members.collect())
}

fn deflated_pickles() -> Vec<u8> {
    let members = (0..1_000).map(|at| deflated(&format!("p/{at}.pkl"), b"\x80\x02N."));
    package(members.collect())
}

fn many_buffers() -> Vec<u8> {
    use std::io::Write;
    let archive = tar(&[
        file("a", &deflated_pickles()),
        file("b", &deflated_pickles()),
    ]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&archive).unwrap();
    encoder.finish().unwrap()
}

fn program(model: &str, config: &str, more: Vec<Entry>) -> Vec<u8> {
    let mut entries = vec![
        entry("p/archive_format", b"pt2"),
        entry("p/version", b"3\n"),
        entry("p/byteorder", b"little"),
        entry("p/models/a.json", b"{}"),
        entry("p/models/b.json", b"{}"),
    ];
    let name = format!("p/data/weights/{model}_weights_config.json");
    entries.push(entry(&name, format!("{{\"config\":{config}}}").as_bytes()));
    entries.extend(more);
    Zip::of(entries).build()
}

const WEIGHT: &str = r#"{"path_name":"weight_0","tensor_meta":{"dtype":7,"sizes":[{"as_int":2}],
    "strides":[{"as_int":1}],"storage_offset":{"as_int":0},"layout":7}}"#;

fn weight_0() -> Entry {
    entry("p/data/weights/weight_0", &[0; 8])
}

fn long_program() -> Vec<u8> {
    program(&long(), &format!("{{\"w\":{WEIGHT}}}"), vec![weight_0()])
}

fn long_weight() -> Vec<u8> {
    let config = format!("{{\"{}\":{WEIGHT}}}", long());
    program("a", &config, vec![weight_0()])
}

fn long_path_of_a_weight() -> Vec<u8> {
    let config = format!(r#"{{"w":{{"path_name":"{}","use_pickle":true}}}}"#, long());
    program("a", &config, Vec::new())
}

fn pickled_weight() -> Vec<u8> {
    let path = long();
    let config = format!(
        r#"{{"{}":{{"path_name":"{path}","use_pickle":true}}}}"#,
        long()
    );
    let inner = checkpoint(&pickle(call("os", "system", &[text("id")])));
    let inner = entry(&format!("p/data/weights/{path}"), &inner);
    program("a", &config, vec![inner])
}

fn sample_inputs() -> Vec<u8> {
    let inner = checkpoint(&pickle(call("os", "system", &[text("id")])));
    let name = format!("p/data/sample_inputs/{}.pt", long());
    program("a", "{}", vec![entry(&name, &inner)])
}

fn many_weights() -> Vec<u8> {
    let weights = (0..2_000).map(|at| entry(&format!("p/data/weights/weight_{at}"), &[0; 8]));
    program("a", "{}", weights.collect())
}

fn quantized() -> Vec<u8> {
    let (scale, zero_point) = (long(), long());
    let json = format!(
        r#"{{"tensors":[{{"data":{{"key":"tensors/0"}},"dims":["2"],"strides":["1"],"dataType":"BYTE",
            "isQuantized":true,"scale":"{scale}","zeroPoint":"{zero_point}"}}],
            "mainModule":{{"parameters":[{{"name":"{}"}}]}}}}"#,
        long()
    );
    script(&json)
}

fn unknown_type_of_a_message() -> Vec<u8> {
    let json = format!(
        r#"{{"tensors":[{{"data":{{"key":"tensors/0"}},"dims":["2"],"strides":["1"],"dataType":"{}"}}],
            "mainModule":{{}}}}"#,
        long()
    );
    script(&json)
}

fn script(json: &str) -> Vec<u8> {
    Zip::of(vec![
        entry("m/version", b"1\n"),
        entry("m/tensors/0", &[0; 8]),
        entry("m/model.json", json.as_bytes()),
    ])
    .build()
}

/// The archive of torch 0.1, whose tensors state their rank.
fn rank_of_an_old_tensor() -> Vec<u8> {
    let longs = |numbers: &[i64]| -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    };
    let storages = [
        pickle(int(1)),
        pickle(tuple(&[
            int(1),
            text("cpu"),
            global("torch", "FloatStorage"),
        ])),
        longs(&[2]),
        vec![0; 8],
        pickle(b"]".to_vec()),
    ];
    let ones = vec![1; LONG_RANK];
    let tensors = [
        pickle(int(1)),
        pickle(tuple(&[int(2), int(1), global("torch", "FloatTensor")])),
        longs(&[LONG_RANK as i64]),
        longs(&ones),
        longs(&ones),
        longs(&[0]),
    ];
    let id = [int(2), b"Q".to_vec()].concat();
    tar(&[
        file("storages", &storages.concat()),
        file("tensors", &tensors.concat()),
        file("pickle", &pickle(dict(&[(text("x"), id)]))),
    ])
}

// safetensors.

fn unknown_dtype() -> Vec<u8> {
    let info = format!(
        r#"{{"dtype":"{}","shape":[2],"data_offsets":[0,2]}}"#,
        long()
    );
    support::safetensors::with_info(&info)
}

fn unknown_dtype_of_a_long_name() -> Vec<u8> {
    let header = format!(
        r#"{{"{}":{{"dtype":"NONE","shape":[2],"data_offsets":[0,2]}}}}"#,
        long()
    );
    support::safetensors::build(&header, &[1, 2])
}

fn misaligned_tensor() -> Vec<u8> {
    let mut header = format!(
        r#"{{"a":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}},
            "{}":{{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}}}"#,
        long()
    );
    // Behind a header of a whole number of elements, and one byte.
    while header.len() % 4 != 0 {
        header.push(' ');
    }
    support::safetensors::build(&header, &[0; 5])
}

fn shared_range() -> Vec<u8> {
    let header = format!(
        r#"{{"a{0}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}},
            "b{0}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#,
        long()
    );
    support::safetensors::build(&header, &[0; 1])
}

fn unknown_field() -> Vec<u8> {
    let info = format!(
        r#"{{"{}":1,"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#,
        long()
    );
    support::safetensors::with_info(&info)
}

fn unknown_field_of_a_long_name() -> Vec<u8> {
    let header = format!(
        r#"{{"{}":{{"dtype":"U8","shape":[2],"data_offsets":[0,2],"x":1}}}}"#,
        long()
    );
    support::safetensors::build(&header, &[1, 2])
}

fn text_for_a_shape() -> Vec<u8> {
    let info = format!(r#"{{"dtype":"U8","shape":"{}"}}"#, long());
    support::safetensors::with_info(&info)
}

fn text_for_an_offset() -> Vec<u8> {
    let info = format!(
        r#"{{"dtype":"U8","shape":[2],"data_offsets":["{}",2]}}"#,
        long()
    );
    support::safetensors::with_info(&info)
}

// GGUF.

fn architecture() -> Vec<u8> {
    Gguf::default()
        .pair_string("general.architecture", long().as_bytes())
        .build()
}

fn text_for_a_number() -> Vec<u8> {
    Gguf::default()
        .pair_string("general.architecture", b"llama")
        .pair_string("llama.context_length", long().as_bytes())
        .build()
}

fn broken_text_for_a_number() -> Vec<u8> {
    Gguf::default()
        .pair_string("general.architecture", b"llama")
        .pair_string("llama.context_length", &broken())
        .build()
}

fn nested_arrays() -> Vec<u8> {
    let level = [ARRAY.to_le_bytes().as_slice(), &1_u64.to_le_bytes()].concat();
    let last = [U32.to_le_bytes().as_slice(), &0_u64.to_le_bytes()].concat();
    let value = [level.repeat(LONG_DEPTH - 1), last].concat();
    Gguf::default().pair(b"nested", ARRAY, &value).build()
}

fn long_name_of_an_unknown_type() -> Vec<u8> {
    Gguf::default()
        .tensor(&long(), &[32, 1, 1, 1, 1], 200, &[0; 32])
        .build()
}

fn gap_before_a_long_name() -> Vec<u8> {
    Gguf::default()
        .tensor("a", &[1], 24, &[0; 64])
        .info(long().as_bytes(), &[1], 24, 64)
        .data(&[0; 32])
        .build()
}

fn overlap_with_a_long_name() -> Vec<u8> {
    Gguf::default()
        .tensor(&long(), &[64], 24, &[0; 64])
        .info(b"b", &[64], 24, 32)
        .data(&[0; 32])
        .build()
}

// Others.

fn npy_header() -> Vec<u8> {
    let mut header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }".to_vec();
    header.resize(LONG, 0xff);
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\0", &length[..], &header, &[1]].concat()
}

/// A field of protobuf with bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 0x7f {
        field.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend(bytes);
    field
}

fn onnx(domain: &[u8], location: &[u8]) -> Vec<u8> {
    // TensorProto.external_data is field 13: its entries are looked for at any depth.
    let entry = [field(1, b"location"), field(2, location)].concat();
    let tensor = field(13, &entry);
    let graph = field(5, &tensor);
    [
        b"\x08\x08".to_vec(),
        field(7, &graph),
        field(8, &field(1, domain)),
    ]
    .concat()
}

fn onnx_domain() -> Vec<u8> {
    onnx(&broken(), b"weights.bin")
}

fn onnx_location() -> Vec<u8> {
    onnx(b"ai.onnx", &broken())
}

const MADE: &[Made] = &[
    Made::any("other local name", other_local_name),
    Made::any("overlapping members", overlapping_members),
    Made::any("long folder of a checkpoint", long_folder_of_a_checkpoint),
    Made::any("long folder without a pickle", long_folder_without_a_pickle),
    Made::any(
        "long folder without a version",
        long_folder_without_a_version,
    ),
    Made::any("remains of a zip", remains_of_a_zip),
    Made::any("pax name", pax_name),
    Made::any("many tar members", many_tar_members),
    Made::any("nested names", nested_names),
    Made::any("numpy shape", numpy_shape),
    Made::any("tuple key", tuple_key),
    Made::any("decoded arrays", decoded_arrays),
    Made::any("long resource", long_resource),
    Made::any("many pickles", many_pickles),
    Made::any("many buffers", many_buffers),
    Made::any("long program", long_program),
    Made::any("long weight", long_weight),
    Made::any("long path of a weight", long_path_of_a_weight),
    Made::any("pickled weight", pickled_weight),
    Made::any("sample inputs", sample_inputs),
    Made::any("many weights", many_weights),
    Made::any("quantized", quantized),
    Made::any("unknown type of a message", unknown_type_of_a_message),
    Made::any("rank of an old tensor", rank_of_an_old_tensor),
    Made::any("unknown dtype", unknown_dtype),
    Made::any("unknown dtype of a long name", unknown_dtype_of_a_long_name),
    Made::any("misaligned tensor", misaligned_tensor),
    Made::any("shared range", shared_range),
    Made::any("unknown field", unknown_field),
    Made::any("unknown field of a long name", unknown_field_of_a_long_name),
    Made::any("text for a shape", text_for_a_shape),
    Made::any("text for an offset", text_for_an_offset),
    Made::any("architecture", architecture),
    Made::any("text for a number", text_for_a_number),
    Made::any("broken text for a number", broken_text_for_a_number),
    Made::any("nested arrays", nested_arrays),
    Made::any("long name of an unknown type", long_name_of_an_unknown_type),
    Made::any("gap before a long name", gap_before_a_long_name),
    Made::any("overlap with a long name", overlap_with_a_long_name),
    Made::any("npy header", npy_header),
    Made::any("onnx domain", onnx_domain),
    Made::any("onnx location", onnx_location),
];

/// What engines ask of a model: each answer may be an error.
fn asked(checkpoint: &Checkpoint) {
    let model = Model::new(checkpoint.metadata());
    let _ = model.context_length();
    let _ = model.head_count();
    let _ = model.rope_freq_base();
}

/// The process of one file.
#[test]
#[ignore = "started by the test below, for one file each"]
fn child() {
    failing_files::child(MADE, asked);
}

#[test]
fn memory_for_long_texts_that_cannot_be_had_is_an_error() {
    failing_files::check_all(MADE);
}
