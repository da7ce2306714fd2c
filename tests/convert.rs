//! Conversions, read back by the official crate and compared with the official writers.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use weighbridge::convert::{ConvertOptions, Converted, DTypePolicy, convert};
use weighbridge::{Checkpoint, DType, ErrorKind, OpenOptions, Result};

fn hex(digest: impl AsRef<[u8]>) -> String {
    let bytes = digest.as_ref().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// Every fixture that is a file, with what the official reader sees in it.
fn fixtures() -> Vec<(PathBuf, Json)> {
    let text = std::fs::read_to_string(support::file("expected.json")).unwrap();
    let json: Json = serde_json::from_str(&text).unwrap();
    let files = json["files"].as_array().unwrap().iter();
    let files: Vec<_> = files
        .map(|file| (support::file(file["path"].as_str().unwrap()), file.clone()))
        .filter(|(path, _)| path.is_file())
        .collect();
    assert!(files.len() > 150, "only {} files", files.len());
    files
}

/// An empty folder, and a path in it.
fn out(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    (folder, path)
}

fn open(name: &str) -> Checkpoint {
    weighbridge::open(support::file(name)).unwrap()
}

fn files_in(folder: &Path) -> Vec<String> {
    let names = support::files_below(folder).into_iter();
    names
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn metadata_of(path: &Path) -> HashMap<String, String> {
    let bytes = std::fs::read(path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    metadata.metadata().clone().unwrap_or_default()
}

/// Names and bytes, as the official crate reads them.
fn official(path: &Path) -> BTreeMap<String, (String, Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let dtype = view.dtype().to_string();
        (name, (dtype, view.shape().to_vec(), view.data().to_vec()))
    });
    tensors.collect()
}

/// The file that the official crate writes for the same tensors and metadata.
fn written_officially(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let metadata = Some(metadata_of(path)).filter(|metadata| !metadata.is_empty());
    safetensors::serialize(file.tensors(), metadata).unwrap()
}

#[test]
fn every_fixture_converts_to_what_the_official_readers_see() {
    let (_folder, path) = out("out.safetensors");
    let mut compared = [0, 0];
    for (source, expected) in fixtures() {
        let Ok(model) = OpenOptions::new().single_file(true).open(&source) else {
            continue;
        };
        let policy = match model.format() {
            weighbridge::Format::Gguf => DTypePolicy::F32,
            _ => DTypePolicy::Keep,
        };
        let options = ConvertOptions::new()
            .dtype(policy)
            .clone_shared(true)
            .companions(true)
            .overwrite(true)
            .skip_absent(true);
        match options.convert(&model, &path, None) {
            Ok(_) => {}
            // Types without a place in safetensors, whose names the error gives.
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{source:?}: {error}");
                assert!(error.tensor().is_some(), "{source:?}: {error}");
                continue;
            }
        }
        let tensors = official(&path);
        for tensor in expected["tensors"].as_array().into_iter().flatten() {
            let name = tensor["name"].as_str().unwrap();
            let found = tensors.get(name);
            let Some((dtype, _, bytes)) = found else {
                // Sparse, nameless or without data.
                continue;
            };
            let gguf = expected["format"] == "gguf";
            if gguf && tensor["dtype"].as_str().unwrap().starts_with("NVFP4") {
                continue;
            }
            let (key, which) = match gguf && dtype == "F32" {
                true => ("f32_sha256", 1),
                false => ("sha256", 0),
            };
            let Some(digest) = tensor[key].as_str() else {
                continue;
            };
            if key == "f32_sha256" && has_nan(bytes) {
                continue;
            }
            assert_eq!(hex(Sha256::digest(bytes)), digest, "{source:?} {name}");
            compared[which] += 1;
        }
    }
    assert!(compared[0] > 600, "{compared:?} tensors compared");
    assert!(compared[1] > 100, "{compared:?} tensors compared");
}

