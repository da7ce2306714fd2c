//! Every accessor of metadata and tensors, on generated GGUF files and on any bytes: exactly the accessors of
//! a value's type give it, and what the typed ones give agrees with the value.
//!
//! Input: a GGUF, safetensors or torch file as it stands, or else what the generator makes of the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge::formats::gguf::{Model, Tokenizer};
use weighbridge::{Advice, Array, Checkpoint, TensorView, Value, ValueType};
use weighbridge_fuzz::{generate, using};

fuzz_target!(|data: &[u8]| {
    let made = generate::gguf::make(data);
    for file in [made.file, data.to_vec()] {
        if let Ok(model) = using::options().from_bytes(file.clone()) {
            check_metadata(&model);
            check_model(&model);
            model
                .tensors()
                .for_each(|tensor| check_tensor(&model, &tensor, &file));
            check_order(&model);
        }
    }
});

fn check_metadata(model: &Checkpoint) {
    let metadata = model.metadata();
    assert_eq!(metadata.len(), metadata.iter().count());
    assert_eq!(metadata.is_empty(), metadata.len() == 0);
    for (key, value) in metadata.iter() {
        check_value(&value);
        assert_eq!(
            key.as_str().is_ok(),
            std::str::from_utf8(key.as_bytes()).is_ok()
        );
        if let Ok(key) = key.as_str() {
            let same = metadata.get(key).expect("a key that is listed");
            assert_eq!(format!("{same:?}"), format!("{value:?}"));
            let _ = metadata.offset_of(key);
        }
    }
    assert!(metadata.get("no such key\0").is_none());
}

fn check_value(value: &Value<'_>) {
    let kind = value.value_type();
    let is_integer = !matches!(
        kind,
        ValueType::F32 | ValueType::F64 | ValueType::Bool | ValueType::String | ValueType::Array
    );
    assert_eq!(value.as_integer().is_some(), is_integer);
    let unsigned = value
        .as_integer()
        .and_then(|number| u64::try_from(number).ok());
    assert_eq!(value.as_u64(), unsigned);
    let is_float = matches!(kind, ValueType::F32 | ValueType::F64);
    assert_eq!(value.as_f64().is_some(), is_float);
    assert!(value.as_bool().is_none() || kind == ValueType::Bool);
    assert!(value.as_str().is_none() || kind == ValueType::String);
    assert_eq!(value.as_array().is_some(), kind == ValueType::Array);
    if let Some(array) = value.as_array() {
        check_array(&array);
    }
}

fn check_array(array: &Array<'_>) {
    let kind = array.value_type();
    let mut count = 0;
    for element in array.iter() {
        assert_eq!(element.value_type(), kind);
        count += 1;
    }
    assert_eq!(count, array.len());
    assert_eq!(array.is_empty(), count == 0);
    match array.strings() {
        Ok(strings) => assert_eq!(strings.count() as u64, count),
        Err(_) => assert_ne!(kind, ValueType::String),
    }
    for &other in ValueType::ALL {
        let bytes = array.number_bytes(other);
        assert_eq!(bytes.is_ok(), other == kind, "{other:?} of {kind:?}");
        if let (Ok(bytes), Some(each)) = (bytes, other.bytes()) {
            assert_eq!(bytes.len() as u64, each * count);
        }
    }
}

fn check_model(checkpoint: &Checkpoint) {
    let model = Model::new(checkpoint.metadata());
    let _ = (
        model.architecture(),
        model.name(),
        model.quantization_version(),
    );
    let _ = (
        model.file_type(),
        model.chat_template(None),
        model.chat_template(Some("tool_use")),
    );
    let layers = model.block_count().ok().flatten();
    for each in [
        model.head_count(),
        model.head_count_kv(),
        model.feed_forward_length(),
    ] {
        if let (Ok(Some(each)), Some(layers)) = (each, layers) {
            assert!(layers == 0 || each.layer(0).is_some());
        }
    }
    let _ = (model.rope_freq_base(), model.layer_norm_rms_epsilon());
    for (key, value) in checkpoint.metadata().iter() {
        let Ok(key) = key.as_str() else { continue };
        assert_eq!(
            model.number(key, u64::MAX).is_ok(),
            value.as_u64().is_some()
        );
        assert_eq!(model.flag(key).is_ok(), value.as_bool().is_some());
        assert_eq!(model.text(key).is_ok(), value.as_str().is_some());
        let _ = model.float(key);
        let kind = value.as_array().map(|array| array.value_type());
        for &other in ValueType::ALL {
            assert_eq!(model.list(key, other).is_ok(), kind == Some(other));
        }
    }
    if let Ok(tokenizer) = model.tokenizer() {
        check_tokenizer(&tokenizer);
    }
}

fn check_tokenizer(tokenizer: &Tokenizer<'_>) {
    assert_eq!(tokenizer.tokens().count() as u64, tokenizer.len());
    assert_eq!(tokenizer.is_empty(), tokenizer.len() == 0);
    for list in [tokenizer.scores(), tokenizer.token_types()]
        .into_iter()
        .flatten()
    {
        assert_eq!(list.len(), tokenizer.len());
    }
    let _ = (
        tokenizer.kind(),
        tokenizer.pre(),
        tokenizer.merges().count(),
    );
    for name in ["bos", "eos", "separator", "unknown"] {
        if let Ok(Some(id)) = tokenizer.special(name) {
            assert!(id < tokenizer.len());
        }
    }
    for token in tokenizer.tokens() {
        let _ = token.as_str().map(Tokenizer::byte);
    }
}

fn check_tensor(model: &Checkpoint, tensor: &TensorView<'_>, file: &[u8]) {
    assert!(model.contains(tensor.name()));
    assert_eq!(tensor.strides().len(), tensor.shape().len());
    tensor
        .expect_shape(&tensor.shape().to_vec())
        .expect("its own shape");
    let _ = (
        tensor.attributes(),
        tensor.storage(),
        tensor.endian(),
        format!("{tensor:?}"),
    );
    if let Some(place) = tensor.location() {
        let end = place.offset + place.length;
        let bytes = &file[place.offset as usize..end as usize];
        if let Ok(found) = tensor.bytes() {
            assert_eq!(found, bytes);
        }
    }
    if let Ok(bytes) = tensor.bytes() {
        assert_eq!(bytes.len() as u64, tensor.byte_length());
        assert!(tensor.alignment().is_power_of_two());
        let floats = tensor.as_slice::<f32>();
        assert!(floats.is_err() || tensor.dtype() == weighbridge::DType::F32);
    }
    for advice in [Advice::WillNeed, Advice::Sequential] {
        tensor
            .advise(advice)
            .expect("bytes in memory take any advice");
    }
    tensor.prefetch().expect("bytes in memory are there");
    if tensor.byte_length() < 1 << 16 && tensor.elements() < 1 << 16 {
        let _ = tensor.validate();
        let kept = tensor.to_shared();
        assert_eq!(kept.name(), tensor.name());
        assert_eq!(kept.shape(), tensor.shape());
        let same = tensor.has_same_elements(&kept.view());
        assert!(same.is_err() || same.is_ok_and(|same| same), "{tensor:?}");
    }
}

fn check_order(model: &Checkpoint) {
    let by_offset = model.tensors_by_offset();
    assert_eq!(by_offset.len(), model.len());
    let under = model.tensors_under("");
    assert_eq!(under.len(), model.len());
    assert!(under.is_sorted_by_key(TensorView::name));
}
