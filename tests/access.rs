//! The same file through every way of reaching its bytes: mapped, read, read lazily, from memory, from a
//! source of the caller's.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use weighbridge::{Access, Advice, Caller, Checkpoint, Error, ErrorKind, OpenOptions, ReadAt};

/// A source that writes down what is asked for.
#[derive(Clone)]
struct Recorded {
    bytes: Arc<Vec<u8>>,
    asked: Arc<Mutex<Vec<(u64, usize)>>>,
}

impl Recorded {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Arc::new(bytes),
            asked: Arc::default(),
        }
    }

    fn take(&self) -> Vec<(u64, usize)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl ReadAt for Recorded {
    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.asked.lock().unwrap().push((offset, out.len()));
        let part = self.bytes.get(offset as usize..);
        let part = part.and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Every well-formed file of the tree that opens alone.
fn files() -> Vec<PathBuf> {
    let folders = ["safetensors", "gguf", "torch"];
    let all = folders
        .iter()
        .flat_map(|folder| support::files_below(&support::file(folder)));
    let files: Vec<PathBuf> = all.filter(|path| open(path, Access::Map).is_ok()).collect();
    assert!(files.len() > 150, "only {} files", files.len());
    files
}

fn options() -> OpenOptions {
    OpenOptions::new().single_file(true).allow_dangerous(true)
}

fn open(path: &PathBuf, access: Access) -> Result<Checkpoint, Error> {
    options().access(access).open(path)
}

fn assert_same(model: &Checkpoint, expected: &Checkpoint, what: &str) {
    assert_eq!(model.format(), expected.format(), "{what}");
    assert_eq!(model.len(), expected.len(), "{what}");
    assert_eq!(model.files()[0].bytes, expected.files()[0].bytes);
    let pairs = |model: &Checkpoint| -> Vec<String> {
        let pairs = model.metadata();
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| format!("{key:?} {value:?}"))
            .collect()
    };
    assert_eq!(pairs(model), pairs(expected), "{what}");
    for (tensor, expected) in model.tensors().zip(expected.tensors()) {
        let name = format!("{what}: {:?}", tensor.name());
        assert_eq!(tensor.name(), expected.name());
        assert_eq!(tensor.shape(), expected.shape(), "{name}");
        assert_eq!(tensor.strides(), expected.strides(), "{name}");
        assert_eq!(tensor.location(), expected.location(), "{name}");
        let bytes = |tensor: &weighbridge::TensorView<'_>| {
            let mut bytes = vec![0; tensor.byte_length() as usize];
            tensor.copy_into(&mut bytes).map(|()| bytes).ok()
        };
        assert_eq!(bytes(&tensor), bytes(&expected), "{name}");
        let mut chunks = Vec::new();
        let walked = tensor.for_each_chunk(|chunk| {
            chunks.extend_from_slice(chunk);
            Ok(())
        });
        assert_eq!(walked.ok().map(|()| chunks), bytes(&expected), "{name}");
        let loaded = tensor.load().unwrap();
        assert_eq!(bytes(&loaded.view()), bytes(&expected), "{name}");
        assert_eq!(loaded.location(), expected.location(), "{name}");
        assert_eq!(loaded.bytes().ok(), expected.bytes().ok(), "{name}");
    }
}

/// Found by the fuzz target `inspect` on 2026-11-25: without a magic number, the start of a text pickle may be all that
/// a lazy reader has seen.
#[test]
fn a_text_pickle_is_known_however_late_its_first_line_ends() {
    let text = format!("(dp0\nS'{}'\np1\nI1\ns.", "a".repeat(5_000)).into_bytes();
    let in_memory = options().from_bytes(text.clone()).unwrap();
    let lazily = options().from_reader(Recorded::new(text)).unwrap();
    assert_same(&lazily, &in_memory, "a long line");

    let number = format!("L{}\n.", "1".repeat(100_000)).into_bytes();
    let in_memory = options().from_bytes(number.clone()).unwrap_err();
    assert_eq!(in_memory.kind(), ErrorKind::Limit);
    let lazily = options().from_reader(Recorded::new(number)).unwrap_err();
    assert_eq!(lazily.to_string(), in_memory.to_string());

    // What cannot go on is not read on: an opcode that does not exist, a text longer than the file.
    for junk in [b"(dp0\n\xfe".to_vec(), b"X\xff\xff\xff\x7fabc".to_vec()] {
        let source = Recorded::new([junk, vec![b'x'; 100_000]].concat());
        assert!(options().from_reader(source.clone()).is_err());
        assert_eq!(source.take(), [(0, 512)]);
    }
}