fn has_nan(bytes: &[u8]) -> bool {
    let (values, _) = bytes.as_chunks::<4>();
    values
        .iter()
        .any(|value| f32::from_le_bytes(*value).is_nan())
}

#[test]
fn files_are_those_of_the_official_writer_byte_for_byte() {
    let (_folder, path) = out("out.safetensors");
    let mut files = 0;
    for (source, _) in fixtures() {
        let Ok(model) = OpenOptions::new().single_file(true).open(&source) else {
            continue;
        };
        let options = ConvertOptions::new()
            .provenance(false)
            .companions(true)
            .overwrite(true)
            .skip_absent(true);
        if options.convert(&model, &path, None).is_err() {
            continue;
        }
        // The official writer has no order for more metadata than one key.
        if metadata_of(&path).len() < 2 {
            let found = std::fs::read(&path).unwrap();
            assert!(found == written_officially(&path), "{source:?}");
            files += 1;
        }
    }
    assert!(files > 50, "{files} files");
    for name in ["network", "several_dtypes", "many_tensors", "zero_size"] {
        let source = support::file(&format!("safetensors/{name}.safetensors"));
        let model = weighbridge::open(&source).unwrap();
        let options = ConvertOptions::new().provenance(false).overwrite(true);
        options.convert(&model, &path, None).unwrap();
        let original = std::fs::read(&source).unwrap();
        assert!(std::fs::read(&path).unwrap() == original, "{name}");
    }
}

#[test]
fn tied_weights_are_written_once_under_the_name_that_loaders_keep() {
    let (_folder, path) = out("out.safetensors");
    let model = open("torch/tied.pt");
    let converted = convert(&model, &path).unwrap();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(converted.aliases, [pair("output", "embed")]);
    let tensors = official(&path);
    assert!(!tensors.contains_key("output"));
    // Other views of the same bytes are other tensors: their values cannot be had from a name.
    for name in ["embed", "head", "tail", "transposed", "flat", "own"] {
        let tensor = model.tensor(name).unwrap();
        let mut bytes = vec![0; tensor.byte_length() as usize];
        tensor.copy_into(&mut bytes).unwrap();
        assert_eq!(tensors[name].2, bytes, "{name}");
        assert_eq!(tensors[name].1, tensor.shape(), "{name}");
    }
    assert_eq!(metadata_of(&path)["output"], "embed");
    assert!(converted.separated.contains(&"transposed".to_owned()));

    let options = ConvertOptions::new().clone_shared(true).overwrite(true);
    let converted = options.convert(&model, &path, None).unwrap();
    assert_eq!(converted.aliases, []);
    let tensors = official(&path);
    assert_eq!(tensors["output"], tensors["embed"]);
    assert!(!metadata_of(&path).contains_key("output"));
}

#[test]
fn a_conjugated_view_is_no_alias_of_its_base() {
    let (_folder, path) = out("out.safetensors");
    let model = open("torch/conjugated.pt");
    let converted = convert(&model, &path);
    let converted = converted.or_else(|_| {
        let options = ConvertOptions::new().companions(true);
        options.convert(&model, &path, None)
    });
    assert_eq!(converted.unwrap().aliases, []);
}

