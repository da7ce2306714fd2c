//! Ways around scanners, one for each row of the published list and some of our own.

use super::support::gguf::{Gguf, STRING};
use super::support::torch::{
    call, checkpoint, dict, global, good_pickle, int, ints, members, pickle, pickle_of, storage,
    tensor, text, tuple,
};
use super::support::zip::{Entry, Zip, deflated, entry};
use super::{Case, case, containers};
use weighbridge::Verdict::{Dangerous, Incomplete, Malformed, Unrecognised};

pub fn cases() -> Vec<Case> {
    [
        names(),
        machine(),
        arguments(),
        archives(),
        bombs(),
        beyond(),
    ]
    .concat()
}

fn payload() -> Vec<u8> {
    call("os", "system", &[text("echo never")])
}

fn hidden() -> Vec<u8> {
    pickle(payload())
}

/// The name is not where a reader of opcodes looks for it.
fn names() -> Vec<Case> {
    let dangerous =
        |name: &str, bytes: &[u8]| case(name, bytes.to_vec(), Dangerous, "dangerous-global");
    vec![
        dangerous(
            "a dotted name reaches another module",
            b"\x80\x04\x8c\x07pathlib\x8c\x09os.system\x93.",
        ),
        dangerous(
            "a dotted name through attributes",
            b"\x80\x04\x8c\x08builtins\x8c\x0fprint.__class__\x93.",
        ),
        dangerous(
            "a dotted name behind torch",
            b"\x80\x04\x8c\x05torch\x8c\x17serialization.os.system\x93.",
        ),
        dangerous(
            "a dotted name through GLOBAL",
            b"\x80\x04ctorch\nserialization.os.system\n.",
        ),
        dangerous(
            "escapes in the name",
            b"\x80\x04V\\u006fs\nV\\u0073ystem\n\x93.",
        ),
        dangerous(
            "a string of Python 2 as name",
            b"\x80\x04U\x02osS'system'\n\x93.",
        ),
        dangerous(
            "a decoy before the name",
            b"\x80\x04\x8c\x02os\x8c\x04math0\x8c\x06system\x93.",
        ),
        dangerous(
            "a mark between the names",
            b"\x80\x04\x8c\x02os\x8c\x06system(\x8c\x04safe1\x93.",
        ),
        dangerous(
            "a memo that is overwritten",
            b"\x80\x04\x8c\x04mathq\0\x8c\x02osq\x0000h\0\x8c\x06system\x93.",
        ),
        dangerous(
            "a memo taken after POP",
            b"\x80\x04\x8c\x06system\x940\x8c\x02osh\0\x93.",
        ),
        dangerous(
            "a name doubled by DUP",
            b"\x80\x04\x8c\x02os20\x8c\x06system\x93.",
        ),
        dangerous(
            "the name of a module of Python 2",
            b"ccommands\ngetoutput\n(S'x'\ntR.",
        ),
        dangerous(
            "a submodule of a dangerous module",
            &pickle(call("distutils.command.build", "x", &[])),
        ),
        dangerous(
            "a dangerous class as factory",
            &pickle(call(
                "collections",
                "defaultdict",
                &[global("os", "system")],
            )),
        ),
        case(
            "names of odd letters",
            b"\x80\x04\x8c\x04o\xcc\x88s\x8c\x06system\x93.".to_vec(),
            Unrecognised,
            "unrecognised-global",
        ),
        case(
            "a carriage return in a name",
            b"cposix\r\nsystem\n(S'x'\ntR.".to_vec(),
            Unrecognised,
            "unrecognised-global",
        ),
    ]
}

