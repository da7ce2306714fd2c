//! safetensors files: every dtype, any order of names, offsets and fields, metadata, escapes, padding.

use weighbridge::DType;

use super::{Expected, Made, Maker};

/// A file from the fuzzer's bytes.
#[must_use]
pub fn make(data: &[u8]) -> Made {
    let mut maker = Maker::new(data);
    let known: Vec<DType> = DType::ALL
        .iter()
        .copied()
        .filter(|dtype| dtype.safetensors_name().is_some())
        .collect();
    let mut used = vec![String::from("__metadata__")];
    let mut tensors = Vec::new();
    let mut data = Vec::new();
    let mut items = Vec::new();
    for _ in 0..maker.below(6) {
        let name = maker.new_name(&mut used);
        let dtype = *maker.pick(&known);
        let (shape, length) = shape(&mut maker, dtype);
        let bytes = maker.bytes(length);
        items.push(item(&mut maker, &name, dtype, &shape, data.len()));
        data.extend(&bytes);
        tensors.push(Expected {
            name,
            dtype: dtype.name().to_owned(),
            shape,
            bytes,
        });
    }
    // The order of the header is free.
    for place in 0..items.len() {
        let other = maker.below(items.len());
        items.swap(place, other);
    }
    if maker.coin() {
        let metadata = metadata(&mut maker);
        let place = maker.below(items.len() + 1);
        items.insert(place, metadata);
    }
    let file = file(&mut maker, &items, &data);
    Made {
        file,
        tensors,
        is_odd: maker.is_odd,
    }
}

/// Dimensions, and the bytes that they need.
fn shape(maker: &mut Maker<'_>, dtype: DType) -> (Vec<usize>, usize) {
    let mut shape: Vec<usize> = (0..maker.below(5)).map(|_| maker.below(5)).collect();
    // Whole bytes, also of elements of 4 and 6 bits.
    let block = dtype.block_elements();
    if block > 1 {
        match shape.last_mut() {
            Some(last) => *last *= block,
            None => shape.push(block),
        }
    }
    let elements: usize = shape.iter().product();
    (shape, elements / block * dtype.block_bytes())
}

/// `"name":{…}`.
fn item(maker: &mut Maker<'_>, name: &str, dtype: DType, shape: &[usize], start: usize) -> String {
    let elements: usize = shape.iter().product();
    let end = start + elements / dtype.block_elements() * dtype.block_bytes();
    let shape: Vec<String> = shape
        .iter()
        .map(|&length| number(maker, length as u64))
        .collect();
    let dtype = if maker.oddly() {
        maker.name()
    } else {
        dtype.name().to_owned()
    };
    let mut fields = vec![
        format!("\"dtype\":{}", text(maker, &dtype)),
        format!("\"shape\":[{}]", shape.join(",")),
        format!(
            "\"data_offsets\":[{},{}]",
            number(maker, start as u64),
            number(maker, end as u64)
        ),
    ];
    let first = maker.below(3);
    fields.swap(0, first);
    if maker.oddly() {
        match maker.below(3) {
            0 => drop(fields.pop()),
            1 => fields.push(fields[0].clone()),
            _ => fields.push(format!("{}:[{{}},null,1e9]", text(maker, "more"))),
        }
    }
    format!("{}:{{{}}}", text(maker, name), fields.join(","))
}

/// An integer as JSON has it, or something like one.
fn number(maker: &mut Maker<'_>, right: u64) -> String {
    let number = maker.number(right);
    if !maker.oddly() {
        return number.to_string();
    }
    match maker.below(4) {
        0 => format!("{number}.0"),
        1 => format!("-{number}"),
        2 => format!("{number}e0"),
        _ => format!("0{number}"),
    }
}

/// A text as JSON has it, perhaps with an escape that is not needed.
fn text(maker: &mut Maker<'_>, text: &str) -> String {
    let mut quoted = String::from('"');
    let escaped = maker.below(16);
    for (place, letter) in text.chars().enumerate() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if place + 1 == escaped && (letter as u32) < 0x1_0000 => {
                quoted.push_str(&format!("\\u{:04x}", letter as u32));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

fn metadata(maker: &mut Maker<'_>) -> String {
    let mut used = Vec::new();
    let pairs: Vec<String> = (0..maker.below(4))
        .map(|_| {
            let key = maker.new_name(&mut used);
            let value = maker.name();
            let value = match maker.oddly() {
                true => String::from("17"),
                false => text(maker, &value),
            };
            format!("{}:{value}", text(maker, &key))
        })
        .collect();
    format!("\"__metadata__\":{{{}}}", pairs.join(","))
}

fn file(maker: &mut Maker<'_>, items: &[String], data: &[u8]) -> Vec<u8> {
    let space = *maker.pick(&["", " ", "\n\t"]);
    let separator = format!(",{space}");
    let mut header = format!("{{{space}{}{space}}}", items.join(&separator));
    if maker.oddly() {
        header.insert(0, ' ');
    }
    let padding = if maker.oddly() { '\n' } else { ' ' };
    header.extend(std::iter::repeat_n(padding, maker.below(9)));
    let length = maker.number(header.len() as u64);
    let mut file = length.to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    if maker.oddly() {
        file.push(0);
    }
    file
}
