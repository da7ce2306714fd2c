//! Random and broken safetensors headers: what the reader takes and refuses, beside `serde_json` reading the
//! same bytes into values that keep every key, the format's rules applied to those, and the official crate.
//!
//! `WEIGHBRIDGE_CASES=1000000 cargo test --release --test headers` tries as many as that.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use weighbridge::formats::safetensors;
use weighbridge::limits::Budget;
use weighbridge::{DType, Error, ErrorKind, Limits, Strictness};

/// A JSON value that keeps the order of its keys, and those that stand twice.
#[derive(Debug)]
enum Json {
    Null,
    Other,
    Number(Option<u64>),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any value")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
                Ok(Json::Other)
            }
            fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
                Ok(Json::Number(Some(number)))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
                Ok(Json::Number(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
                Ok(Json::Number(None))
            }
            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Json::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Json::Object(members))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// One tensor: name, dtype, shape, data offsets.
type Info = (String, String, Vec<u64>, [u64; 2]);

/// What a header says.
#[derive(Debug, PartialEq)]
struct Header {
    tensors: Vec<Info>,
    metadata: Vec<(String, String)>,
}

/// The format's rules, applied to values; `None` if one is broken.
fn by_the_rules(json: Json, data_bytes: u64, lenient: bool) -> Option<Header> {
    let Json::Object(members) = json else {
        return None;
    };
    let mut names = HashSet::new();
    let mut header = Header {
        tensors: Vec::new(),
        metadata: Vec::new(),
    };
    for (name, value) in members {
        if !names.insert(name.clone()) {
            return None;
        }
        match (name.as_str(), value) {
            ("__metadata__", Json::Null) => {}
            ("__metadata__", Json::Object(members)) => {
                let mut keys = HashSet::new();
                for (key, value) in members {
                    let (true, Json::Text(value)) = (keys.insert(key.clone()), value) else {
                        return None;
                    };
                    header.metadata.push((key, value));
                }
            }
            ("__metadata__", _) => return None,
            (_, Json::Object(fields)) => header.tensors.push(info(name, fields, lenient)?),
            _ => return None,
        }
    }
    for (_, dtype, shape, [start, end]) in &header.tensors {
        let length = end.checked_sub(*start)?;
        let filled = shape.iter().filter(|&&dimension| dimension != 0);
        let product = filled.fold(1_u128, |product, &next| product.saturating_mul(next.into()));
        if *end > data_bytes || product >= 1 << 63 {
            return None;
        }
        if let Some(dtype) = DType::from_safetensors(dtype) {
            let elements: u128 = if shape.contains(&0) { 0 } else { product };
            let block = dtype.block_elements() as u128;
            let bytes = elements / block * dtype.block_bytes() as u128;
            if !elements.is_multiple_of(block) || bytes != length.into() {
                return None;
            }
        }
    }
    let mut ranges: Vec<[u64; 2]> = header.tensors.iter().map(|info| info.3).collect();
    ranges.sort_unstable();
    if lenient {
        ranges.dedup_by(|a, b| a == b && a[0] < a[1]);
    }
    let mut at = 0;
    for [start, end] in ranges {
        if start != at {
            return None;
        }
        at = end;
    }
    (at == data_bytes || lenient).then_some(header)
}

fn info(name: String, fields: Vec<(String, Json)>, lenient: bool) -> Option<Info> {
    let (mut dtype, mut shape, mut offsets) = (None, None, None);
    for (field, value) in fields {
        let repeated = match (field.as_str(), value) {
            ("dtype", Json::Text(text)) => dtype.replace(text).is_some(),
            ("shape", Json::List(list)) => shape.replace(numbers(list)?).is_some(),
            ("data_offsets", Json::List(list)) => {
                let pair = <[u64; 2]>::try_from(numbers(list)?).ok()?;
                offsets.replace(pair).is_some()
            }
            ("dtype" | "shape" | "data_offsets", _) => return None,
            _ if lenient => false,
            _ => return None,
        };
        if repeated {
            return None;
        }
    }
    Some((name, dtype?, shape?, offsets?))
}

fn numbers(list: Vec<Json>) -> Option<Vec<u64>> {
    let number = |json| match json {
        Json::Number(number) => number,
        _ => None,
    };
    list.into_iter().map(number).collect()
}