/// What is called is not what it seems, or the walk is led astray.
fn machine() -> Vec<Case> {
    let frame = |length: u64| [&b"\x80\x04\x95"[..], &length.to_le_bytes()].concat();
    vec![
        case(
            "a payload, then garbage",
            [&hidden()[..hidden().len() - 1], b"\xff"].concat(),
            Dangerous,
            "dangerous-call",
        ),
        case(
            "a payload, then the end of the file",
            hidden()[..hidden().len() - 1].to_vec(),
            Dangerous,
            "dangerous-call",
        ),
        case(
            "a payload, then a missing memo entry",
            [&hidden()[..hidden().len() - 1], b"h\x63."].concat(),
            Dangerous,
            "dangerous-call",
        ),
        case(
            "a call dropped by POP",
            pickle([payload(), b"0}".to_vec()].concat()),
            Dangerous,
            "dangerous-call",
        ),
        case(
            "OBJ dropped by POP",
            pickle(
                [
                    b"(".to_vec(),
                    global("os", "system"),
                    text("x"),
                    b"o0}".to_vec(),
                ]
                .concat(),
            ),
            Dangerous,
            "dangerous-call",
        ),
        case(
            "NEWOBJ of a function",
            pickle(
                [
                    global("subprocess", "Popen"),
                    tuple(&[text("x")]),
                    b"\x81".to_vec(),
                ]
                .concat(),
            ),
            Dangerous,
            "dangerous-call",
        ),
        case(
            "NEWOBJ_EX of a function",
            [
                b"\x80\x04".to_vec(),
                global("os", "popen"),
                b")}\x92.".to_vec(),
            ]
            .concat(),
            Dangerous,
            "dangerous-call",
        ),
        case(
            "a call of a call's result",
            pickle([call("collections", "OrderedDict", &[]), b")R".to_vec()].concat()),
            Dangerous,
            "dynamic-call",
        ),
        case(
            "a call of text",
            pickle(b"X\x02\0\0\0os)R".to_vec()),
            Dangerous,
            "dynamic-call",
        ),
        case(
            "the extension registry",
            pickle(b"\x82\x01)R".to_vec()),
            Dangerous,
            "extension",
        ),
        case(
            "the extension registry by four bytes",
            pickle(b"\x84\x01\0\0\x7f)R".to_vec()),
            Dangerous,
            "extension",
        ),
        case(
            "BUILD on a class",
            pickle(
                [
                    global("collections", "OrderedDict"),
                    dict(&[(text("x"), int(1))]),
                    b"b".to_vec(),
                ]
                .concat(),
            ),
            Dangerous,
            "build-global",
        ),
        case(
            "BUILD plants __setstate__",
            pickle(
                [
                    call("argparse", "Namespace", &[]),
                    dict(&[(text("__setstate__"), global("builtins", "bytearray"))]),
                    b"b".to_vec(),
                    int(1 << 30),
                    b"b".to_vec(),
                ]
                .concat(),
            ),
            Malformed,
            "planted-method",
        ),
        case(
            "a frame that hides an opcode",
            [frame(12), b"B\x20\0\0\0".to_vec(), vec![b'a'; 40]].concat(),
            Malformed,
            "frame",
        ),
        case(
            "a frame inside a frame",
            [frame(13), frame(2)[2..].to_vec(), b"N0N.".to_vec()].concat(),
            Malformed,
            "frame",
        ),
        case(
            "leftovers on the stack",
            pickle(b"NNN".to_vec()),
            Malformed,
            "leftover",
        ),
        case(
            "a mark left open",
            pickle(b"(N".to_vec()),
            Malformed,
            "leftover",
        ),
        case(
            "REDUCE without a tuple",
            pickle([global("collections", "OrderedDict"), b"]R".to_vec()].concat()),
            Malformed,
            "arguments",
        ),
        case(
            "BUILD on plain data",
            pickle(b"]}b".to_vec()),
            Malformed,
            "plain-target",
        ),
        case(
            "SETITEM on a tuple",
            pickle(b")NNs".to_vec()),
            Malformed,
            "plain-target",
        ),
        case(
            "SETITEM on a tensor",
            checkpoint(&pickle(
                [
                    tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]),
                    int(0),
                    int(1),
                    b"s".to_vec(),
                ]
                .concat(),
            )),
            Malformed,
            "mutation",
        ),
        case(
            "APPEND on a storage",
            checkpoint(&pickle(
                [storage("FloatStorage", "0", 2), b"Na".to_vec()].concat(),
            )),
            Malformed,
            "mutation",
        ),
        case(
            "a memo index out of nowhere",
            pickle(b"Nr\xf0\xff\xff\xff".to_vec()),
            Malformed,
            "sparse-memo",
        ),
        case(
            "a protocol in the middle",
            pickle(b"N0\x80\x05N".to_vec()),
            Malformed,
            "protocol",
        ),
        case(
            "an unhashable key",
            pickle(b"}]Ns".to_vec()),
            Malformed,
            "unhashable",
        ),
        case(
            "an out-of-band buffer",
            b"\x80\x05\x97.".to_vec(),
            Malformed,
            "buffer",
        ),
        case(
            "a persistent id of an unknown kind",
            pickle([text("reduce_package"), b"Q".to_vec()].concat()),
            Unrecognised,
            "persistent-id",
        ),
        case(
            "a persistent id with a function as storage class",
            checkpoint(&pickle(
                [
                    tuple(&[
                        text("storage"),
                        global("os", "system"),
                        text("0"),
                        text("cpu"),
                        int(2),
                    ]),
                    b"Q".to_vec(),
                ]
                .concat(),
            )),
            Dangerous,
            "dangerous-global",
        ),
        case(
            "a persistent id with a negative count",
            pickle(
                [
                    tuple(&[
                        text("storage"),
                        global("torch", "FloatStorage"),
                        text("0"),
                        text("cpu"),
                        int(-1),
                    ]),
                    b"Q".to_vec(),
                ]
                .concat(),
            ),
            Malformed,
            "persistent-id",
        ),
        case(
            "a magic number that is computed",
            [
                pickle(call("builtins", "eval", &[text("0x1950a86a20f9469cfc6c")])),
                b"\x80\x02M\xe9\x03.".to_vec(),
                hidden(),
            ]
            .concat(),
            Dangerous,
            "dangerous-global",
        ),
    ]
}

