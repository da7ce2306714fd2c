//! Any bytes behind the magic of a GGUF file, in either byte order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge_fuzz::using::open_and_use;

fuzz_target!(|data: &[u8]| {
    let mut file = data.to_vec();
    if let Some(magic) = file.first_chunk_mut() {
        *magic = *b"GGUF";
    }
    open_and_use(&file);
});
