//! The pickle of a state dict, protocols 2 to 5, and pickles of any opcodes that mostly fit the stack.

use weighbridge::DType;

use super::{Expected, Maker};
use crate::builders::torch::{call, dict, global, int, ints, text, tuple};
use crate::naive::Naive;

/// A storage that tensors lie in.
pub struct Storage {
    pub key: String,
    pub dtype: DType,
    pub class: &'static str,
    pub bytes: Vec<u8>,
}

const CLASSES: &[(&str, DType)] = &[
    ("FloatStorage", DType::F32),
    ("HalfStorage", DType::F16),
    ("BFloat16Storage", DType::BF16),
    ("DoubleStorage", DType::F64),
    ("LongStorage", DType::I64),
    ("IntStorage", DType::I32),
    ("ShortStorage", DType::I16),
    ("CharStorage", DType::I8),
    ("ByteStorage", DType::U8),
    ("BoolStorage", DType::BOOL),
];

/// Elements of a storage: more than any tensor here reaches.
const ELEMENTS: usize = 64;

/// A state dict, its storages, and the tensors that a reader must find.
pub fn state_dict(maker: &mut Maker<'_>) -> (Vec<u8>, Vec<Storage>, Vec<Expected>) {
    let storages: Vec<Storage> = (0..=maker.below(3))
        .map(|key| storage(maker, key))
        .collect();
    let mut used = Vec::new();
    let mut tensors = Vec::new();
    let mut pairs = Vec::new();
    for _ in 0..maker.below(5) {
        let name = maker.new_name(&mut used);
        let storage = maker.pick(&storages);
        let view = View::make(maker);
        tensors.push(view.expected(storage, &name));
        pairs.push((text(&name), view.pickled(maker, storage)));
    }
    // Storages that no tensor shows are left out by torch, and are a finding here.
    let body = container(maker, &pairs);
    (whole(maker, body), storages, tensors)
}

fn storage(maker: &mut Maker<'_>, key: usize) -> Storage {
    let &(class, dtype) = maker.pick(CLASSES);
    let pattern = maker.bytes(16);
    let bytes = (0..).zip(pattern.iter().cycle());
    let bytes = bytes.map(|(at, byte): (usize, _)| byte ^ at as u8);
    let length = ELEMENTS * dtype.block_bytes();
    Storage {
        key: key.to_string(),
        dtype,
        class,
        bytes: bytes.take(length).collect(),
    }
}

/// The three ways in which picklers fill a dict.
fn container(maker: &mut Maker<'_>, pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let items = |start: Vec<u8>, before: &[u8], after: &[u8]| {
        let items = pairs
            .iter()
            .flat_map(|(key, value)| [before, key, value, after].concat());
        start.into_iter().chain(items).collect()
    };
    match maker.below(3) {
        0 => dict(pairs),
        1 => items(call("collections", "OrderedDict", &[]), b"", b"s"),
        _ => items(b"}".to_vec(), b"(", b"u"),
    }
}

/// Which elements of a storage a tensor shows.
struct View {
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
    is_parameter: bool,
}

impl View {
    /// Contiguous, transposed, or the same elements again and again.
    fn make(maker: &mut Maker<'_>) -> Self {
        let shape: Vec<usize> = (0..maker.below(4)).map(|_| maker.below(4)).collect();
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis].max(1);
        }
        if shape.len() > 1 && maker.coin() {
            strides.swap(0, 1);
        }
        if !shape.is_empty() && maker.below(4) == 3 {
            strides[0] = 0;
        }
        Self {
            offset: maker.below(8),
            shape,
            strides,
            is_parameter: maker.below(4) == 3,
        }
    }

    fn expected(&self, storage: &Storage, name: &str) -> Expected {
        let (bytes, dtype) = (&storage.bytes, storage.dtype);
        let elements = Naive::new(bytes, dtype, self.offset, &self.shape, &self.strides);
        Expected {
            name: name.to_owned(),
            dtype: dtype.name().to_owned(),
            shape: self.shape.clone(),
            bytes: elements.bytes().expect("no blocks"),
        }
    }

    /// `_rebuild_tensor_v2(…)`, perhaps in `_rebuild_parameter(…)`.
    fn pickled(&self, maker: &mut Maker<'_>, storage: &Storage) -> Vec<u8> {
        let class = match maker.oddly() {
            true => "QInt8Storage",
            false => storage.class,
        };
        let id = tuple(&[
            text("storage"),
            global("torch", class),
            text(&storage.key),
            text(maker.pick::<&str>(&["cpu", "cuda:0"])),
            int(maker.number(ELEMENTS as u64) as i32),
        ]);
        let mut stated = |numbers: &[usize]| -> Vec<i32> {
            let numbers = numbers.iter();
            numbers
                .map(|&number| maker.number(number as u64) as i32)
                .collect()
        };
        let (offset, shape) = (stated(&[self.offset])[0], stated(&self.shape));
        let strides = stated(&self.strides);
        let none = call("collections", "OrderedDict", &[]);
        let arguments = [
            [id, b"Q".to_vec()].concat(),
            int(offset),
            ints(&shape),
            ints(&strides),
            vec![0x89],
            none.clone(),
        ];
        let tensor = call("torch._utils", "_rebuild_tensor_v2", &arguments);
        match self.is_parameter {
            false => tensor,
            true => call(
                "torch._utils",
                "_rebuild_parameter",
                &[tensor, vec![0x88], none],
            ),
        }
    }
}

