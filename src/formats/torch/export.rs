//! PT2 archives, which `torch.export.save` writes: raw weights, described in JSON.
//!
//! ```text
//! archive_format                                   "pt2"
//! models/NAME.json                                 the program, which is not read
//! data/weights/NAME_weights_config.json            {"config": {tensor name: {path_name, tensor_meta}}}
//! data/weights/weight_0 …                          storages
//! data/constants/NAME_constants_config.json        the same for constants
//! data/sample_inputs/NAME.pt                       a checkpoint inside the archive
//! ```
//!
//! Source: torch 2.15.0 `torch/export/pt2_archive/` (`_package.py`, `constants.py`),
//! `torch/_export/serde/schema.py` (`TensorMeta`, `ScalarType`).

use super::archive::{self, Reader, note_unused};
use super::placed;
use super::rebuild::{Data, Spec};
use super::storages::Storages;
use crate::bytes::{Endian, to_u64};
use crate::dtype::DType;
use crate::error::{Context, Error, Result, shortened};
use crate::findings::{Finding, Severity};
use crate::formats::json::{Json, JsonValue};
use crate::formats::zip::{Member, inflate};
use crate::index::{Absence, Attributes, Builder, Draft, Moved};
use crate::limits::{Budget, Limit};

/// Numbers of `ScalarType`.
const DTYPES: &[(u64, DType)] = &[
    (1, DType::U8),
    (2, DType::I8),
    (3, DType::I16),
    (4, DType::I32),
    (5, DType::I64),
    (6, DType::F16),
    (7, DType::F32),
    (8, DType::F64),
    (9, DType::C32),
    (10, DType::C64),
    (11, DType::C128),
    (12, DType::BOOL),
    (13, DType::BF16),
    (28, DType::U16),
    (29, DType::F8_E4M3),
    (30, DType::F8_E5M2),
    (31, DType::F8_E4M3FNUZ),
    (32, DType::F8_E5M2FNUZ),
    (33, DType::F8_E8M0),
    (34, DType::U32),
    (35, DType::U64),
];

/// `Layout.Strided`.
const STRIDED: u64 = 7;

/// Folders of storages, and how the descriptions in them end.
const FOLDERS: &[(&str, &str)] = &[
    ("data/weights/", "_weights_config.json"),
    ("data/constants/", "_constants_config.json"),
];

/// Reads a PT2 archive.
pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    reader.check_version(builder, budget)?;
    let endian = reader.endian(budget)?;
    let models = reader.members_under("models/").count();
    for &(folder, suffix) in FOLDERS {
        let describes = |member: &Member<'_>| member.name.ends_with(suffix);
        let members = || reader.members_under(folder);
        let described = budget.collect(members().filter(|member| describes(member)))?;
        let stored = budget.collect(members().filter(|member| !describes(member)))?;
        let mut storages = reader.storages(&[(folder, "")], endian, builder, budget)?;
        for member in &stored {
            reader.mark_read(member, budget)?;
        }
        for member in &described {
            let inner = member.name.strip_prefix(reader.prefix).unwrap_or_default();
            let model = inner.strip_prefix(folder).unwrap_or_default();
            // The description is no storage.
            storages.find(model);
            // Several programs may use the same names.
            let prefix = match models {
                0 | 1 => String::new(),
                _ => budget.join(&[model.strip_suffix(suffix).unwrap_or_default(), "."])?,
            };
            let described = Described {
                member,
                folder,
                prefix,
                endian,
            };
            described
                .read(reader, &mut storages, builder, budget)
                .in_member(member.name)
                .at(member.data.start())?;
        }
        note_unused(&storages, builder, budget)?;
    }
    sample_inputs(reader, builder, budget)?;
    for member in budget.collect(reader.members_under("models/"))? {
        reader.mark_read(&member, budget)?;
    }
    Ok(())
}

/// What loading them would do counts for the verdict; their tensors are nobody's weights.
fn sample_inputs(
    reader: &mut Reader<'_, '_>,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    let mut tensors: usize = 0;
    for member in budget.collect(reader.members_under("data/sample_inputs/"))? {
        let inflated = inflate(reader.bytes, &member, budget)?;
        let contents = match &inflated {
            Some(buffer) => buffer.bytes(),
            None => member.stored(reader.bytes),
        };
        let parsed = archive::read(contents, budget).in_member(member.name)?;
        builder.findings(parsed.index.findings().in_stream(member.name));
        tensors = tensors.saturating_add(parsed.index.len());
        reader.mark_read(&member, budget)?;
    }
    if tensors > 0 {
        let message = format!("{tensors} tensors of sample inputs are not listed");
        builder.finding(Finding::new(Severity::Note, "sample-inputs", message));
    }
    Ok(())
}

/// One description of tensors.
struct Described<'m, 'a> {
    member: &'m Member<'a>,
    folder: &'m str,
    prefix: String,
    endian: Endian,
}

