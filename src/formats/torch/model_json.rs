//! TorchScript archives before torch 1.3: the module as a protobuf message in JSON.
//!
//! ```text
//! model.json        ModelDef: a table of tensors, and modules whose parameters are numbers in it
//! tensors/N         storages
//! attributes.pkl    values that are no tensors, or that name one by its number
//! libs/, code/      the code
//! debug/            pickles of source locations
//! ```
//!
//! Source: torch 1.2.0, and 1.13.1 `torch/csrc/jit/serialization/import_legacy.cpp`, `caffe2/proto/torch.proto`,
//! `caffe2/proto/caffe2.proto` (`TensorProto.DataType`). Protobuf writes 64-bit integers as texts and
//! leaves out what has its default.

use std::borrow::Cow;

use super::archive::{Reader, note_unused};
use super::rebuild::{Data, Spec};
use super::storages::{Storage, Storages};
use super::{attributes_pkl, placed};
use crate::dtype::DType;
use crate::error::{Context, Error, Malformed, Result, shortened};
use crate::findings::{Finding, Severity};
use crate::formats::json::{Json, JsonValue};
use crate::formats::zip::{Member, inflate};
use crate::index::{Attributes, Builder, Draft};
use crate::limits::{Budget, Limit};

/// `TensorProto.DataType` by name and by number, plain and quantized.
const DTYPES: &[(&str, u64, DType, DType)] = &[
    ("FLOAT", 1, DType::F32, DType::Opaque),
    ("INT32", 2, DType::I32, DType::QINT32),
    ("BYTE", 3, DType::U8, DType::QUINT8),
    ("BOOL", 5, DType::BOOL, DType::Opaque),
    ("UINT8", 6, DType::U8, DType::QUINT8),
    ("INT8", 7, DType::I8, DType::QINT8),
    ("INT16", 9, DType::I16, DType::Opaque),
    ("INT64", 10, DType::I64, DType::Opaque),
    ("FLOAT16", 12, DType::F16, DType::Opaque),
    ("DOUBLE", 13, DType::F64, DType::Opaque),
];

/// The newest `proto_version`: torch 1.3 replaced the message by a pickle.
const NEWEST: u64 = 5;

/// Reads the archive.
pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    reader.check_version(builder, budget)?;
    let mut storages =
        reader.storages(&[("tensors/", "")], reader.endian(budget)?, builder, budget)?;
    let member = reader.required("model.json")?;
    budget.allow(Limit::PickleBytes, member.size)?;
    let inflated = inflate(reader.bytes, &member, budget)?;
    let text = match &inflated {
        Some(buffer) => buffer.bytes(),
        None => member.stored(reader.bytes),
    };
    reader.mark_read(&member, budget)?;
    let attributes = match reader.find("attributes.pkl").copied() {
        Some(pickle) => reader.values(&pickle, builder, budget, attributes_pkl::read)?,
        None => Vec::new(),
    };
    let attributes = attributes.into_iter().map(Some).collect();
    let mut model = Model {
        member,
        attributes,
        left: text.len().saturating_mul(MOST_NAMES),
    };
    model
        .read(text, &mut storages, builder, budget)
        .in_member(member.name)
        .at(member.data.start())?;
    note_unused(&storages, builder, budget)?;
    // torch reads them when it reports an error in the code.
    for pickle in budget.collect(reader.members_under("debug/"))? {
        reader.walk(&pickle, builder, budget)?;
    }
    for member in budget.collect(reader.members_under("libs/"))? {
        reader.mark_read(&member, budget)?;
    }
    let message = "the archive holds TorchScript code, which torch.jit.load compiles";
    builder.finding(Finding::new(Severity::Note, "torchscript-code", message));
    Ok(())
}

/// Bytes of all names per byte of the message. Paths of modules repeat in the names of all that stand below
/// them: short ones many times in honest files, long ones many times in none.
const MOST_NAMES: usize = 4;

struct Model<'a> {
    member: Member<'a>,
    /// The tensors of each attribute, which one module takes.
    attributes: Vec<Option<attributes_pkl::Tensors>>,
    /// Bytes that are left for names.
    left: usize,
}

/// The tensors of the model, and whether a module has named them.
type Table<'j> = Vec<(JsonValue<'j>, bool)>;