/// What our reader says of a header.
fn ours(file: &[u8], data_start: u64, strictness: Strictness) -> weighbridge::Result<Header> {
    let mut budget = Budget::new(Limits::default(), strictness);
    let index = safetensors::read(file, &mut budget)?.index;
    let wide = |shape: &[usize]| shape.iter().map(|&dimension| dimension as u64).collect();
    let tensors = index.iter().map(|entry| {
        assert_eq!(
            index.find(entry.name()).unwrap().position(),
            entry.position()
        );
        let [start, end] = [entry.span().start(), entry.span().end()].map(|at| at - data_start);
        let dtype = entry.dtype_name().to_owned();
        (
            entry.name().to_owned(),
            dtype,
            wide(entry.shape()),
            [start, end],
        )
    });
    let metadata = index.metadata().view(file);
    let pairs = metadata.iter().map(|(key, value)| {
        let key = key.as_str().unwrap().to_owned();
        assert_eq!(metadata.get(&key), Some(value));
        (key, value.as_str().unwrap().to_owned())
    });
    Ok(Header {
        tensors: tensors.collect(),
        metadata: pairs.collect(),
    })
}

/// Whether a header's frame keeps the rules: `{` first, spaces last.
fn well_framed(header: &str, lenient: bool) -> bool {
    let json = header.trim_end_matches([' ', '\t', '\r', '\n']);
    let spaces = header[json.len()..].bytes().all(|byte| byte == b' ');
    header.starts_with('{') && (spaces || lenient)
}

/// What serde_json says of broken JSON, and where: it counts lines and columns.
fn words_and_place(json: &str, error: &serde_json::Error) -> (String, u64) {
    let lines = json.split_inclusive('\n').take(error.line() - 1);
    let start: usize = lines.map(str::len).sum();
    let words = error.to_string();
    let words = words.split(" at line ").next().unwrap().to_owned();
    (words, 8 + (start + error.column().saturating_sub(1)) as u64)
}

/// Where we say what serde_json says: broken grammar in what is read, not in what is ignored.
fn same_words(json: &str, theirs: &serde_json::Error, ours: &Error) {
    let Some(weighbridge::error::Malformed::Invalid { reason, .. }) = ours.as_malformed() else {
        return;
    };
    // A value of another type may stand before the fault.
    if reason.starts_with("invalid type") || reason.starts_with("data_offsets does not") {
        return;
    }
    let (words, place) = words_and_place(json, theirs);
    assert_eq!(
        (reason.as_str(), ours.offset()),
        (words.as_str(), Some(place)),
        "{json:?}"
    );
}

/// How many cases were of which kind.
#[derive(Debug, Default)]
struct Seen {
    taken: u32,
    lenient_only: u32,
    no_json: u32,
    rule_broken: u32,
    crate_only: u32,
}

/// Asserts that everybody agrees on a header.
fn agree(header: &str, data_bytes: usize, seen: &mut Seen) {
    let file = support::safetensors::build(header, &vec![0; data_bytes]);
    let data_start = 8 + header.len() as u64;
    let mut taken = [false; 2];
    for (lenient, strictness) in [(false, Strictness::Strict), (true, Strictness::Lenient)] {
        let json = header.trim_end_matches([' ', '\t', '\r', '\n']);
        let parsed: Result<Json, _> = serde_json::from_str(json);
        let ours = ours(&file, data_start, strictness);
        taken[usize::from(lenient)] = ours.is_ok();
        match (parsed, ours) {
            (Ok(json), ours) => {
                let expected = by_the_rules(json, data_bytes as u64, lenient);
                let expected = expected.filter(|_| well_framed(header, lenient));
                match (expected, ours) {
                    (Some(expected), Ok(ours)) => assert_eq!(expected, ours, "{header:?}"),
                    (None, Err(error)) => {
                        assert_eq!(error.kind(), ErrorKind::Malformed, "{header:?} {error}");
                        seen.rule_broken += 1;
                    }
                    (expected, ours) => {
                        panic!("{header:?} {strictness:?}\nexpected {expected:?}\ngot {ours:?}")
                    }
                }
            }
            // Values that lenient mode ignores are not read: their numbers may be too large for any type,
            // their strings may hold halves of characters.
            (Err(error), Ok(_)) => {
                let words = error.to_string();
                let unread = ["number out of range", "hex escape"];
                let unread = unread.iter().any(|unread| words.contains(unread));
                assert!(lenient && unread, "{header:?} {error}");
            }
            (Err(theirs), Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Malformed, "{header:?} {error}");
                seen.no_json += 1;
                if !lenient && header.starts_with('{') {
                    same_words(json, &theirs, &error);
                }
            }
        }
    }
    seen.taken += u32::from(taken[0]);
    seen.lenient_only += u32::from(taken[1] && !taken[0]);
    assert!(
        taken[1] || !taken[0],
        "lenient refuses what strict takes: {header:?}"
    );
    beside_the_crate(header, &file, seen);
}

