//! Any bytes: one format or one error, the same twice.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let first = weighbridge::formats::detect(data).map_err(|error| error.to_string());
    let second = weighbridge::formats::detect(data).map_err(|error| error.to_string());
    assert_eq!(first, second);
    common::open_and_use(data);
});