/// An allowed function with what no pickler gives it.
fn arguments() -> Vec<Case> {
    let odd = |name: &str, body: Vec<u8>| case(name, pickle(body), Malformed, "arguments");
    let big = || int(i32::MAX);
    let range = || call("builtins", "range", &[big()]);
    let bytes = |text: &str| [&b"C"[..], &[text.len() as u8], text.as_bytes()].concat();
    vec![
        odd(
            "a codec that decompresses",
            call("_codecs", "encode", &[text("x"), text("zip")]),
        ),
        odd(
            "a codec that is computed",
            call(
                "_codecs",
                "encode",
                &[text("x"), call("builtins", "str", &[])],
            ),
        ),
        odd(
            "a byte array by its size",
            call("builtins", "bytearray", &[big()]),
        ),
        odd("bytes by their size", call("builtins", "bytes", &[big()])),
        odd("a list of a range", call("builtins", "list", &[range()])),
        odd("a set of a range", call("builtins", "set", &[range()])),
        odd(
            "a deque of a range",
            call("collections", "deque", &[range()]),
        ),
        odd(
            "a counter of a range",
            call("collections", "Counter", &[range()]),
        ),
        odd(
            "an array by its size",
            call("numpy", "ndarray", &[ints(&[1 << 30])]),
        ),
        odd(
            "an array that is not made empty",
            call(
                "numpy.core.multiarray",
                "_reconstruct",
                &[global("numpy", "ndarray"), ints(&[1 << 30]), bytes("b")],
            ),
        ),
        odd(
            "a dtype of another form",
            call("numpy", "dtype", &[text("f8,(1000000,1000000)f8")]),
        ),
        odd(
            "a tensor by its size",
            call("torch", "FloatTensor", &[big()]),
        ),
        odd(
            "an untyped storage by its size",
            call("torch.storage", "UntypedStorage", &[big()]),
        ),
        odd(
            "a rebuild of another function",
            call(
                "torch._tensor",
                "_rebuild_from_type_v2",
                &[
                    global("builtins", "bytearray"),
                    global("torch", "Tensor"),
                    tuple(&[big()]),
                    vec![b'N'],
                ],
            ),
        ),
        odd(
            "a reconstructor of bytes",
            call(
                "copyreg",
                "_reconstructor",
                &[
                    global("builtins", "bytearray"),
                    global("builtins", "bytearray"),
                    big(),
                ],
            ),
        ),
        odd(
            "keyword arguments for an allowed function",
            [
                global("builtins", "bytearray"),
                b")".to_vec(),
                dict(&[(text("source"), big())]),
                b"\x92".to_vec(),
            ]
            .concat(),
        ),
        odd(
            "an int of a million digits",
            call("builtins", "int", &[text(&"9".repeat(1_000_000))]),
        ),
        case(
            "a rebuild of a dangerous function",
            pickle(call(
                "torch._tensor",
                "_rebuild_from_type_v2",
                &[
                    global("os", "system"),
                    global("torch", "Tensor"),
                    tuple(&[text("x")]),
                    vec![b'N'],
                ],
            )),
            Dangerous,
            "dangerous-global",
        ),
        case(
            "a pickle in bytes for another loader",
            pickle(call(
                "some.module",
                "load_config",
                &[[&b"B"[..], &(hidden().len() as u32).to_le_bytes(), &hidden()].concat()],
            )),
            Dangerous,
            "hidden-pickle",
        ),
        case(
            "a pickle in bytes in an archive",
            checkpoint(&pickle(call(
                "torch.storage",
                "_load_from_bytes",
                &[[&b"B"[..], &(hidden().len() as u32).to_le_bytes(), &hidden()].concat()],
            ))),
            Dangerous,
            "hidden-pickle",
        ),
    ]
}

