//! What is of no format, of two, or of one that holds others: detection, wrappers, streams of pickles,
//! names that look alike. Measured with torch 2.15.0 and CPython 3.11 where the row names them.

use std::io::Write;

use crate::Class::{Accept, Reject, Warn};
use crate::Ours::{Malformed, Noted, Unsupported};
use crate::support::gguf::Gguf;
use crate::support::safetensors::build;
use crate::support::tar::{file, tar};
use crate::support::torch::{LEGACY_MAGIC, checkpoint, good_legacy, good_pickle, pickle, text};
use crate::support::zip::{Zip, entry};
use crate::{Row, both, row};

pub fn rows() -> Vec<Row> {
    let tables = [others(), polyglots(), streams(), pickles(), look_alikes()];
    tables.into_iter().flatten().collect()
}

const OPENED: &str = "a scan opens it, and finds nothing that runs";

/// Formats that are named, not read.
fn others() -> Vec<Row> {
    let other = |name: &'static str, named: &'static str, start: &[u8]| {
        let bytes = [start, &[0; 600]].concat();
        both(name, "not measured", Reject, bytes).is(Unsupported(named))
    };
    let onnx = b"\x08\x08\x12\x07pytorch\x1a\x032.5:\x04\x12\x02gr\x42\x02\x10\x11".to_vec();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"no checkpoint").unwrap();
    let npz = Zip::of(vec![entry("weight.npy", b"\x93NUMPY\x01\0")]);
    let keras = Zip::of(vec![
        entry("metadata.json", b"{}"),
        entry("config.json", b"{}"),
        entry("model.weights.h5", b"\x89HDF\r\n\x1a\n"),
    ]);
    vec![
        other("seven_zip", "7z archive", b"7z\xbc\xaf\x27\x1c\0\x04"),
        both("gzip", "not measured", Reject, gzip.finish().unwrap())
            .is(Unsupported("gzip"))
            .scanned_safe(OPENED),
        both(
            "tar_of_other_files",
            "torch: error",
            Reject,
            tar(&[file("weights.txt", b"text")]),
        )
        .is(Unsupported("tar"))
        .scanned_safe(OPENED),
        other("bzip2", "bzip2 file", b"BZh91AY&SY"),
        other("xz", "xz file", b"\xfd7zXZ\0"),
        other("zstd", "zstd file", b"\x28\xb5\x2f\xfd"),
        other("lz4", "lz4 file", b"\x04\x22\x4d\x18"),
        other("rar", "rar archive", b"Rar!\x1a\x07\x01\0"),
        other("hdf5", "HDF5 file", b"\x89HDF\r\n\x1a\n"),
        both("onnx", "not measured", Reject, onnx)
            .is(Unsupported("ONNX"))
            .scanned_safe(OPENED),
        both("npz", "torch: error", Reject, npz.build()).is(Unsupported("npz")),
        both("keras", "torch: error", Reject, keras.build()).is(Unsupported("Keras")),
        other("npy", "NumPy array file", b"\x93NUMPY\x01\0"),
        other("tensorflow_lite", "TensorFlow Lite file", b"\x1c\0\0\0TFL3"),
        other("ggml", "pre-GGUF ggml file", b"lmgg"),
        other(
            "lfs_pointer",
            "Git LFS pointer",
            b"version https://git-lfs.github.com/spec/v1\n",
        ),
        both("empty", "not measured", Reject, Vec::new())
            .is(Unsupported("an empty file"))
            .scanned_safe("nothing hides in nothing"),
        both("zeros", "not measured", Reject, vec![0; 600]).is(Malformed("unexpected")),
    ]
}

/// Bytes that are of two formats at once.
fn polyglots() -> Vec<Row> {
    let mut gguf_and_tar = tar(&[file("GGUF", b"text")]);
    let header = Gguf::default().head();
    gguf_and_tar[..header.len()].copy_from_slice(&header);
    mend_checksum(&mut gguf_and_tar);
    vec![
        both(
            "gguf_and_tar",
            "llama.cpp reads a GGUF; torch an archive",
            Reject,
            gguf_and_tar,
        )
        .is(Malformed("unexpected")),
    ]
}

