//! Any bytes behind the magic of a GGUF file, in either byte order.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut file = data.to_vec();
    if let Some(magic) = file.first_chunk_mut() {
        *magic = *b"GGUF";
    }
    common::open_and_use(&file);
});