#[test]
fn quantized_types_are_refused_by_name_unless_a_type_is_chosen() {
    let (folder, path) = out("out.safetensors");
    let model = open("gguf/quantized.gguf");
    let error = convert(&model, &path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        "tensor \"q4_0.weight\": not supported: writing Q4_0 in safetensors: \
         choose dtype f32, f16 or bf16"
    );
    assert_eq!(files_in(folder.path()), [] as [&str; 0]);
    for (policy, name) in [
        (DTypePolicy::F32, "F32"),
        (DTypePolicy::F16, "F16"),
        (DTypePolicy::BF16, "BF16"),
    ] {
        let options = ConvertOptions::new().dtype(policy).overwrite(true);
        options.convert(&model, &path, None).unwrap();
        for (tensor, (dtype, _, bytes)) in official(&path) {
            assert_eq!(dtype, name, "{tensor}");
            let view = model.tensor(&tensor).unwrap();
            let mut values = vec![0.0_f32; view.elements()];
            view.dequantize_into(&mut values).unwrap();
            let expected: Vec<u8> = match policy {
                DTypePolicy::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
                DTypePolicy::F16 => {
                    let round = |x: &f32| half::f16::from_f32(*x).to_le_bytes();
                    values.iter().flat_map(round).collect()
                }
                _ => {
                    let round = |x: &f32| half::bf16::from_f32(*x).to_le_bytes();
                    values.iter().flat_map(round).collect()
                }
            };
            assert!(bytes == expected, "{tensor} as {name}");
        }
    }
}

#[test]
fn integers_and_booleans_keep_their_types_under_every_policy() {
    let (_folder, path) = out("out.safetensors");
    let model = open("torch/dtypes.pt");
    let options = ConvertOptions::new()
        .dtype(DTypePolicy::BF16)
        .companions(true);
    options.convert(&model, &path, None).unwrap();
    let tensors = official(&path);
    let dtype = |name: &str| tensors[name].0.as_str();
    assert_eq!(dtype("float64"), "BF16");
    assert_eq!(dtype("int64"), "I64");
    assert_eq!(dtype("bool"), "BOOL");
    assert_eq!(dtype("complex64"), "C64");
}

#[test]
fn types_that_safetensors_lacks_are_refused_by_name_or_split() {
    let (_folder, path) = out("out.safetensors");
    for (file, name, companion, dtype) in [
        ("dtypes", "complex128", "complex128.view_as_real", "F64"),
        ("dtypes_v3", "complex32", "complex32.view_as_real", "F16"),
        ("quantized_per_tensor", "qint8", "qint8.int_repr", "I8"),
    ] {
        let model = open(&format!("torch/{file}.pt"));
        let error = convert(&model, &path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.tensor(), Some(name));
        let options = ConvertOptions::new().companions(true).overwrite(true);
        options.convert(&model, &path, None).unwrap();
        let tensors = official(&path);
        let source = model.tensor(name).unwrap();
        assert!(!tensors.contains_key(name));
        assert_eq!(tensors[companion].0, dtype);
        assert_eq!(tensors[companion].2, source.bytes().unwrap());
        let key = format!("weighbridge.dtype.{companion}");
        assert_eq!(
            Some(&*metadata_of(&path)[&key]),
            source.dtype().torch_name()
        );
        std::fs::remove_file(&path).unwrap();
    }
    // As safetensors.torch.save writes it: twice as many elements of F4.
    let options = ConvertOptions::new().companions(true);
    let model = open("torch/dtypes_v3.pt");
    options.convert(&model, &path, None).unwrap();
    let (dtype, shape, _) = &official(&path)["float4_e2m1fn_x2"];
    assert_eq!((dtype.as_str(), shape.as_slice()), ("F4", &[3, 10][..]));
    // No rows of whole bytes: an error under every option.
    let model = open("torch/quantized_per_channel.pt");
    let options = options.overwrite(true);
    let error = options.convert(&model, &path, None).unwrap_err();
    assert_eq!(error.tensor(), Some("quint4x2"));
}

#[test]
fn tensors_without_data_are_refused_or_named() {
    let (_folder, path) = out("out.safetensors");
    let model = open("torch/meta.pt");
    let error = convert(&model, &path).unwrap_err();
    assert_eq!(error.tensor(), Some("absent"));
    let options = ConvertOptions::new().skip_absent(true);
    let converted = options.convert(&model, &path, None).unwrap();
    assert_eq!(converted.left_out, ["absent"]);
    assert_eq!(official(&path).len(), 1);
}

