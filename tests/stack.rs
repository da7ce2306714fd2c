//! Depth needs no stack: opening, reading, scanning, converting and dropping deep files in threads of 64 KiB.

#![allow(missing_docs, unreachable_pub)]
#![cfg_attr(not(feature = "convert"), allow(dead_code, unused_imports))]

mod support;

use support::gguf::Gguf;
use support::torch::{checkpoint, dict, int, pickle, storage, tensor, text};
use weighbridge::formats::pickle::{Event, Tree, Value, load};
use weighbridge::limits::Budget;
use weighbridge::{Checkpoint, Limits, OpenOptions, Scanner, Strictness};

const STACK: usize = 64 * 1024;

/// Unoptimized, two libraries take more at once: serde_json a kilobyte for each of its 128 levels, and the
/// inflater its state of 43 KB before it is moved to the heap.
const STACK_OF_LIBRARIES: usize = if cfg!(debug_assertions) {
    4 * STACK
} else {
    STACK
};

/// Limits that let a file be as deep as it likes.
fn limits() -> Limits {
    let mut limits = Limits::trusted();
    limits.heap_bytes = 2 << 30;
    limits
}

fn on_a_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    on_a_stack(STACK, work)
}

fn on_a_stack<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(bytes).spawn(work);
    thread.unwrap().join().unwrap()
}

/// Everything that a caller can do with a file, the drop included.
fn use_all(file: Vec<u8>) {
    use_all_within(STACK, file);
}

fn use_all_within(stack: usize, file: Vec<u8>) {
    on_a_stack(stack, move || {
        let file: &'static [u8] = file.leak();
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            let options = OpenOptions::new().strictness(strictness).limits(limits());
            match options.allow_dangerous(true).from_bytes(file) {
                Ok(model) => read(&model),
                Err(error) => assert!(!error.to_string().contains('\n')),
            }
        }
        let report = Scanner::new().limits(limits()).bytes(file);
        assert!(format!("{:?}", report.findings).len() > 2);
        let report = Scanner::new().bytes(file);
        let _ = report.verdict();
    });
}

fn read(model: &Checkpoint) {
    for (key, value) in model.metadata().iter() {
        let _ = (key.as_str().is_ok(), format!("{value:?}"));
        if let Some(array) = value.as_array() {
            assert_eq!(array.iter().count() as u64, array.len());
        }
    }
    for tensor in model.tensors() {
        let mut values = vec![0.0_f32; tensor.elements()];
        let _ = tensor.dequantize_into(&mut values);
        let _ = format!("{tensor:?}");
    }
    let _ = (format!("{model:?}"), model.layout(), model.verdict());
}

/// Containers around a tensor, so deep.
fn nested(open: &[u8], close: &[u8], depth: usize) -> Vec<u8> {
    checkpoint(&pickle(
        [
            open.repeat(depth),
            tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]),
            close.repeat(depth),
        ]
        .concat(),
    ))
}

#[test]
fn deep_pickles_need_no_stack() {
    let depth = if cfg!(debug_assertions) {
        10_000
    } else {
        50_000
    };
    let call = b"ctorch._utils\n_rebuild_parameter\n(";
    let module = [
        b"cm\nM\n)\x81}(".to_vec(),
        text("_modules"),
        b"}".to_vec(),
        text("_parameters"),
    ]
    .concat();
    let files = [
        nested(b"", b"\x85", depth),
        nested(b"](", b"e", depth),
        nested(b"}(N", b"u", depth),
        nested(&[b"}".to_vec(), text("k")].concat(), b"s", depth),
        nested(b"\x8f(", b"\x90", depth),
        nested(call, b"tR", depth),
        nested(b"ctorch.jit._pickle\nbuild_intlist\n(", b"tR", depth),
        nested(b"ccollections\nOrderedDict\n)RX\x01\0\0\0a", b"s", depth),
        nested(&module, b"ub", depth),
        nested(b"(", b"t", depth),
        nested(b"(cm\nM\n", b"o", depth),
        nested(b"cm\nM\n)\x81", b"b", depth),
    ];
    for file in files {
        use_all(file);
    }
}

/// A list in a list, ten million deep, is walked and dropped.
#[test]
fn ten_million_nested_lists_are_built_and_dropped() {
    let depth = if cfg!(debug_assertions) {
        300_000
    } else {
        10_000_000
    };
    let stream = [
        b"\x80\x02".to_vec(),
        vec![b']'; depth],
        vec![b'a'; depth - 1],
        b".".to_vec(),
    ]
    .concat();
    let seen = on_a_small_stack(move || {
        let mut events = 0_usize;
        let mut sink = |_: &Event, _: &Tree<'_>| events += 1;
        let mut budget = Budget::new(limits(), Strictness::Strict);
        let loaded = load(&stream, 0, &mut sink, &mut budget).unwrap();
        let mut levels = 0;
        let mut at = loaded.root;
        while let Value::List(&[inner]) = loaded.tree.value(at) {
            (at, levels) = (inner, levels + 1);
        }
        drop(loaded);
        levels
    });
    assert_eq!(seen, depth - 1);
}