impl Model<'_> {
    fn read(
        &mut self,
        text: &[u8],
        storages: &mut Storages<'_>,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<()> {
        let json = Json::parse(text, budget)?;
        let model = json.root();
        let version = field(model, "protoVersion", "proto_version").and_then(integer);
        if version.is_some_and(|version| version > NEWEST) {
            let found = format!("{}", version.unwrap_or_default());
            return Err(Error::unexpected("protoVersion", found, "0 to 5"));
        }
        let main = field(model, "mainModule", "main_module")
            .ok_or_else(|| Error::missing("key", "mainModule"))?;
        let mut table = Table::new();
        for (_, tensor) in model.get("tensors").into_iter().flat_map(JsonValue::items) {
            budget.grow(&mut table)?;
            table.push((tensor, false));
        }
        let mut modules = vec![(String::new(), main)];
        while let Some((prefix, module)) = modules.pop() {
            let named = self.tensors_of(module, &prefix, budget)?;
            for (name, number) in named {
                let place = usize::try_from(number).ok();
                let entry = place.and_then(|place| table.get_mut(place));
                let (tensor, named) = entry.ok_or_else(|| {
                    let found = "no number of a tensor";
                    Error::unexpected("tensorId", found, "one of the table").for_tensor(&name)
                })?;
                *named = true;
                self.tensor(&name, *tensor, storages, builder, budget)
                    .for_tensor(&name)?;
            }
            for (_, submodule) in list(module, "submodules") {
                let name = name(submodule)?;
                budget.grow(&mut modules)?;
                let path = self.join(&[&prefix, name, "."], budget)?;
                modules.push((path, submodule));
            }
        }
        // The code calls them by these names, and attributes by the numbers.
        for (number, &(tensor, named)) in table.iter().enumerate() {
            if !named {
                let name = format!("CONSTANTS.c{number}");
                self.tensor(&name, tensor, storages, builder, budget)
                    .for_tensor(&name)?;
            }
        }
        Ok(())
    }

    /// A name below a path, within what names may take.
    fn join(&mut self, parts: &[&str], budget: &mut Budget) -> Result<String> {
        let bytes = parts
            .iter()
            .fold(0, |sum: usize, part| sum.saturating_add(part.len()));
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            Error::malformed(Malformed::OutOfRange {
                what: "the bytes of one more name",
                value: i128::try_from(bytes).unwrap_or(i128::MAX),
                expected: "names of at most four times the message in all",
            })
        })?;
        budget.join(parts)
    }

    /// The names and numbers of a module's own tensors: parameters, and from torch 1.2 on attributes.
    fn tensors_of(
        &mut self,
        module: JsonValue<'_>,
        prefix: &str,
        budget: &mut Budget,
    ) -> Result<Vec<(String, u64)>> {
        let mut tensors = Vec::new();
        for (_, parameter) in list(module, "parameters") {
            let name = self.join(&[prefix, name(parameter)?], budget)?;
            let id = field(parameter, "tensorId", "tensor_id");
            budget.grow(&mut tensors)?;
            tensors.push((name, id.map_or(Some(0), integer).unwrap_or(u64::MAX)));
        }
        for (_, attribute) in list(module, "attributes") {
            let name = self.join(&[prefix, name(attribute)?], budget)?;
            let id = attribute.get("id").map_or(Some(0), integer);
            let slot = id.and_then(|id| self.attributes.get_mut(usize::try_from(id).ok()?));
            let values = slot.and_then(Option::take).ok_or_else(|| {
                let found = "no number of an attribute, or one that stood before";
                Error::unexpected("id", found, "one of attributes.pkl").for_tensor(&name)
            })?;
            for (part, number) in values {
                budget.grow(&mut tensors)?;
                tensors.push((self.join(&[&name, &part], budget)?, number));
            }
        }
        Ok(tensors)
    }

    fn tensor(
        &self,
        name: &str,
        tensor: JsonValue<'_>,
        storages: &mut Storages<'_>,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<()> {
        let storage = storage(tensor, storages)?;
        let at = self.member.data.start();
        let quantized = flag(tensor, "isQuantized", "is_quantized");
        let (dtype, code) = dtype(tensor, quantized);
        let mut spec = Spec::new(dtype, Data::Placed(storage), at);
        spec.shape = numbers(tensor, "dims", budget)?;
        spec.strides = numbers(tensor, "strides", budget)?;
        spec.offset = tensor
            .get("offset")
            .map_or(Some(0), integer)
            .ok_or_else(|| Error::unexpected("offset", "another value", "a number from 0 up"))?;
        let device = tensor.get("device").and_then(JsonValue::as_str);
        let mut draft = Draft {
            name,
            dtype,
            code: &code,
            shape: &spec.shape,
            endian: storages.endian,
            attributes: Attributes {
                requires_grad: flag(tensor, "requiresGrad", "requires_grad"),
                device: device.unwrap_or_default(),
                class_module: "torch",
                class_name: "Tensor",
            },
            source: storage.source,
            storage: Some(storage.number),
            declared_at: at,
            ..Draft::default()
        };
        if !spec.shape.contains(&0) {
            if spec.shape.len() != spec.strides.len() {
                let expected = "one for each dimension";
                return Err(Error::unexpected("the strides", "another number", expected));
            }
            draft.span = placed::part(storage.span, &spec)?;
            draft.strides = Some(&spec.strides);
        }
        if quantized {
            // The message holds them as texts: there are no bytes that a tensor could be.
            let scale = tensor.get("scale").map(JsonValue::to_text);
            let zero_point = field(tensor, "zeroPoint", "zero_point").map(JsonValue::to_text);
            let message = format!(
                "{:?} is quantized with scale {} and zero point {}",
                shortened(name),
                shortened(scale.as_deref().unwrap_or("0")),
                shortened(zero_point.as_deref().unwrap_or("0")),
            );
            builder.finding(Finding::new(Severity::Warning, "quantized", message));
        }
        builder.push(&draft, budget)
    }
}