/// Readers that disagree on an archive, and archives that are no archives.
fn archives() -> Vec<Case> {
    let good = || members(&good_pickle());
    let with = |more: Vec<Entry>| Zip::of([good(), more].concat());
    let changed = |change: fn(&mut Entry)| {
        let mut entries = members(&hidden());
        change(&mut entries[0]);
        Zip::of(entries).build()
    };
    let zip = Zip::of(members(&hidden())).build();
    vec![
        case(
            "a second pickle in capitals",
            with(vec![entry("archive/DATA.PKL", &hidden())]).build(),
            Dangerous,
            "malformed",
        ),
        case(
            "a second pickle of the same name",
            with(vec![entry("archive/data.pkl", &hidden())]).build(),
            Dangerous,
            "malformed",
        ),
        case(
            "a pickle that the directory leaves out",
            with(vec![Entry {
                hidden: true,
                ..entry("archive/data.pkl", &hidden())
            }])
            .build(),
            Dangerous,
            "malformed",
        ),
        case(
            "another name in the local header",
            changed(|entry| entry.local_name = Some(b"archive/date.pkl".to_vec())),
            Dangerous,
            "malformed",
        ),
        case(
            "an encryption bit in the local header",
            changed(|entry| entry.local_flags = Some(1)),
            Dangerous,
            "malformed",
        ),
        case(
            "an encryption bit in both headers",
            changed(|entry| entry.flags = 1),
            Dangerous,
            "unsupported",
        ),
        case(
            "a patch bit",
            changed(|entry| entry.flags = 0x20),
            Dangerous,
            "unsupported",
        ),
        case(
            "a wrong checksum",
            changed(|entry| entry.crc = Some(1)),
            Dangerous,
            "dangerous-global",
        ),
        case(
            "another method in the local header",
            changed(|entry| entry.local_method = Some(8)),
            Malformed,
            "malformed",
        ),
        case(
            "a method that nobody has",
            changed(|entry| entry.method = 12),
            Dangerous,
            "unsupported",
        ),
        case(
            "another size in the local header",
            changed(|entry| entry.local_size = Some(5)),
            Dangerous,
            "malformed",
        ),
        case(
            "bytes before the archive",
            Zip {
                before: hidden(),
                shifted: true,
                ..Zip::of(good())
            }
            .build(),
            Dangerous,
            "dangerous-call",
        ),
        case(
            "a pickle before an archive",
            [hidden(), Zip::of(good()).build()].concat(),
            Dangerous,
            "dangerous-call",
        ),
        case(
            "bytes behind the archive",
            Zip {
                after: b"xx".to_vec(),
                ..Zip::of(members(&hidden()))
            }
            .build(),
            Dangerous,
            "malformed",
        ),
        case(
            "a comment that holds an archive",
            Zip {
                comment: zip.clone(),
                ..Zip::of(good())
            }
            .build(),
            Dangerous,
            "malformed",
        ),
        case(
            "a gap between the members",
            Zip {
                gap: hidden(),
                ..Zip::of(members(&hidden()))
            }
            .build(),
            Dangerous,
            "malformed",
        ),
        case(
            "two archives in a row",
            [Zip::of(good()).build(), zip.clone()].concat(),
            Dangerous,
            "archives-in-a-row",
        ),
        case(
            "a storage that is shorter than claimed",
            checkpoint(&pickle_of(tensor(
                storage("FloatStorage", "0", 4),
                0,
                &[4],
                &[1],
            ))),
            Malformed,
            "malformed",
        ),
        case(
            "strides beyond the storage",
            checkpoint(&pickle_of(tensor(
                storage("FloatStorage", "0", 2),
                0,
                &[2],
                &[1000],
            ))),
            Malformed,
            "malformed",
        ),
        case(
            "a 7z archive",
            [&b"7z\xbc\xaf\x27\x1c"[..], &hidden()].concat(),
            Incomplete,
            "wrapper",
        ),
        case(
            "an xz file",
            b"\xfd7zXZ\0\0\x04".to_vec(),
            Incomplete,
            "wrapper",
        ),
        case(
            "a zstd file",
            b"\x28\xb5\x2f\xfd\x04".to_vec(),
            Incomplete,
            "wrapper",
        ),
        case(
            "a rar archive in a zip",
            Zip::of(vec![entry("a", b"Rar!\x1a\x07\x01\0")]).build(),
            Incomplete,
            "wrapper",
        ),
        case("archives too deep", deep(), Incomplete, "nested-too-deep"),
        case(
            "a broken gzip file",
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03xx".to_vec(),
            Malformed,
            "malformed",
        ),
        case(
            "a safetensors file that is an archive too",
            polyglot(),
            Malformed,
            "malformed",
        ),
        case(
            "content that nobody knows",
            vec![0xfe; 100],
            Unrecognised,
            "unknown-content",
        ),
    ]
}