/// Whatever we take and know, the crate takes; whatever only the crate takes breaks a rule that it does not
/// check.
fn beside_the_crate(header: &str, file: &[u8], seen: &mut Seen) {
    let theirs = ::safetensors::SafeTensors::deserialize(file);
    match weighbridge::Checkpoint::from_bytes(file.to_vec()) {
        Ok(ours) => {
            if ours.tensors().any(|tensor| tensor.dtype() == DType::Opaque) {
                return;
            }
            let theirs = theirs.unwrap_or_else(|error| panic!("{header:?} {error}"));
            assert_eq!(theirs.len(), ours.len());
            for tensor in ours.tensors() {
                let other = theirs.tensor(tensor.name()).unwrap();
                assert_eq!(other.shape(), tensor.shape());
                assert_eq!(other.dtype().to_string(), tensor.dtype_name());
                assert_eq!(other.data(), tensor.bytes().unwrap());
            }
        }
        Err(error) if theirs.is_ok() => {
            let code = error
                .as_malformed()
                .map_or("", |malformed| malformed.code());
            // Names twice, unknown fields, white space outside; structs written as lists, enums as objects;
            // products that overflow behind a 0.
            let laxer = ["duplicate", "unexpected", "invalid", "overflow"].contains(&code);
            let laxer = laxer || error.kind() == ErrorKind::Unsupported;
            // Of two tensors with one name it never looks at the first.
            assert!(laxer || repeats_a_name(header), "{header:?} {error}");
            seen.crate_only += 1;
        }
        Err(_) => {}
    }
}

/// Whether two tensors have one name.
fn repeats_a_name(header: &str) -> bool {
    let Ok(Json::Object(members)) = serde_json::from_str(header) else {
        return false;
    };
    let mut names = HashSet::new();
    !members.iter().all(|(name, _)| names.insert(name))
}

/// xorshift64: the same cases in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most.max(1) as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    fn space(&mut self) -> &'static str {
        match self.one_in(12) {
            true => self.of(&[" ", "  ", "\n", "\t", "\r\n ", " \n"]),
            false => "",
        }
    }

    /// A string as JSON, with escapes here and there.
    fn string(&mut self, text: &str) -> String {
        let mut json = String::from("\"");
        let many = if self.one_in(4) { 3 } else { usize::MAX };
        for char in text.chars() {
            let escaped = matches!(char, '"' | '\\' | '\0'..='\x1f') || self.one_in(many);
            if !escaped {
                json.push(char);
                continue;
            }
            let mut units = [0; 2];
            for unit in char.encode_utf16(&mut units) {
                json += &match self.one_in(2) {
                    true => format!("\\u{unit:04x}"),
                    false => format!("\\u{unit:04X}"),
                };
            }
        }
        json + "\""
    }

    fn name(&mut self) -> String {
        let parts = [
            "",
            "a",
            "x",
            "weight",
            "layers.0.",
            "é",
            "😀",
            "\"",
            "\\",
            "\n",
            "{",
            "}",
            ",",
            "__metadata__",
            "a name of more than sixteen bytes",
            "\u{7f}",
            "\u{0}",
            "的",
            "dtype",
        ];
        (0..self.below(4)).map(|_| self.of(&parts)).collect()
    }

    fn number(&mut self) -> String {
        let strange = [
            "-1",
            "-0",
            "1.0",
            "1e2",
            "01",
            "18446744073709551615",
            "18446744073709551616",
            "1E400",
            "9223372036854775808",
            "12345678",
            "123456789",
            "\"1\"",
            "null",
            "[]",
            "00000000",
        ];
        self.of(&strange).to_owned()
    }

    /// A header, mostly right, and the length of its data.
    fn header(&mut self) -> (String, usize) {
        let mut at = 0;
        let mut members = Vec::new();
        if self.one_in(3) {
            let metadata = match self.below(8) {
                0 => String::from("null"),
                1 => self.number(),
                _ => {
                    let pairs = (0..self.below(3)).map(|_| {
                        let (key, value) = (self.name(), self.name());
                        format!(
                            "{}:{}{}",
                            self.string(&key),
                            self.space(),
                            self.string(&value)
                        )
                    });
                    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
                }
            };
            members.push(format!("{}:{metadata}", self.string("__metadata__")));
        }
        for tensor in 0..self.below(14) {
            let name = match self.one_in(3) {
                true => self.name(),
                false => format!("model.layers.{tensor}.weight"),
            };
            let info = self.info(&mut at);
            members.push(format!("{}:{}{info}", self.string(&name), self.space()));
        }
        if self.one_in(4) {
            let (a, b) = (self.below(members.len()), self.below(members.len()));
            if a != b {
                members.swap(a, b);
            }
        }
        let padding = [" ", "   ", "\n", "", "", "", ""];
        let header = format!("{{{}}}{}", members.join(","), self.of(&padding));
        (header, at + usize::from(self.one_in(20)))
    }

    fn info(&mut self, at: &mut usize) -> String {
        let dtypes = ["U8", "F32", "BF16", "F64", "BOOL", "F4", "unknown", "C64"];
        let dtype = self.of(&dtypes);
        let mut shape: Vec<usize> = (0..self.below(4)).map(|_| self.below(4)).collect();
        if dtype == "F4" {
            shape.push(2);
        }
        let elements: usize = shape.iter().product();
        let known = DType::from_safetensors(dtype).unwrap_or(DType::U8);
        let end = *at + elements / known.block_elements() * known.block_bytes();
        let mut shape: Vec<String> = shape.iter().map(usize::to_string).collect();
        let mut offsets = [at.to_string(), end.to_string()];
        *at = end;
        if self.one_in(30) {
            let number = self.number();
            match self.one_in(2) {
                true => shape.push(number),
                false => offsets[self.below(2)] = number,
            }
        }
        let comma = format!(",{}", self.space());
        let mut fields = vec![
            format!("{}:{}", self.string("dtype"), self.string(dtype)),
            format!("{}:[{}]", self.string("shape"), shape.join(&comma)),
            format!(
                "{}:{}[{}]",
                self.string("data_offsets"),
                self.space(),
                offsets.join(&comma)
            ),
        ];
        if self.one_in(5) {
            let field = self.below(3);
            fields.swap(0, field);
        }
        match self.below(60) {
            0 => drop(fields.pop()),
            1 => fields.push(fields[self.below(3)].clone()),
            2..=4 => {
                let values = [
                    "0",
                    "-1.5e3",
                    "[[],{}]",
                    "{\"a\":[1,{\"b\":null}],\"c\":true}",
                    "\"\\ud800\"",
                    "1e999",
                    "[1,]",
                    "false",
                    "{\"a\":1,\"a\":2}",
                ];
                let value = self.of(&values);
                fields.insert(self.below(4), format!("\"extra\":{value}"));
            }
            _ => {}
        }
        format!("{{{}{}}}", self.space(), fields.join(","))
    }

    /// The header with up to three places overwritten.
    fn broken(&mut self, header: &str) -> String {
        let pieces = [
            "",
            "\"",
            "\\",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "0",
            "00",
            "-",
            "1e3",
            ".5",
            "\n",
            "null",
            "tru",
            "18446744073709551616",
            "\u{1}",
            "\u{7f}",
            "é",
            "\\u0041",
            "\\ud800",
            "\\udc00",
            "\\x",
            "\"dtype\":",
            "\"shape\":[],",
            "\"__metadata__\":{},",
            "\"y\":[[{\"a\":1}]],",
            "e+",
            "\t",
            "1.",
        ];
        let mut chars: Vec<char> = header.chars().collect();
        for _ in 0..=self.below(3) {
            let at = self.below(chars.len() + 1);
            let end = chars.len().min(at + self.below(4));
            chars.splice(at.min(end)..end, self.of(&pieces).chars());
        }
        if self.one_in(10) {
            chars.truncate(self.below(chars.len() + 1));
        }
        chars.into_iter().collect()
    }
}