/// The storage of a tensor: `"data": {"key": "tensors/0"}`.
fn storage(tensor: JsonValue<'_>, storages: &mut Storages<'_>) -> Result<Storage> {
    let key = tensor.get("data").and_then(|data| data.get("key"));
    let key = key
        .and_then(JsonValue::as_str)
        .ok_or_else(|| Error::missing("key", "data.key"))?;
    key.strip_prefix("tensors/")
        .and_then(|key| storages.find(key))
        .ok_or_else(|| Error::missing("storage", key))
}

/// The element type, and its name in the message.
fn dtype<'j>(tensor: JsonValue<'j>, quantized: bool) -> (DType, Cow<'j, str>) {
    let stated = field(tensor, "dataType", "data_type");
    let name = stated.and_then(JsonValue::as_str);
    let number = stated.and_then(JsonValue::as_u64);
    let row = DTYPES
        .iter()
        .find(|row| Some(row.0) == name || Some(row.1) == number);
    let code = stated.map(JsonValue::to_text).unwrap_or_default();
    match row {
        Some(&(_, _, _, quantized_dtype)) if quantized => (quantized_dtype, code),
        Some(&(_, _, plain, _)) => (plain, code),
        None => (DType::Opaque, code),
    }
}

/// Protobuf reads both spellings.
fn field<'j>(value: JsonValue<'j>, camel: &str, snake: &str) -> Option<JsonValue<'j>> {
    value.get(camel).or_else(|| value.get(snake))
}

fn name<'j>(value: JsonValue<'j>) -> Result<&'j str> {
    let name = value.get("name").and_then(JsonValue::as_str);
    name.ok_or_else(|| Error::missing("key", "name"))
}

fn flag(value: JsonValue<'_>, camel: &str, snake: &str) -> bool {
    field(value, camel, snake).and_then(JsonValue::as_bool) == Some(true)
}

fn list<'j>(value: JsonValue<'j>, key: &str) -> impl Iterator<Item = (&'j str, JsonValue<'j>)> {
    value.get(key).into_iter().flat_map(JsonValue::items)
}

fn numbers(tensor: JsonValue<'_>, key: &'static str, budget: &mut Budget) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for (_, item) in list(tensor, key) {
        budget.grow(&mut numbers)?;
        let expected = "numbers from 0 up";
        let number = integer(item).ok_or_else(|| Error::unexpected(key, "others", expected))?;
        numbers.push(number);
    }
    Ok(numbers)
}

/// A number, or the digits of one.
fn integer(value: JsonValue<'_>) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}