fn deep() -> Vec<u8> {
    (0..12).fold(hidden(), |inner, _| {
        Zip::of(vec![deflated("model", &inner)]).build()
    })
}

/// A header length that starts with `PK\3\4`, and a header.
fn polyglot() -> Vec<u8> {
    let length = u64::from_le_bytes(*b"PK\x03\x04\0\0\0\0");
    let mut file = length.to_le_bytes().to_vec();
    file.push(b'{');
    file.resize(8 + length as usize, b' ');
    file.extend(b"x");
    file
}

/// Small files that ask for much.
fn bombs() -> Vec<Case> {
    let doubling = {
        let mut body = b"]".to_vec();
        for _ in 0..64 {
            body.extend(b"2\x86");
        }
        pickle(body)
    };
    let zeros = vec![0_u8; 64 << 20];
    vec![
        case(
            "a deflate bomb",
            Zip::of(vec![
                deflated("archive/data.pkl", &zeros),
                entry("archive/version", b"3\n"),
            ])
            .build(),
            Incomplete,
            "limit",
        ),
        case(
            "a gzip bomb",
            containers::ALL
                .iter()
                .find(|row| row.0 == "a gzip file")
                .unwrap()
                .1(&zeros),
            Incomplete,
            "limit",
        ),
        case(
            "2 to 64 nodes behind a payload",
            [&hidden()[..hidden().len() - 1], b"0", &doubling[2..]].concat(),
            Dangerous,
            "dangerous-call",
        ),
        case(
            "a million marks behind a payload",
            [&hidden()[..hidden().len() - 1], &b"(".repeat(2_000_000)[..]].concat(),
            Dangerous,
            "limit",
        ),
    ]
}