/// Found by the fuzz target `inspect` on 2026-11-25.
#[test]
fn an_absurd_header_length_is_one_error_however_the_file_is_reached() {
    // No format by its start; as safetensors, a header of 47 GB that begins rightly.
    let bytes = b"\x02\0\0\0\x0b\0\0\0{}\x01".to_vec();
    let in_memory = options().from_bytes(bytes.clone()).unwrap_err();
    let lazily = options().from_reader(Recorded::new(bytes)).unwrap_err();
    assert_eq!(lazily.kind(), ErrorKind::Unsupported);
    assert_eq!(lazily.to_string(), in_memory.to_string());
    // A text pickle: the same bytes say 8 GB and more to whoever takes them for a length.
    let pickle = b"(dp0\nS'a{'\np1\nI1\ns.".to_vec();
    assert_eq!(pickle[8], b'{');
    let in_memory = options().from_bytes(pickle.clone()).unwrap();
    let lazily = options().from_reader(Recorded::new(pickle)).unwrap();
    assert_same(&lazily, &in_memory, "a text pickle");
}

#[test]
fn every_way_to_the_bytes_gives_the_same_tensors() {
    for path in files() {
        let mapped = open(&path, Access::Map).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let what = path.display().to_string();
        for access in [Access::Read, Access::Lazy] {
            let model = open(&path, access).unwrap();
            assert_same(&model, &mapped, &format!("{what} {access:?}"));
        }
        let model = options().from_bytes(bytes.clone()).unwrap();
        assert_same(&model, &mapped, &format!("{what} from bytes"));
        let model = options().from_reader(Recorded::new(bytes)).unwrap();
        assert_same(&model, &mapped, &format!("{what} from a reader"));
    }
}

#[test]
fn a_safetensors_index_takes_two_reads_and_a_tensor_one() {
    let path = support::file("safetensors/network.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) + 8;
    let source = Recorded::new(bytes);
    let model = OpenOptions::new().from_reader(source.clone()).unwrap();
    assert_eq!(source.take(), [(0, 512), (512, header as usize - 512)]);
    let tensor = model.tensor("embed.weight").unwrap();
    let error = tensor.bytes().unwrap_err();
    assert_eq!(error.as_caller(), Some(&Caller::NotInMemory));
    let place = tensor.location().unwrap();
    tensor.load().unwrap();
    assert_eq!(source.take(), [(place.offset, place.length as usize)]);
    // Two rows: their range and no more.
    let rows = tensor.narrow(0, 1..3).unwrap();
    let row = place.length / tensor.shape()[0] as u64;
    let loaded = rows.load().unwrap();
    assert_eq!(source.take(), [(place.offset + row, 2 * row as usize)]);
    assert_eq!(loaded.bytes().unwrap().len() as u64, 2 * row);
    let mut values = vec![0.0_f32; rows.elements()];
    rows.dequantize_into(&mut values).unwrap();
    assert_eq!(source.take(), [(place.offset + row, 2 * row as usize)]);
}

#[test]
fn a_gguf_index_takes_few_reads_and_none_behind_it() {
    for name in [
        "gguf/network.gguf",
        "gguf/vocabulary.gguf",
        "gguf/metadata_arrays.gguf",
    ] {
        let bytes = std::fs::read(support::file(name)).unwrap();
        let length = bytes.len();
        // A large model: what follows the index is not looked at.
        let source = Recorded::new(bytes);
        let model = OpenOptions::new().from_reader(source.clone()).unwrap();
        let asked = source.take();
        assert!(asked.len() <= 3, "{name}: {asked:?}");
        let end: usize = asked.iter().map(|&(_, bytes)| bytes).sum();
        assert!(end <= length);
        assert!(model.metadata().len() > 1 || !model.is_empty(), "{name}");
    }
}

#[test]
fn a_broken_file_is_the_same_error_through_a_reader() {
    let mut seen = 0;
    for folder in ["malformed/safetensors", "malformed/gguf"] {
        for path in support::files_below(&support::file(folder)) {
            let bytes = std::fs::read(&path).unwrap();
            let Err(expected) = options().from_bytes(bytes.clone()) else {
                continue;
            };
            let found = options().from_reader(Recorded::new(bytes)).unwrap_err();
            let place = path.display();
            assert_eq!(
                found.kind(),
                expected.kind(),
                "{place}: {found} / {expected}"
            );
            assert_eq!(found.to_string(), expected.to_string(), "{place}");
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} broken files");
}

#[test]
fn a_reader_that_fails_is_an_error_that_says_so() {
    struct Failing(Vec<u8>);
    impl ReadAt for Failing {
        fn length(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }
        fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
            let end = offset as usize + out.len();
            if end > 4096 {
                return Err(io::Error::other("the bucket is gone"));
            }
            out.copy_from_slice(&self.0[offset as usize..end]);
            Ok(())
        }
    }
    let bytes = std::fs::read(support::file("safetensors/network.safetensors")).unwrap();
    let model = OpenOptions::new().from_reader(Failing(bytes)).unwrap();
    let last = model.tensors_by_offset().pop().unwrap();
    let error = last.load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.tensor(), Some(last.name()));
    assert!(error.to_string().contains("the bucket is gone"), "{error}");
}

