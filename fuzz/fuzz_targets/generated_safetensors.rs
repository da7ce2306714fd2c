//! safetensors files that are mostly right: a right one shows what it was made of, any one is used, and the
//! official crate agrees.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge_fuzz::{agreement, generate, using};

fuzz_target!(|data: &[u8]| {
    let made = generate::safetensors::make(data);
    made.check();
    agreement::check(&made.file);
    using::open_and_use(&made.file);
});
