//! Any bytes as the header and data of a safetensors file: the length is made to fit, so that the
//! fuzzer does not have to guess it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge_fuzz::using::open_and_use;

fuzz_target!(|data: &[u8]| {
    open_and_use(data);
    let end = data
        .iter()
        .rposition(|&byte| byte == b'}')
        .map_or(0, |at| at + 1);
    let mut file = (end as u64).to_le_bytes().to_vec();
    file.extend_from_slice(data);
    open_and_use(&file);
});