#[test]
fn advice_and_prefetch_change_nothing_but_speed() {
    for access in [Access::Map, Access::Read, Access::Lazy] {
        let model = open(&support::file("gguf/network.gguf"), access).unwrap();
        let expected = open(&support::file("gguf/network.gguf"), Access::Map).unwrap();
        for tensor in model.tensors_by_offset() {
            for advice in [
                Advice::WillNeed,
                Advice::Sequential,
                Advice::Random,
                Advice::Done,
            ] {
                tensor.advise(advice).unwrap();
            }
            tensor.prefetch().unwrap();
            let mut bytes = vec![0; tensor.byte_length() as usize];
            tensor.copy_into(&mut bytes).unwrap();
            let expected = expected.tensor(tensor.name()).unwrap();
            assert_eq!(bytes, expected.bytes().unwrap());
        }
    }
}

#[test]
fn files_in_order_never_step_back() {
    for path in files() {
        let model = open(&path, Access::Map).unwrap();
        let mut last = 0;
        for tensor in model.tensors_by_offset() {
            let Some(place) = tensor.location() else {
                continue;
            };
            assert!(place.offset >= last, "{}", path.display());
            last = place.offset;
        }
    }
}

/// A model of 256 GiB of zeros behind its header: larger than the memory of most machines.
#[cfg(all(feature = "mmap", target_os = "linux", target_pointer_width = "64"))]
struct Endless {
    head: Vec<u8>,
    length: u64,
}

#[cfg(all(feature = "mmap", target_os = "linux", target_pointer_width = "64"))]
impl ReadAt for Endless {
    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        out.fill(0);
        for (out, at) in out.iter_mut().zip(offset as usize..self.head.len()) {
            *out = self.head[at];
        }
        Ok(())
    }
}

#[cfg(all(feature = "mmap", target_os = "linux", target_pointer_width = "64"))]
#[test]
fn a_model_larger_than_memory_opens_by_its_index() {
    let (rows, row) = (1_u64 << 22, 1_u64 << 16);
    let bytes = rows * row;
    let header =
        format!(r#"{{"x":{{"dtype":"U8","shape":[{rows},{row}],"data_offsets":[0,{bytes}]}}}}"#);
    let head = support::safetensors::build(&header, &[]);
    let length = head.len() as u64 + bytes;
    let model = OpenOptions::new()
        .from_reader(Endless { head, length })
        .unwrap();
    let tensor = model.tensor("x").unwrap();
    let last = tensor.narrow(0, rows as usize - 1..).unwrap();
    assert_eq!(last.load().unwrap().bytes().unwrap(), vec![0; row as usize]);
    assert_eq!(last.location().unwrap().offset, length - row);
}
