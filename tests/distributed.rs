//! Distributed checkpoints of torch: written by two ranks, whole and damaged.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::path::Path;

use weighbridge::{Checkpoint, Error, ErrorKind, Verdict};

fn folder() -> std::path::PathBuf {
    support::file("torch/distributed/two_ranks")
}

#[test]
fn whole_tensors_are_borrowed_and_chunked_ones_joined() {
    let model = weighbridge::open(folder()).unwrap();
    assert_eq!(model.verdict(), Verdict::Safe);
    let plain = model.tensor("model.plain").unwrap();
    let location = plain.location().unwrap();
    let file = std::fs::read(&model.files()[location.file].path).unwrap();
    let start = location.offset as usize;
    let bytes = plain.bytes().unwrap();
    assert_eq!(&file[start..start + location.length as usize], bytes);
    let rows = model.tensor("model.rows").unwrap();
    assert_eq!(rows.location(), None);
    assert_eq!(rows.bytes().unwrap_err().kind(), ErrorKind::Caller);
    let mut values = vec![0.0_f32; rows.elements()];
    rows.dequantize_into(&mut values).unwrap();
}

/// Every part of every axis equals the same part of the joined whole.
#[test]
fn parts_of_joined_tensors_are_parts_of_the_whole() {
    let model = weighbridge::open(folder()).unwrap();
    let mut parts = 0;
    for name in ["rows", "columns", "middle"] {
        let tensor = model.tensor(&format!("model.{name}")).unwrap();
        let shape = tensor.shape().to_vec();
        let mut whole = vec![0.0_f32; tensor.elements()];
        tensor.dequantize_into(&mut whole).unwrap();
        for axis in 0..shape.len() {
            for start in 0..=shape[axis] {
                for end in start..=shape[axis] {
                    let part = tensor.narrow(axis, start..end).unwrap();
                    let mut found = vec![0.0_f32; part.elements()];
                    part.dequantize_into(&mut found).unwrap();
                    let inner: usize = shape[axis + 1..].iter().product();
                    let expected: Vec<f32> = whole
                        .iter()
                        .enumerate()
                        .filter(|(at, _)| (start..end).contains(&(at / inner % shape[axis])))
                        .map(|(_, &value)| value)
                        .collect();
                    assert_eq!(found, expected, "{name}, axis {axis}, {start}..{end}");
                    parts += 1;
                }
            }
        }
    }
    assert!(parts >= 100, "{parts}");
}

fn copy() -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    for file in support::files_below(&folder()) {
        std::fs::copy(&file, target.path().join(file.file_name().unwrap())).unwrap();
    }
    target
}

/// Opens the checkpoint with a piece of `.metadata` replaced by one as long.
fn damaged(from: &[u8], to: &[u8]) -> Result<Checkpoint, Error> {
    assert_eq!(from.len(), to.len());
    let folder = copy();
    let path = folder.path().join(".metadata");
    let mut bytes = std::fs::read(&path).unwrap();
    let mut replaced = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + from.len()].copy_from_slice(to);
            replaced += 1;
        }
    }
    assert!(replaced > 0);
    std::fs::write(&path, bytes).unwrap();
    weighbridge::open(folder.path() as &Path)
}

#[test]
fn damage_is_named() {
    for (from, to, expected) in [
        (&b"__0_0.distcp"[..], &b"../x0.distcp"[..], "a file name"),
        (b"__0_0.distcp", b"__7_0.distcp", "__7_0.distcp"),
        (b"storage_data", b"storage_date", "bytes of the chunk"),
        (b"relative_path", b"relative_pash", "relative_path"),
        (b"model.columns", b"model.colomns", "stands twice"),
        (b"\x8c\x07offsets", b"\x8c\x07affsets", "offsets"),
    ] {
        let result = damaged(from, to);
        if expected == "stands twice" {
            // The memo shares the text, so that the name changes everywhere at once.
            assert!(result.unwrap().contains("model.colomns"));
            continue;
        }
        let error = result.unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert!(error.file().is_some(), "{error}");
    }
}

#[test]
fn a_missing_or_cut_file_is_an_error_that_names_it() {
    for file in ["__0_0.distcp", "__1_0.distcp"] {
        let folder = copy();
        let path = folder.path().join(file);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let error = weighbridge::open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert_eq!(error.file(), Some(path.as_path()));
        std::fs::remove_file(&path).unwrap();
        let error = weighbridge::open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(error.file(), Some(path.as_path()));
    }
}

#[test]
fn what_the_description_would_run_is_found() {
    let folder = copy();
    let mut bytes = b"\x80\x02cos\nsystem\nX\x02\0\0\0id\x85R0".to_vec();
    bytes.extend(std::fs::read(folder.path().join(".metadata")).unwrap());
    std::fs::write(folder.path().join(".metadata"), bytes).unwrap();
    let error = weighbridge::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
}

/// Descriptions of checkpoints put together by hand, as `torch/distributed/checkpoint/metadata.py` lays them out.
mod by_hand {
    use super::support::torch::{call, dict, global, int, ints, pickle, text, tuple};
    use super::{Error, ErrorKind};

    type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

    const METADATA: &str = "torch.distributed.checkpoint.metadata";

    fn object(module: &str, class: &str, attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let attributes: Pairs = attributes
            .iter()
            .map(|(name, value)| (text(name), value.clone()))
            .collect();
        [
            global(module, class),
            b")\x81".to_vec(),
            dict(&attributes),
            b"b".to_vec(),
        ]
        .concat()
    }

    fn size(numbers: &[i32]) -> Vec<u8> {
        call("torch", "Size", &[ints(numbers)])
    }

