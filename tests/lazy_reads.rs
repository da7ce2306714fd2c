//! How much of a file is read to open it through a reader: its index, whatever its first bytes look like, and nothing
//! behind a header that is broken.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::io;
use std::sync::{Arc, Mutex};

use support::gguf::Gguf;
use support::safetensors::build;
use weighbridge::limits::Limits;
use weighbridge::{Checkpoint, Error, ErrorKind, Format, OpenOptions, ReadAt};

/// A file that writes down how far it was read.
struct Watched {
    bytes: Vec<u8>,
    end: Arc<Mutex<u64>>,
}

impl ReadAt for Watched {
    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let mut end = self.end.lock().unwrap();
        *end = (*end).max(offset + out.len() as u64);
        out.copy_from_slice(&self.bytes[offset as usize..offset as usize + out.len()]);
        Ok(())
    }
}

/// The checkpoint, and how far the file was read to open it.
fn open(bytes: &[u8], limits: Limits) -> (Result<Checkpoint, Error>, u64) {
    let end = Arc::default();
    let source = Watched {
        bytes: bytes.to_vec(),
        end: Arc::clone(&end),
    };
    let model = OpenOptions::new().limits(limits).from_reader(source);
    let end = *end.lock().unwrap();
    (model, end)
}

/// A safetensors file of one tensor of 100,000 bytes, with a header of just so many bytes.
fn safetensors(header_bytes: usize) -> Vec<u8> {
    let header = r#"{"x":{"dtype":"U8","shape":[100000],"data_offsets":[0,100000]}}"#;
    let padded = format!("{header:<header_bytes$}");
    assert_eq!(padded.len(), header_bytes);
    build(&padded, &[7; 100_000])
}

#[test]
fn a_header_whose_length_looks_like_another_format_is_all_that_is_read() {
    for (length, looks_like) in [
        (0x280, "a pickle of protocol 2"),
        (0x480, "a pickle of protocol 4"),
        (0x8b1f, "gzip"),
        (700, "nothing else"),
        (512, "nothing else"),
        (504, "nothing else"),
        (505, "nothing else"),
        (100, "nothing else"),
    ] {
        let file = safetensors(length);
        let (model, end) = open(&file, Limits::default());
        let model = model.unwrap();
        assert_eq!(model.format(), Format::Safetensors);
        assert_eq!(end, (length as u64 + 8).max(512), "{looks_like}");
    }
}

#[test]
fn a_gguf_of_123_tensors_is_not_read_behind_its_index() {
    // The byte where a safetensors header opens counts the tensors here: 123 is `{`.
    let mut file = Gguf::default();
    for no in 0..123 {
        file = file.tensor(&format!("tensor {no}"), &[8], 0, &[0; 32]);
    }
    let file = file.data(&[0; 200_000]);
    let bytes = file.build();
    assert_eq!(bytes[8], b'{');
    let (model, end) = open(&bytes, Limits::default());
    assert_eq!(model.unwrap().len(), 123);
    // The least that is read after the first look is 64 KiB.
    assert_eq!(end, 64 << 10);
    assert!(file.head().len() < 64 << 10);
}

#[test]
fn a_header_longer_than_its_file_is_not_read_on() {
    let mut file = safetensors(3_000);
    file.truncate(2_900);
    let (model, end) = open(&file, Limits::default());
    let error = model.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert_eq!(error.offset(), Some(8));
    assert_eq!(end, 512);
    let in_memory = Checkpoint::from_bytes(file).unwrap_err();
    assert_eq!(error.to_string(), in_memory.to_string());
}

/// The limit bounds how much is read to look for the end of an index, not what a file of that size may be.
#[test]
fn a_gguf_that_breaks_off_is_the_same_error_however_low_the_limit() {
    let file = Gguf::default().pair_string("long", &[b'x'; 5_000]).build();
    let cut = &file[..700];
    let mut limits = Limits::default();
    limits.header_bytes = 600;
    let (model, end) = open(cut, limits);
    let error = model.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    assert_eq!(end, 700);
    let in_memory = OpenOptions::new().limits(limits).from_bytes(cut.to_vec());
    assert_eq!(error.to_string(), in_memory.unwrap_err().to_string());
    // One whose start is longer than the limit is not read on.
    limits.header_bytes = 511;
    let (model, end) = open(cut, limits);
    let error = model.unwrap_err();
    assert_eq!(error.as_limit(), Some(("header_bytes", 512, 511)));
    assert_eq!(end, 512);
}