#[test]
fn shards_hold_all_and_their_index_opens() {
    let (folder, path) = out("model.safetensors");
    let model = open("torch/network.pt");
    let options = ConvertOptions::new().shard_bytes(Some(8_000));
    let converted = options.convert(&model, &path, None).unwrap();
    assert!(converted.files.len() > 2, "{:?}", converted.files);
    assert!(!path.exists());
    let count = converted.files.len() - 1;
    let first = format!("model-00001-of-{count:05}.safetensors");
    assert!(files_in(folder.path()).contains(&first));
    let index = path.with_file_name("model.safetensors.index.json");
    assert_eq!(converted.files.last(), Some(&index));
    let opened = weighbridge::open(&index).unwrap();
    assert_eq!(opened.len(), converted.tensors);
    for tensor in opened.tensors() {
        let source = model.tensor(tensor.name()).unwrap();
        assert_eq!(tensor.bytes().unwrap(), source.bytes().unwrap());
    }
    let text = std::fs::read_to_string(&index).unwrap();
    let json: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(json["metadata"]["total_size"], converted.tensor_bytes);
    let mut ties = 0;
    for file in &converted.files[..count] {
        let held = official(file);
        let bytes: usize = held.values().map(|(_, _, bytes)| bytes.len()).sum();
        assert!(bytes <= 8_000 || held.len() == 1);
        ties += usize::from(metadata_of(file).contains_key("output.weight"));
    }
    assert_eq!(ties, 1, "the alias stands where its tensor is");
    // The folder is one model.
    assert_eq!(
        weighbridge::open(folder.path()).unwrap().len(),
        opened.len()
    );
    let again = options.convert(&model, &path, None).unwrap_err();
    assert_eq!(again.as_caller(), Some(&weighbridge::Caller::OutputExists));
    let again = options.overwrite(true).convert(&model, &path, None);
    assert_eq!(again.unwrap().files, converted.files);
    // What fits one file needs no index.
    let (folder, path) = out("model.safetensors");
    let options = ConvertOptions::new().shard_bytes(Some(1 << 30));
    options.convert(&model, &path, None).unwrap();
    assert_eq!(files_in(folder.path()), ["model.safetensors"]);
}

#[test]
fn the_metadata_says_where_a_file_comes_from() {
    let (_folder, path) = out("out.safetensors");
    let source = support::file("torch/network.pt");
    let model = weighbridge::open(&source).unwrap();
    convert(&model, &path).unwrap();
    let metadata = metadata_of(&path);
    let digest = hex(Sha256::digest(std::fs::read(&source).unwrap()));
    assert_eq!(metadata["weighbridge.source_sha256"], digest);
    assert_eq!(metadata["weighbridge.source_file"], "network.pt");
    assert_eq!(metadata["weighbridge.source_format"], "torch-zip");
    assert_eq!(metadata["weighbridge.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(metadata["format"], "pt");
    let options = ConvertOptions::new()
        .provenance(false)
        .overwrite(true)
        .metadata("format", "mine");
    options.convert(&model, &path, None).unwrap();
    let metadata = metadata_of(&path);
    assert_eq!(metadata["format"], "mine");
    assert!(metadata.keys().all(|key| !key.starts_with("weighbridge.")));
    // GGUF's keys as texts.
    let model = open("gguf/metadata_scalars.gguf");
    let options = ConvertOptions::new().overwrite(true);
    options.convert(&model, &path, None).unwrap();
    let metadata = metadata_of(&path);
    for (key, value) in model.metadata().iter() {
        let key = key.as_str().unwrap();
        if let Some(number) = value.as_integer() {
            assert_eq!(metadata[&format!("gguf.{key}")], number.to_string());
        }
    }
}

#[test]
fn a_dangerous_checkpoint_is_refused_unless_asked() {
    use support::torch::{checkpoint, dict, pickle, storage, tensor, text};
    let call = support::torch::call("os", "system", &[text("true")]);
    let good = tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]);
    let body = dict(&[(text("x"), good), (text("y"), call)]);
    let file = checkpoint(&pickle(body));
    let options = OpenOptions::new().allow_dangerous(true);
    let model = options.from_bytes(file).unwrap();
    let (folder, path) = out("out.safetensors");
    let error = convert(&model, &path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("system"), "{error}");
    assert_eq!(files_in(folder.path()), [] as [&str; 0]);
    let options = ConvertOptions::new().allow_dangerous(true);
    let converted = options.convert(&model, &path, None).unwrap();
    assert_eq!(converted.tensors, 1);
    assert_eq!(official(&path)["x"].2, [0, 0, 128, 63, 0, 0, 0, 64]);
}