/// Protocol, perhaps a frame, the body, STOP.
fn whole(maker: &mut Maker<'_>, body: Vec<u8>) -> Vec<u8> {
    let protocol = 2 + maker.below(4) as u8;
    let mut pickle = vec![0x80, maker.number(protocol.into()) as u8];
    if protocol >= 4 {
        pickle.push(0x95);
        pickle.extend(maker.number(body.len() as u64 + 1).to_le_bytes());
    }
    pickle.extend(body);
    if !maker.oddly() {
        pickle.push(b'.');
    }
    pickle
}

/// Globals of every judgement: harmless, unknown, dangerous, renamed by Python 3.
const GLOBALS: &[(&str, &str)] = &[
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch", "FloatStorage"),
    ("torch", "Size"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("builtins", "set"),
    ("__builtin__", "getattr"),
    ("os", "system"),
    ("functools", "partial"),
    ("my.module", "Class"),
];

/// Any opcodes, with operands of their form, that rarely take more from the stack than is there.
#[must_use]
pub fn opcodes(data: &[u8]) -> Vec<u8> {
    let mut maker = Maker::new(data);
    let mut pickle = vec![0x80, 2 + maker.below(4) as u8];
    let mut stack = Stack::default();
    for _ in 0..maker.below(256) {
        pickle.extend(stack.step(&mut maker));
        if maker.oddly() {
            pickle.push(maker.byte());
        }
    }
    pickle.push(b'.');
    pickle
}

/// What the opcodes so far leave.
#[derive(Default)]
struct Stack {
    /// Values above each mark, the lowest first.
    marks: Vec<usize>,
    values: usize,
    memo: u8,
}

impl Stack {
    /// One opcode that the stack allows.
    fn step(&mut self, maker: &mut Maker<'_>) -> Vec<u8> {
        /// Opcode, values that it takes, values that it leaves.
        const TAKING: &[(u8, usize, usize)] = &[
            (b'R', 2, 1),
            (b'b', 2, 1),
            (b'a', 2, 1),
            (b's', 3, 1),
            (0x85, 1, 1),
            (0x86, 2, 1),
            (0x87, 3, 1),
            (0x81, 2, 1),
            (0x92, 3, 1),
            (0x93, 2, 1),
            (b'Q', 1, 1),
            (b'2', 1, 2),
            (b'0', 1, 0),
        ];
        match maker.below(8) {
            0 => {
                self.marks.push(self.values);
                self.values = 0;
                b"(".to_vec()
            }
            1 => {
                let Some(below) = self.marks.pop() else {
                    return self.plain(maker);
                };
                self.values = below;
                // What fills a container needs one below the mark; what makes one leaves one.
                let fills = below > 0 && maker.coin();
                self.values += usize::from(!fills);
                let filling: &[u8] = &[b'e', b'u', 0x90];
                let making: &[u8] = &[b't', b'l', b'd', 0x91];
                vec![*maker.pick(if fills { filling } else { making })]
            }
            2 if self.values > 0 => {
                self.memo = self.memo.saturating_add(1);
                vec![0x94]
            }
            3 if self.memo > 0 => {
                self.values += 1;
                vec![b'h', maker.byte() % self.memo]
            }
            4 | 5 => {
                let &(opcode, takes, leaves) = maker.pick(TAKING);
                if takes > self.values {
                    return self.plain(maker);
                }
                self.values = self.values - takes + leaves;
                vec![opcode]
            }
            _ => self.plain(maker),
        }
    }

    /// One value that takes none.
    fn plain(&mut self, maker: &mut Maker<'_>) -> Vec<u8> {
        self.values += 1;
        match maker.below(12) {
            0 => b"]".to_vec(),
            1 => b"}".to_vec(),
            2 => b")".to_vec(),
            3 => vec![0x8f],
            4 => vec![b'K', maker.byte()],
            5 => text(&maker.name()),
            6 => int(maker.number(7) as i32),
            7 => vec![0x8a, 2, maker.byte(), maker.byte()],
            8 | 9 => {
                let &(module, name) = maker.pick(GLOBALS);
                global(module, name)
            }
            10 => format!("I{}\n", maker.byte()).into_bytes(),
            _ => b"N".to_vec(),
        }
    }
}
