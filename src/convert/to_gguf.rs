//! Any checkpoint as one GGUF file.

use std::path::Path;

use super::atomic::{Pending, Target};
use super::gguf::GgufWriter;
use super::item::Item;
use super::job::{self, Job};
use super::options::{ConvertOptions, Converted};
use super::value::OutputValue;
use super::{metadata, plan, to_safetensors};
use crate::bytes::room;
use crate::checkpoint::Checkpoint;
use crate::dtype::{Class, DType};
use crate::error::{Format, Result};
use crate::progress::{self, Callback};
use crate::quant;
use crate::tensor::TensorView;

/// Of the quantized types, all in their second generation (`GGML_QNT_VERSION`).
const QUANTIZATION_VERSION: (&str, u32) = ("general.quantization_version", 2);

/// What llama.cpp calls a file whose larger tensors have a type (`enum llama_ftype`).
const FILE_TYPES: &[(DType, u32)] = &[
    (DType::F32, 0),
    (DType::F16, 1),
    (DType::Q4_0, 2),
    (DType::Q4_1, 3),
    (DType::Q8_0, 7),
    (DType::Q5_0, 8),
    (DType::Q5_1, 9),
    (DType::BF16, 32),
    (DType::TQ1_0, 36),
    (DType::TQ2_0, 37),
    (DType::MXFP4, 38),
];
const FILE_TYPE: &str = "general.file_type";

pub(super) fn convert<'a>(
    options: &ConvertOptions,
    model: &'a Checkpoint,
    views: Vec<TensorView<'a>>,
    path: &Path,
    progress: Option<Callback<'_>>,
) -> Result<Converted> {
    let mut converted = Converted::default();
    let place = |view| in_gguf(options, view);
    // GGUF has no names for tied weights: each is written.
    let items = plan::items(options, model, views, false, &mut converted, place)?;
    converted.tensors = items.len();
    let mut writer = GgufWriter::new();
    let digest_ends = metadata(options, model, &mut writer, &mut converted)?;
    for item in items {
        writer.item(item)?;
    }
    let layout = writer.layout()?;
    converted.tensor_bytes = layout.tensor_bytes;
    let target = Target::new(path, options.replace)?;
    let pending = vec![Pending::create(target, layout.length)?];

    let phases = if options.verify { 2 } else { 1 };
    let watch = progress::Job::optional(
        "converting",
        layout.tensor_bytes.saturating_mul(phases),
        progress,
    );
    let job = Job {
        options,
        model,
        placed: &layout.placed,
        files: &pending,
    };
    job.run(&watch, |sha256| {
        let mut head = writer.head()?;
        if let Some(end) = digest_ends {
            let digests = room::join(sha256.iter().map(String::as_str), "\n")?;
            GgufWriter::replace_text(&mut head, end, &digests);
        }
        Ok(vec![head])
    })?;
    converted.verified = options.verify;
    converted.files = to_safetensors::publish(pending, None)?;
    Ok(converted)
}

/// What becomes of a tensor.
fn in_gguf<'a>(options: &ConvertOptions, view: TensorView<'a>) -> Result<Item<'a>> {
    let dtype = view.dtype();
    let numbers = matches!(dtype.class(), Class::Float | Class::Block);
    if !numbers || quant::decoder(dtype).is_none() {
        return Item::new(view, dtype);
    }
    let quantized = options.quantize.filter(|quantized| {
        let row = view.shape().last().copied().unwrap_or_default();
        view.shape().len() > 1 && row.checked_rem(quantized.block_elements()) == Some(0)
    });
    let wanted = quantized.or_else(|| options.dtype.dtype());
    Item::new(view, wanted.unwrap_or(dtype))
}

/// Fills in the metadata; gives the place after the digests of the source, if there are to be any.
fn metadata(
    options: &ConvertOptions,
    model: &Checkpoint,
    writer: &mut GgufWriter<'_>,
    converted: &mut Converted,
) -> Result<Option<usize>> {
    for (key, value) in &options.metadata {
        writer.metadata(key, OutputValue::String(value))?;
    }
    let wanted = options.quantize.or_else(|| options.dtype.dtype());
    if let Some(wanted) = wanted {
        let (key, version) = QUANTIZATION_VERSION;
        if options.quantize.is_some() && !writer.has(key) {
            writer.metadata(key, OutputValue::U32(version))?;
        }
        let known = FILE_TYPES.iter().find(|(dtype, _)| *dtype == wanted);
        if let Some(&(_, number)) = known.filter(|_| !writer.has(FILE_TYPE)) {
            writer.metadata(FILE_TYPE, OutputValue::U32(number))?;
        }
    }
    if model.format() == Format::Gguf {
        for (key, value) in model.metadata().iter() {
            let key = key.as_str()?;
            // These speak of the old file.
            let own = key == "general.alignment"
                || key.starts_with("split.")
                || (options.provenance && key.starts_with("weighbridge."));
            if !own && !writer.has(key) {
                writer.metadata(key, OutputValue::Copied(value))?;
            }
        }
    } else {
        let prefix = match model.format() {
            Format::Safetensors => metadata::SAFETENSORS,
            _ => "",
        };
        for (key, value) in metadata::carried(model, converted)? {
            let key = room::join([prefix, &*key], "")?;
            // `format` speaks of a safetensors file.
            let own = prefix.is_empty() && key == "format";
            if !own && !writer.has(&key) {
                writer.metadata(&key, OutputValue::String(&value))?;
            }
        }
    }
    if !options.provenance {
        return Ok(None);
    }
    let unknown = job::unknown(model)?;
    let mut end = None;
    for (key, value) in metadata::provenance(model, &unknown)? {
        if writer.has(key) {
            continue;
        }
        writer.metadata(key, OutputValue::String(&value))?;
        if key == metadata::SOURCE_SHA256 {
            end = Some(writer.pair_bytes());
        }
    }
    Ok(end)
}
