//! GGUF files that are mostly right: a right one shows what it was made of, any one is used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge_fuzz::{generate, using};

fuzz_target!(|data: &[u8]| {
    let made = generate::gguf::make(data);
    made.check();
    using::open_and_use(&made.file);
});