impl Described<'_, '_> {
    fn read(
        &self,
        reader: &mut Reader<'_, '_>,
        storages: &mut Storages<'_>,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<()> {
        budget.allow(Limit::PickleBytes, self.member.size)?;
        let inflated = inflate(reader.bytes, self.member, budget)?;
        let text = match &inflated {
            Some(buffer) => buffer.bytes(),
            None => self.member.stored(reader.bytes),
        };
        let json = Json::parse(text, budget)?;
        let config = json.root().get("config");
        let config = config.ok_or_else(|| Error::missing("key", "config"))?;
        for (name, described) in config.items() {
            let name = budget.join(&[&self.prefix, name])?;
            let path = described.get("path_name").and_then(JsonValue::as_str);
            let path = path.ok_or_else(|| Error::missing("key", "path_name").for_tensor(&name))?;
            let pickled = described.get("use_pickle").and_then(JsonValue::as_bool);
            let meta = described.get("tensor_meta").filter(|meta| meta.is_object());
            match meta {
                Some(meta) if pickled != Some(true) => {
                    self.tensor(&name, path, meta, storages, builder, budget)
                        .for_tensor(&name)?;
                }
                _ => self.pickled(&name, path, reader, builder, budget)?,
            }
            // The index has a copy of its own.
            budget.refund_heap(to_u64(name.capacity()));
        }
        Ok(())
    }

    fn tensor(
        &self,
        name: &str,
        path: &str,
        meta: JsonValue<'_>,
        storages: &mut Storages<'_>,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<()> {
        let storage = storages.find(path);
        let storage = storage.ok_or_else(|| Error::missing("storage", path))?;
        let number = meta.get("dtype").and_then(JsonValue::as_u64);
        let dtype = DTYPES.iter().find(|(known, _)| Some(*known) == number);
        let code = number.map_or_else(String::new, |number| format!("ScalarType({number})"));
        let at = self.member.data.start();
        let mut spec = Spec::new(
            dtype.map_or(DType::Opaque, |&(_, dtype)| dtype),
            Data::Placed(storage),
            at,
        );
        spec.shape = numbers(meta, "sizes", budget)?;
        spec.strides = numbers(meta, "strides", budget)?;
        let offset = meta.get("storage_offset").and_then(integer);
        spec.offset = offset.ok_or_else(|| Error::missing("key", "storage_offset"))?;
        let device = meta.get("device").and_then(|device| device.get("type"));
        let mut draft = Draft {
            name,
            dtype: spec.dtype,
            code: &code,
            shape: &spec.shape,
            endian: self.endian,
            attributes: Attributes {
                requires_grad: meta.get("requires_grad").and_then(JsonValue::as_bool) == Some(true),
                device: device.and_then(JsonValue::as_str).unwrap_or_default(),
                class_module: "torch",
                class_name: "Tensor",
            },
            source: storage.source,
            storage: Some(storage.number),
            declared_at: at,
            ..Draft::default()
        };
        if meta.get("layout").and_then(JsonValue::as_u64) != Some(STRIDED) {
            draft.absent = Some(Absence::OtherLayout);
        } else if !spec.shape.contains(&0) {
            if spec.shape.len() != spec.strides.len() {
                return Err(Error::unexpected(
                    "the strides",
                    "another number",
                    "one for each size",
                ));
            }
            draft.span = placed::part(storage.span, &spec)?;
            draft.strides = Some(&spec.strides);
        }
        builder.push(&draft, budget)
    }

    /// A weight that was saved as a checkpoint of its own: a tensor subclass, a script object.
    fn pickled(
        &self,
        name: &str,
        path: &str,
        reader: &mut Reader<'_, '_>,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<()> {
        let path = budget.join(&[self.folder, path])?;
        let member = reader.required(&path)?;
        // torch stores it; a program that zips the archive again may deflate it.
        let inflated = inflate(reader.bytes, &member, budget)?;
        let checkpoint = match &inflated {
            Some(buffer) => buffer.bytes(),
            None => member.stored(reader.bytes),
        };
        if !checkpoint.starts_with(b"PK\x03\x04") {
            let message = format!("{:?} is no tensor: it is not listed", shortened(name));
            builder.finding(Finding::new(Severity::Warning, "custom-object", message));
            return Ok(());
        }
        let parsed = archive::read(checkpoint, budget).in_member(member.name)?;
        let (source, offset) = match &inflated {
            Some(_) => (reader.buffers().saturating_add(1), 0),
            None => (0, member.data.start()),
        };
        let moved = Moved {
            prefix: &budget.join(&[name, "."])?,
            name: None,
            stream: member.name,
            offset,
            source,
            // Buffer n of a checkpoint is its source 1 + n.
            buffers: source.max(reader.buffers()),
        };
        builder.absorb(&parsed.index, checkpoint, moved, budget)?;
        for buffer in inflated.into_iter().chain(parsed.inflated) {
            reader.add_buffer(buffer, budget)?;
        }
        Ok(())
    }
}

/// `[{"as_int": 3}, …]`
fn numbers(meta: JsonValue<'_>, key: &'static str, budget: &mut Budget) -> Result<Vec<u64>> {
    let list = meta.get(key).ok_or_else(|| Error::missing("key", key))?;
    let mut numbers = Vec::new();
    for (_, item) in list.items() {
        budget.grow(&mut numbers)?;
        let number = integer(item);
        let expected = "numbers from 0 up";
        numbers.push(number.ok_or_else(|| Error::unexpected(key, "others", expected))?);
    }
    Ok(numbers)
}

fn integer(value: JsonValue<'_>) -> Option<u64> {
    value.get("as_int").and_then(JsonValue::as_u64)
}