    fn list(items: Vec<u8>) -> Vec<u8> {
        [b"](".to_vec(), items, b"e".to_vec()].concat()
    }

    /// Where one chunk is stored, with more to say of it.
    fn stored(offset: Vec<u8>, more: &[(&str, Vec<u8>)]) -> (Vec<u8>, Vec<u8>) {
        let index = [("fqn", text("w")), ("offset", offset), ("index", int(0))];
        let mut info = vec![
            ("relative_path", text("__0_0.distcp")),
            ("offset", int(0)),
            ("length", int(100)),
        ];
        info.extend_from_slice(more);
        let module = "torch.distributed.checkpoint.filesystem";
        (
            object(METADATA, "MetadataIndex", &index),
            object(module, "_StorageInfo", &info),
        )
    }

    fn chunk(offsets: &[i32], sizes: &[i32]) -> Vec<u8> {
        let parts = [("offsets", size(offsets)), ("sizes", size(sizes))];
        object(METADATA, "ChunkStorageMetadata", &parts)
    }

    fn metadata(attributes: &[(&str, Vec<u8>)], stored: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let state = tuple(&[global("torch", "float32")]);
        let properties = [
            global(METADATA, "TensorProperties"),
            b")\x81".to_vec(),
            state,
            b"b".to_vec(),
        ];
        let mut tensor = vec![("properties", properties.concat())];
        tensor.extend_from_slice(attributes);
        let tensor = object(METADATA, "TensorStorageMetadata", &tensor);
        let parts = [
            ("state_dict_metadata", dict(&[(text("w"), tensor)])),
            ("storage_data", dict(stored)),
        ];
        pickle(object(METADATA, "Metadata", &parts))
    }

    fn error(metadata: &[u8]) -> Error {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".metadata"), metadata).unwrap();
        std::fs::write(folder.path().join("__0_0.distcp"), [0; 100]).unwrap();
        weighbridge::open(folder.path()).unwrap_err()
    }

    #[test]
    fn descriptions_that_break_a_rule_are_errors() {
        let whole = || [("size", size(&[2])), ("chunks", list(chunk(&[0], &[2])))];
        let good = || stored(size(&[0]), &[]);
        let compressed = list(text("zstd"));
        for (bytes, kind, code, words) in [
            (
                metadata(
                    &whole(),
                    &[stored(size(&[0]), &[("transform_descriptors", compressed)])],
                ),
                ErrorKind::Unsupported,
                "",
                "transformed chunks",
            ),
            (
                metadata(&whole(), &[good(), good()]),
                ErrorKind::Malformed,
                "duplicate",
                "chunk \"w\"",
            ),
            (
                metadata(
                    &[
                        ("size", size(&[2])),
                        ("chunks", list(chunk(&[0], &[2]).repeat(4097))),
                    ],
                    &[good()],
                ),
                ErrorKind::Limit,
                "",
                "4097",
            ),
            // A plain tuple is as good as a `torch.Size`, with numbers from 0 up.
            (
                metadata(&whole(), &[stored(ints(&[-1]), &[])]),
                ErrorKind::Malformed,
                "out-of-range",
                "a chunk's offset",
            ),
            (
                metadata(
                    &[("size", ints(&[-2])), ("chunks", list(Vec::new()))],
                    &[good()],
                ),
                ErrorKind::Malformed,
                "out-of-range",
                "a tensor's size",
            ),
            (
                metadata(&whole(), &[stored(text("0"), &[])]),
                ErrorKind::Malformed,
                "unexpected",
                "no tuple",
            ),
            (
                metadata(&[("size", size(&[2]))], &[good()]),
                ErrorKind::Malformed,
                "missing",
                "chunks",
            ),
            (
                pickle(dict(&[])),
                ErrorKind::Malformed,
                "unexpected",
                "one Metadata object",
            ),
        ] {
            let error = error(&bytes);
            assert_eq!(error.kind(), kind, "{error}");
            let found = error.as_malformed().map_or("", |rule| rule.code());
            assert_eq!(found, code, "{error}");
            assert!(error.to_string().contains(words), "{words}: {error}");
            let file = error.file().and_then(|file| file.file_name());
            assert_eq!(file, Some(".metadata".as_ref()), "{error}");
            assert!(error.offset().is_some(), "{error}");
        }
    }

    #[test]
    fn a_tensor_has_up_to_4096_chunks() {
        for (count, limited) in [(4_096, false), (4_097, true)] {
            let chunks = list(chunk(&[0], &[2]).repeat(count));
            let parts = [("size", size(&[2])), ("chunks", chunks)];
            let error = error(&metadata(&parts, &[stored(size(&[0]), &[])]));
            assert_eq!(error.kind() == ErrorKind::Limit, limited, "{error}");
        }
    }

    #[test]
    fn a_number_below_0_is_told() {
        let parts = [("size", ints(&[-2])), ("chunks", list(Vec::new()))];
        let error = error(&metadata(&parts, &[]));
        assert!(error.to_string().contains("-1"), "{error}");
    }

    /// An empty list of transforms is none: what is wrong is found in the file of the chunk.
    #[test]
    fn descriptions_without_transforms_lead_to_the_chunks() {
        let none = stored(ints(&[0]), &[("transform_descriptors", b"]".to_vec())]);
        let chunks = list(chunk(&[0], &[2]));
        let error = error(&metadata(
            &[("size", size(&[2])), ("chunks", chunks)],
            &[none],
        ));
        let file = error.file().and_then(|file| file.file_name());
        assert_eq!(file, Some("__0_0.distcp".as_ref()), "{error}");
    }
}