#[test]
fn through_gguf_and_back_a_file_is_the_same() {
    let (folder, gguf) = out("model.gguf");
    let back = folder.path().join("back.safetensors");
    let first = folder.path().join("first.safetensors");
    for name in ["network", "network_bf16", "metadata"] {
        let source = support::file(&format!("safetensors/{name}.safetensors"));
        for policy in [DTypePolicy::Keep, DTypePolicy::F16, DTypePolicy::BF16] {
            let plain = ConvertOptions::new().provenance(false).overwrite(true);
            let typed = plain.clone().dtype(policy);
            let model = weighbridge::open(&source).unwrap();
            typed.convert(&model, &first, None).unwrap();
            let model = weighbridge::open(&first).unwrap();
            plain.convert(&model, &gguf, None).unwrap();
            let model = weighbridge::open(&gguf).unwrap();
            plain.convert(&model, &back, None).unwrap();
            let (first, back) = (std::fs::read(&first), std::fs::read(&back));
            // A file without metadata gets `format` on the way.
            let (first, back) = (first.unwrap(), back.unwrap());
            if weighbridge::open(&source).unwrap().metadata().is_empty() {
                let same = |bytes: &[u8]| Sha256::digest(&bytes[8 + header_bytes(bytes)..]);
                assert_eq!(same(&first), same(&back), "{name} {policy:?}");
            } else {
                assert!(first == back, "{name} {policy:?}");
            }
        }
    }
}

fn header_bytes(file: &[u8]) -> usize {
    u64::from_le_bytes(*file.first_chunk().unwrap()) as usize
}

#[test]
fn gguf_output_is_quantized_where_rows_allow() {
    let (_folder, path) = out("model.gguf");
    let model = open("torch/network.pt");
    for dtype in [DType::Q8_0, DType::Q4_0] {
        let options = ConvertOptions::new()
            .quantize(Some(dtype))
            .overwrite(true)
            .metadata("general.architecture", "example");
        options.convert(&model, &path, None).unwrap();
        let written = weighbridge::open(&path).unwrap();
        assert_eq!(written.len(), model.len());
        let mut quantized = 0;
        for tensor in model.tensors() {
            let found = written.tensor(tensor.name()).unwrap();
            let shape = tensor.shape();
            let rows = shape.len() > 1 && shape.last().unwrap().is_multiple_of(32);
            if !rows || tensor.dtype() != DType::F32 {
                assert_eq!(found.dtype(), tensor.dtype(), "{}", tensor.name());
                continue;
            }
            let mut values = vec![0.0_f32; tensor.elements()];
            tensor.dequantize_into(&mut values).unwrap();
            let mut expected = vec![0; found.byte_length() as usize];
            weighbridge::quant::quantize(dtype, &values, &mut expected).unwrap();
            assert_eq!(found.bytes().unwrap(), expected);
            quantized += 1;
        }
        assert!(quantized > 2);
        let metadata = written.metadata();
        let text = |key| metadata.get(key).unwrap().as_str().unwrap().to_owned();
        assert_eq!(text("general.architecture"), "example");
        let digest = Sha256::digest(std::fs::read(support::file("torch/network.pt")).unwrap());
        assert_eq!(text("weighbridge.source_sha256"), hex(digest));
        let version = metadata.get("general.quantization_version").unwrap();
        assert_eq!(version.as_u64(), Some(2));
    }
}