#[test]
fn readers_agree_on_random_and_broken_headers() {
    let cases = std::env::var("WEIGHBRIDGE_CASES");
    let cases = cases.map_or(5_000, |cases| cases.parse().unwrap());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut seen = Seen::default();
    for _ in 0..cases {
        let (mut header, data_bytes) = random.header();
        if random.one_in(2) {
            header = random.broken(&header);
        }
        agree(&header, data_bytes, &mut seen);
    }
    println!("{cases} headers: {seen:?}");
    let least = cases / 100;
    for kind in [seen.taken, seen.no_json, seen.rule_broken] {
        assert!(kind > least, "{seen:?}");
    }
    assert!(seen.lenient_only > 0 && seen.crate_only > 0, "{seen:?}");
}

/// Numbers of every length, where a length decides how they are read.
#[test]
fn numbers_of_every_length_are_read_exactly() {
    for digits in 1..=21 {
        for text in ["9".repeat(digits), format!("1{}", "0".repeat(digits - 1))] {
            let header =
                format!(r#"{{"x":{{"dtype":"U8","shape":[0,{text}],"data_offsets":[0,0]}}}}"#);
            agree(&header, 0, &mut Seen::default());
        }
    }
}

/// Ignored values may nest as deep as `serde_json` nests any, and no deeper.
#[test]
fn ignored_values_nest_up_to_a_bound() {
    for depth in [1, 2, 100, 124, 125, 126, 127, 128, 5_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let levels = depth / open.matches(['[', '{']).count();
            let deep = format!("{}0{}", open.repeat(levels), close.repeat(levels));
            let header = format!(
                r#"{{"x":{{"extra":{deep},"dtype":"U8","shape":[0],"data_offsets":[0,0]}}}}"#
            );
            agree(&header, 0, &mut Seen::default());
        }
    }
}
