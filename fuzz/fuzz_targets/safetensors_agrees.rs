//! Ours and the official crate, both ways: what we accept, the crate accepts, with the same names, shapes and
//! bytes; what the crate accepts and we refuse breaks a rule of the written list (`src/agreement.rs`).
//!
//! The other disagreement: we open files with dtypes that nobody knows, as opaque entries.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge_fuzz::agreement;

fuzz_target!(|data: &[u8]| {
    agreement::check(data);
    // The header's length is made to fit, so that the fuzzer does not have to guess it.
    let end = data
        .iter()
        .rposition(|&byte| byte == b'}')
        .map_or(0, |at| at + 1);
    let mut file = (end as u64).to_le_bytes().to_vec();
    file.extend_from_slice(data);
    agreement::check(&file);
});
