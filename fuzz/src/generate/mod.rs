//! Files made from the fuzzer's bytes: mostly right, so that the code behind the first checks is reached,
//! with an odd field here and there.
//!
//! A file without an odd field must open, and show exactly what it was made of: [`Made::check`].

pub mod gguf;
pub mod pickle;
pub mod safetensors;
pub mod zip;

use arbitrary::Unstructured;
use weighbridge::Checkpoint;

/// A file, and what a reader must find in it.
#[derive(Clone, Debug)]
pub struct Made {
    pub file: Vec<u8>,
    pub tensors: Vec<Expected>,
    /// Whether something in the file is not as it should be.
    pub is_odd: bool,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<usize>,
    /// Row-major and little-endian.
    pub bytes: Vec<u8>,
}

impl Made {
    /// Asserts that a file without odd fields opens and lists what was put into it.
    pub fn check(&self) {
        if self.is_odd {
            return;
        }
        let model = match crate::using::options().from_bytes(self.file.clone()) {
            Ok(model) => model,
            // Python's `tarfile` takes a header without a checksum if its bytes add up to 0.
            Err(error) if error.to_string().contains("both an archive") && self.may_be_tar() => {
                return;
            }
            Err(error) => panic!("a right file is refused: {error}"),
        };
        self.check_listed(&model);
    }

    /// Whether the field of a tar header's checksum holds an octal number or nothing.
    fn may_be_tar(&self) -> bool {
        let field = self.file.get(148..156).unwrap_or(b"no field");
        let text = field.split(|&byte| byte == 0).next().unwrap_or_default();
        text.trim_ascii()
            .iter()
            .all(|digit| (b'0'..b'8').contains(digit))
    }

    fn check_listed(&self, model: &Checkpoint) {
        assert_eq!(model.len(), self.tensors.len(), "{model:?}");
        for expected in &self.tensors {
            let tensor = model.tensor(&expected.name).expect("a tensor of the file");
            assert_eq!(tensor.dtype_name(), expected.dtype);
            assert_eq!(tensor.shape(), expected.shape, "{tensor:?}");
            let mut bytes = vec![0; tensor.byte_length() as usize];
            tensor.copy_into(&mut bytes).expect("it has data");
            assert_eq!(bytes, expected.bytes, "{tensor:?}");
        }
    }
}

/// The fuzzer's bytes as choices. When they are used up, every choice is the first and nothing is odd.
pub struct Maker<'u> {
    data: Unstructured<'u>,
    pub is_odd: bool,
}

/// Numbers at which arithmetic breaks.
const EDGES: &[u64] = &[
    0,
    1,
    2,
    7,
    255,
    256,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 61,
    1 << 62,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 31,
    u64::MAX - 1,
    u64::MAX,
];

impl<'u> Maker<'u> {
    #[must_use]
    pub fn new(data: &'u [u8]) -> Self {
        Self {
            data: Unstructured::new(data),
            is_odd: false,
        }
    }

    pub fn byte(&mut self) -> u8 {
        self.data.arbitrary().unwrap_or_default()
    }

    pub fn word(&mut self) -> u64 {
        self.data.arbitrary().unwrap_or_default()
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    pub fn pick<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }

    pub fn coin(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Whether this field is to be wrong: one in 32.
    pub fn oddly(&mut self) -> bool {
        let odd = self.byte() >= 248;
        self.is_odd |= odd;
        odd
    }

    /// The right number, or an odd one.
    pub fn number(&mut self, right: u64) -> u64 {
        if !self.oddly() {
            return right;
        }
        match self.below(4) {
            0 => right.wrapping_add(1),
            1 => right.wrapping_sub(1),
            2 => *self.pick(EDGES),
            _ => self.word(),
        }
    }

    /// As many bytes as are asked for; zeros when the fuzzer's are used up.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let have = self.data.len().min(length);
        let mut bytes = self.data.bytes(have).unwrap_or_default().to_vec();
        bytes.resize(length, 0);
        bytes
    }

    /// A name: one that models use, or short text of any letters.
    pub fn name(&mut self) -> String {
        const NAMES: &[&str] = &[
            "weight",
            "bias",
            "layers.0.weight",
            "blk.0.attn_q.weight",
            "x",
            "output",
            "a/b",
            "äöü",
        ];
        if self.coin() {
            return (*self.pick(NAMES)).to_owned();
        }
        let length = self.below(12) + 1;
        let letters = (0..length).map(|_| match self.byte() {
            letter @ b' '..=b'~' => char::from(letter),
            other => char::from(b'a' + other % 26),
        });
        letters.collect()
    }

    /// A name that `used` does not hold yet.
    pub fn new_name(&mut self, used: &mut Vec<String>) -> String {
        let mut name = self.name();
        while used.contains(&name) {
            name.push_str(&used.len().to_string());
        }
        if self.oddly() {
            name = used.first().cloned().unwrap_or_default();
        }
        used.push(name.clone());
        name
    }
}