/// What runs and is no pickle.
fn beyond() -> Vec<Case> {
    let template = |text: &str| {
        let value = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        Gguf::default()
            .pair(b"tokenizer.chat_template", STRING, &value)
            .build()
    };
    let lambda = r#"{"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "config": {"function": ["4wE=", null, null]}}]}}"#;
    let shards = |name: &str| {
        format!(r#"{{"metadata": {{}}, "weight_map": {{"w": "{name}"}}}}"#).into_bytes()
    };
    vec![
        case("a template that leaves its sandbox", template("{{ x.__class__.__base__.__subclasses__() }}"), Dangerous, "template-escape"),
        case("a template that leaves it by a filter", template("{% set c = x|attr('__cla' ~ 'ss__') %}"), Dangerous, "template-escape"),
        case("a template in a tokenizer's configuration", br#"{"chat_template": "{{ ''.__class__.__mro__ }}"}"#.to_vec(), Dangerous, "template-escape"),
        case("one of several templates", br#"{"chat_template": [{"name": "a", "template": "x"}, {"name": "b", "template": "{{ cycler.__init__.__globals__ }}"}]}"#.to_vec(), Dangerous, "template-escape"),
        case("a template of its own", b"{% for m in messages %}{{ m.__class__ }}{% endfor %}".to_vec(), Dangerous, "template-escape"),
        case("a Lambda layer", lambda.as_bytes().to_vec(), Dangerous, "keras-lambda"),
        case("a Lambda layer in a Keras archive", Zip::of(vec![entry("config.json", lambda.as_bytes())]).build(), Dangerous, "keras-lambda"),
        case("a Lambda layer in an HDF5 file", [&b"\x89HDF\r\n\x1a\n"[..], &[0; 90], lambda.as_bytes()].concat(), Dangerous, "keras-lambda"),
        case("a class of another package in Keras", br#"{"module": "os", "class_name": "system", "config": {}}"#.to_vec(), Dangerous, "keras-class"),
        case("code that a configuration names", br#"{"auto_map": {"AutoModel": "modeling_my.MyModel"}}"#.to_vec(), Unrecognised, "auto-map"),
        case("an index that leaves its folder", shards("../other/model.safetensors"), Malformed, "outside-folder"),
        case("an index that names the system", shards("/etc/passwd"), Malformed, "outside-folder"),
        case("a configuration that names a function", b"model:\n  _target_: os.system\n  command: x\n".to_vec(), Dangerous, "yaml-target"),
        case("a configuration in a NeMo archive", super::support::tar::tar(&[
            super::support::tar::file("model_config.yaml", b"a:\n  - _target_: builtins.exec\n"),
        ]), Dangerous, "yaml-target"),
        case("ONNX weights outside the folder", onnx("ai.onnx", "../../secret"), Malformed, "outside-folder"),
        case("ONNX operators of nobody", onnx("my.company", "weights.bin"), Unrecognised, "onnx-domain"),
    ]
}

/// `ModelProto` with an initializer outside the file.
fn onnx(domain: &str, location: &str) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let place = [field(1, b"location"), field(2, location.as_bytes())].concat();
    let tensor = [field(8, b"weight"), field(13, &place)].concat();
    let graph = field(5, &tensor);
    [
        vec![8, 9],
        field(7, &graph),
        field(8, &field(1, domain.as_bytes())),
    ]
    .concat()
}