#[test]
fn every_kind_of_layout_and_conversion_is_the_same_in_pieces() {
    // Larger than the pieces in which workers take tensors.
    let rows = 700;
    let values: Vec<f32> = (0..rows * 1024).map(|x| (x as f32).sin()).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![rows, 1024], &bytes);
    let file = safetensors::serialize([("x", view.unwrap())], None).unwrap();
    let model = Checkpoint::from_bytes(file).unwrap();
    let (_folder, path) = out("out.safetensors");
    convert(&model, &path).unwrap();
    assert!(official(&path)["x"].2 == bytes);
    let options = ConvertOptions::new()
        .overwrite(true)
        .dtype(DTypePolicy::F16);
    options.convert(&model, &path, None).unwrap();
    let half: Vec<u8> = values
        .iter()
        .flat_map(|&x| half::f16::from_f32(x).to_le_bytes())
        .collect();
    assert!(official(&path)["x"].2 == half);
    let gguf = path.with_extension("gguf");
    let options = options.quantize(Some(DType::Q8_0));
    options.convert(&model, &gguf, None).unwrap();
    let written = weighbridge::open(&gguf).unwrap();
    let mut expected = vec![0; rows * 1024 / 32 * 34];
    weighbridge::quant::quantize(DType::Q8_0, &values, &mut expected).unwrap();
    assert!(written.tensor("x").unwrap().bytes().unwrap() == expected);
}

#[test]
fn parts_of_tensors_are_written_as_tensors() {
    let (_folder, path) = out("out.safetensors");
    let model = open("torch/network.pt");
    let weight = model.tensor("embed.weight").unwrap();
    let half = weight.shape()[1] / 2;
    let columns = weight.narrow(1, half..).unwrap();
    let rows = model
        .tensor("output.weight")
        .unwrap()
        .narrow(0, ..3)
        .unwrap();
    let mut expected = vec![0; columns.byte_length() as usize];
    columns.copy_into(&mut expected).unwrap();
    let options = ConvertOptions::new();
    let views = [columns.clone(), rows];
    options.convert_views(&model, views, &path, None).unwrap();
    let tensors = official(&path);
    assert_eq!(tensors.len(), 2);
    assert_eq!(tensors["embed.weight"].1, columns.shape());
    assert_eq!(tensors["embed.weight"].2, expected);
    assert_eq!(tensors["output.weight"].1[0], 3);
    let twice = [columns.clone(), columns];
    let options = options.overwrite(true).shard_bytes(Some(1));
    let error = options.convert_views(&model, twice, &path, None);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Caller);
}

/// Options that mean nothing for the format of the output.
#[test]
fn options_of_the_other_format_are_refused() {
    let (folder, path) = out("out.safetensors");
    let quantize = ConvertOptions::new().quantize(Some(DType::Q8_0));
    assert_eq!(any(&path, &quantize).unwrap_err().kind(), ErrorKind::Caller);
    let shards = ConvertOptions::new().shard_bytes(Some(1));
    let gguf = path.with_extension("gguf");
    assert_eq!(any(&gguf, &shards).unwrap_err().kind(), ErrorKind::Caller);
    assert_eq!(files_in(folder.path()), [] as [&str; 0]);
}

/// Used by tests that only need some result.
fn any(path: &Path, options: &ConvertOptions) -> Result<Converted> {
    options.convert(&open("torch/network.pt"), path, None)
}

#[test]
fn the_output_may_lie_anywhere_and_have_any_ending() {
    let (folder, path) = out("model.bin");
    any(&path, &ConvertOptions::new()).unwrap();
    assert_eq!(official(&path).len(), 8);
    let missing = folder.path().join("missing/model.safetensors");
    let error = any(&missing, &ConvertOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.file(), Some(&*missing));
}
