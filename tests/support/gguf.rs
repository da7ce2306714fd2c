//! GGUF files, byte by byte: right unless a test makes them wrong.

/// Value types by their code in the specification.
pub const U8: u32 = 0;
pub const U32: u32 = 4;
pub const I32: u32 = 5;
pub const F32: u32 = 6;
pub const BOOL: u32 = 7;
pub const STRING: u32 = 8;
pub const ARRAY: u32 = 9;
pub const U64: u32 = 10;

/// A file in the making.
#[derive(Clone)]
pub struct Gguf {
    pub magic: [u8; 4],
    pub version: u32,
    pub big_endian: bool,
    pub alignment: u64,
    /// Stated counts, where they should differ from the truth.
    pub key_value_count: Option<u64>,
    pub tensor_count: Option<u64>,
    pub pairs: Vec<Vec<u8>>,
    pub infos: Vec<Vec<u8>>,
    pub data: Vec<u8>,
}

impl Default for Gguf {
    fn default() -> Self {
        Self {
            magic: *b"GGUF",
            version: 3,
            big_endian: false,
            alignment: 32,
            key_value_count: None,
            tensor_count: None,
            pairs: Vec::new(),
            infos: Vec::new(),
            data: Vec::new(),
        }
    }
}

impl Gguf {
    pub fn u32(&self, number: u32) -> Vec<u8> {
        if self.big_endian {
            number.to_be_bytes().to_vec()
        } else {
            number.to_le_bytes().to_vec()
        }
    }

    pub fn u64(&self, number: u64) -> Vec<u8> {
        if self.big_endian {
            number.to_be_bytes().to_vec()
        } else {
            number.to_le_bytes().to_vec()
        }
    }

    /// A length or count: 4 bytes in version 1.
    pub fn length(&self, number: u64) -> Vec<u8> {
        if self.version == 1 {
            self.u32(u32::try_from(number).unwrap())
        } else {
            self.u64(number)
        }
    }

    pub fn string(&self, text: &[u8]) -> Vec<u8> {
        [self.length(text.len() as u64), text.to_vec()].concat()
    }

    /// Adds a pair of any type and raw value.
    pub fn pair(mut self, key: &[u8], value_type: u32, value: &[u8]) -> Self {
        let pair = [self.string(key), self.u32(value_type), value.to_vec()].concat();
        self.pairs.push(pair);
        self
    }

    pub fn pair_u32(self, key: &str, value: u32) -> Self {
        let value = self.u32(value);
        self.pair(key.as_bytes(), U32, &value)
    }

    pub fn pair_string(self, key: &str, value: &[u8]) -> Self {
        let value = self.string(value);
        self.pair(key.as_bytes(), STRING, &value)
    }

    /// An array whose elements are given as they are laid out.
    pub fn pair_array(self, key: &str, element_type: u32, count: u64, elements: &[u8]) -> Self {
        let value = [
            self.u32(element_type),
            self.length(count),
            elements.to_vec(),
        ]
        .concat();
        self.pair(key.as_bytes(), ARRAY, &value)
    }

    /// Adds a tensor info with raw fields; dimensions innermost first, as in the file.
    pub fn info(mut self, name: &[u8], dimensions: &[u64], type_id: u32, offset: u64) -> Self {
        let mut info = self.string(name);
        info.extend(self.u32(dimensions.len() as u32));
        for &dimension in dimensions {
            info.extend(self.length(dimension));
        }
        info.extend(self.u32(type_id));
        info.extend(self.u64(offset));
        self.infos.push(info);
        self
    }

    /// Adds raw bytes where the next tensor info should stand.
    pub fn raw_info(mut self, info: &[u8]) -> Self {
        self.infos.push(info.to_vec());
        self
    }

    /// Adds a tensor whose data follows the last one's, padded.
    pub fn tensor(self, name: &str, dimensions: &[u64], type_id: u32, data: &[u8]) -> Self {
        let offset = self.data.len() as u64;
        let mut file = self.info(name.as_bytes(), dimensions, type_id, offset);
        file.data.extend_from_slice(data);
        let padded = file.data.len().next_multiple_of(file.alignment as usize);
        file.data.resize(padded, 0);
        file
    }

    /// Adds bytes to the data section.
    pub fn data(mut self, data: &[u8]) -> Self {
        self.data.extend_from_slice(data);
        self
    }

    /// Everything up to the data section, without padding.
    pub fn head(&self) -> Vec<u8> {
        let tensors = self.tensor_count.unwrap_or(self.infos.len() as u64);
        let pairs = self.key_value_count.unwrap_or(self.pairs.len() as u64);
        let mut file = self.magic.to_vec();
        file.extend(self.u32(self.version));
        file.extend(self.length(tensors));
        file.extend(self.length(pairs));
        file.extend(self.pairs.concat());
        file.extend(self.infos.concat());
        file
    }

    pub fn build(&self) -> Vec<u8> {
        let mut file = self.head();
        let padded = file.len().next_multiple_of(self.alignment as usize);
        file.resize(padded, 0);
        file.extend(&self.data);
        file
    }
}