/// Writes the checksum of the first header of a tar archive.
fn mend_checksum(file: &mut [u8]) {
    file[148..156].copy_from_slice(b"        ");
    let sum: u32 = file[..512].iter().map(|&byte| u32::from(byte)).sum();
    file[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// The legacy stream, the old archive and the bare pickle: what follows the last part, or is missing.
fn streams() -> Vec<Row> {
    let (_, whole) = samples().swap_remove(3);
    let between_members = whole[..1024].to_vec();
    let without_end = whole[..whole.len() - 1024].to_vec();
    let after = |more: &[u8]| [&good_legacy()[..], more].concat();
    let ignored = "torch and CPython ignore what follows; it is reported, and a scan walks it";
    vec![
        both("tar", "torch accepts", Accept, whole),
        row(
            "tar_cut_between_members",
            "Python's tarfile accepts what is left",
            [Reject, Reject],
            between_members,
        )
        .is(Malformed("truncated"))
        .lenient(Noted(&["archive-end"]))
        .because("lenient: what is there has one meaning, and that more may be missing is said"),
        row(
            "tar_without_its_end",
            "Python's tarfile accepts",
            [Reject, Reject],
            without_end,
        )
        .is(Malformed("truncated"))
        .lenient(Noted(&["archive-end"]))
        .because("lenient: what is there has one meaning, and that more may be missing is said"),
        both("legacy", "torch accepts", Accept, good_legacy()),
        both("legacy_byte_more", "torch accepts", Reject, after(&[0]))
            .is(Noted(&["trailing-bytes"]))
            .because(ignored),
        both(
            "legacy_second_magic",
            "torch accepts",
            Reject,
            after(LEGACY_MAGIC),
        )
        .is(Noted(&["trailing-bytes"]))
        .because(ignored),
        both(
            "legacy_twice",
            "torch reads the first",
            Reject,
            after(&good_legacy()),
        )
        .is(Noted(&["trailing-bytes"]))
        .because(ignored),
        both(
            "legacy_cut",
            "torch: error",
            Reject,
            good_legacy()[..good_legacy().len() - 1].to_vec(),
        )
        .is(Malformed("truncated")),
        both(
            "bare_pickle_then_another",
            "CPython reads the first, then the second if asked again",
            Reject,
            pickle(text("a")).repeat(2),
        )
        .because("repeated calls of `pickle.load` read them: each is walked and judged"),
        both(
            "bare_pickle_then_a_byte",
            "CPython reads the first",
            Reject,
            [pickle(text("a")), b"\xff".to_vec()].concat(),
        )
        .is(Noted(&["trailing-bytes"]))
        .because(ignored),
    ]
}

/// Pickles that CPython's two unpicklers or torch's read differently, or that none reads.
fn pickles() -> Vec<Row> {
    let raw = checkpoint;
    let good = good_pickle()[2..].to_vec();
    let framed = |length: u64, body: &[u8]| {
        let frame = [&b"\x80\x04\x95"[..], &length.to_le_bytes(), body].concat();
        checkpoint(&frame)
    };
    let reject = |name: &'static str, peers: &'static str, bytes: Vec<u8>, code: &'static str| {
        both(name, peers, Reject, bytes).is(Malformed(code))
    };
    vec![
        reject(
            "opcodes_after_stop",
            "torch ignores them",
            raw(b"\x80\x02}.N"),
            "trailing-bytes",
        ),
        reject(
            "frame_too_long",
            "CPython: error",
            framed(255, b"}."),
            "truncated",
        ),
        both(
            "frame_ends_inside_an_opcode",
            "CPython's C before 3.13.15 reads on; its Python code: error",
            Reject,
            framed(3, &good),
        )
        .is(Noted(&["frame"]))
        .because("tensors are read whatever the verdict, which is malformed"),
        both(
            "frame_right",
            "CPython accepts",
            Accept,
            framed(good.len() as u64, &good),
        ),
        both("protocol_6", "CPython: error", Reject, raw(b"\x80\x06}."))
            .is(Unsupported("protocol 6")),
        reject(
            "opcode_unknown",
            "CPython: error",
            raw(b"\x80\x02\xff."),
            "unexpected",
        ),
        reject(
            "memo_unset",
            "CPython: error",
            raw(b"\x80\x02h\x07."),
            "missing",
        ),
        reject(
            "mark_missing",
            "CPython: error",
            raw(b"\x80\x02t."),
            "unexpected",
        ),
        reject(
            "stack_empty",
            "CPython: error",
            raw(b"\x80\x02."),
            "unexpected",
        ),
        reject(
            "stop_missing",
            "CPython: error",
            raw(b"\x80\x02}"),
            "truncated",
        ),
    ]
}

/// Names that people take for one another: bytes are compared, nothing else.
fn look_alikes() -> Vec<Row> {
    let twins = |first: &str, second: &str| {
        let info = |start: u8| {
            format!(
                r#"{{"dtype":"U8","shape":[1],"data_offsets":[{start},{}]}}"#,
                start + 1
            )
        };
        let header = format!(r#"{{"{first}":{},"{second}":{}}}"#, info(0), info(1));
        build(&header, &[1, 2])
    };
    let reason = "who looks alike depends on fonts and on Unicode's tables, which change";
    vec![
        row(
            "cyrillic_letter",
            "all accept",
            [Warn, Warn],
            twins("weight", "w\u{435}ight"),
        )
        .because(reason),
        row(
            "zero_width_space",
            "all accept",
            [Warn, Warn],
            twins("weight", "wei\u{200b}ght"),
        )
        .because(reason),
        row(
            "composed_and_decomposed",
            "all accept",
            [Warn, Warn],
            twins("\u{e9}", "e\u{301}"),
        )
        .because(reason),
        both("by_case", "all accept", Accept, twins("weight", "Weight")),
    ]
}

/// One right file of each format that is told apart.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let header = r#"{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#;
    let gguf = Gguf::default().tensor("x", &[8], 0, &[0; 32]);
    let tar = tar(&[
        file("storages", b"\x80\x02K\0.\x80\x02]."),
        file("tensors", b"\x80\x02K\0."),
        file("pickle", b"\x80\x02}."),
    ]);
    vec![
        ("safetensors", build(header, &[1, 2])),
        ("gguf", gguf.build()),
        ("torch-zip", checkpoint(&good_pickle())),
        ("torch-tar", tar),
        ("torch-legacy", good_legacy()),
        ("pickle", pickle(text("a"))),
    ]
}
