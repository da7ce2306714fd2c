//! Any bytes: one format or one error, the same twice. And as JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge::Strictness;
use weighbridge::formats::json::Json;
use weighbridge::limits::Budget;
use weighbridge_fuzz::using::{limits, open_and_use};

fuzz_target!(|data: &[u8]| {
    let first = weighbridge::formats::detect(data).map_err(|error| error.to_string());
    let second = weighbridge::formats::detect(data).map_err(|error| error.to_string());
    assert_eq!(first, second);
    let _ = Json::parse(data, &mut Budget::new(limits(), Strictness::Strict));
    open_and_use(data);
});