#[test]
fn deep_json_needs_no_stack() {
    let depth = 200_000;
    for opening in ["[", r#"{"a":"#] {
        let deep = opening.repeat(depth);
        for header in [
            deep.clone(),
            format!(r#"{{"x":{deep}"#),
            format!(r#"{{"x":{{"a":{deep}"#),
            format!(r#"{{"__metadata__":{{"a":{deep}"#),
            format!(r#"{{"x":{{"dtype":"U8","shape":{deep}"#),
        ] {
            let file = support::safetensors::build(&header, &[]);
            use_all_within(STACK_OF_LIBRARIES, file);
        }
        // As a configuration, an index of shards, a graph of Keras.
        use_all_within(STACK_OF_LIBRARIES, deep.clone().into_bytes());
        for text in [r#"{"weight_map":"#, r#"{"class_name":"Model","config":"#] {
            use_all_within(STACK_OF_LIBRARIES, format!("{text}{deep}").into_bytes());
        }
    }
}

#[test]
fn deep_arrays_of_gguf_need_no_stack() {
    let level = [9_u32.to_le_bytes().as_slice(), &1_u64.to_le_bytes()].concat();
    for depth in [8, 200_000] {
        let innermost = [0_u32.to_le_bytes().as_slice(), &0_u64.to_le_bytes()].concat();
        let value = [level.repeat(depth), innermost].concat();
        use_all(Gguf::default().pair(b"a", 9, &value).build());
    }
}

#[test]
fn archives_in_archives_need_no_stack() {
    let mut tars = checkpoint(&support::torch::good_pickle());
    let mut zips = tars.clone();
    for _ in 0..100 {
        tars = support::tar::tar(&[support::tar::file("a.pt", &tars)]);
        zips = support::zip::Zip::of(vec![support::zip::entry("a.pt", &zips)]).build();
    }
    use_all(tars.clone());
    use_all_within(STACK_OF_LIBRARIES, zips);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &tars).unwrap();
    use_all_within(STACK_OF_LIBRARIES, encoder.finish().unwrap());
    // Pickles in pickles, as bytes that a call is given.
    let mut inner = pickle(b"N".to_vec());
    for _ in 0..200 {
        let length = (inner.len() as u32).to_le_bytes();
        let bytes = [b"B".to_vec(), length.to_vec(), inner].concat();
        inner = [b"\x80\x03cm\nf\n".to_vec(), bytes, b"\x85R.".to_vec()].concat();
    }
    use_all(inner);
}

/// Messages in messages, as an ONNX graph has them.
#[test]
fn deep_graphs_need_no_stack() {
    let mut graph = Vec::new();
    for _ in 0..5_000 {
        let mut length = graph.len();
        let mut message = vec![0x3a];
        while length >= 0x80 {
            message.push(0x80 | (length & 0x7f) as u8);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend(&graph);
        graph = message;
    }
    use_all([b"\x08\x07\x42\x02\x08\x01".to_vec(), graph].concat());
}

#[cfg(feature = "convert")]
#[test]
fn converting_needs_no_stack() {
    let names: Vec<(Vec<u8>, Vec<u8>)> = (0..100)
        .map(|at| {
            let key = text(&format!("{at}.{}", "a.".repeat(1_000)));
            (key, tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]))
        })
        .collect();
    let depth = 400;
    let open = [b"}".to_vec(), text("k")].concat();
    let deep = [
        open.repeat(depth),
        dict(&[(text("x"), int(1)), (text("y"), dict(&names))]),
        b"s".repeat(depth),
    ]
    .concat();
    let file = checkpoint(&pickle(deep));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    on_a_small_stack(move || {
        let model = Checkpoint::from_bytes(file).unwrap();
        assert_eq!(model.len(), 100);
        let options = weighbridge::convert::ConvertOptions::new().clone_shared(true);
        let output = path.join("out.safetensors");
        options.convert(&model, &output, None).unwrap();
        assert_eq!(weighbridge::open(output).unwrap().len(), 100);
        // GGUF refuses names of more than 63 bytes: the plan is made all the same.
        let gguf = options.convert(&model, path.join("out.gguf"), None);
        assert!(gguf.is_err());
    });
}
