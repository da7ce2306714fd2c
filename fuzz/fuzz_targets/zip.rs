//! Any bytes behind the first signature of an archive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge::Strictness;
use weighbridge::formats::zip::Archive;
use weighbridge::limits::Budget;
use weighbridge_fuzz::using::{limits, open_and_use};

fuzz_target!(|data: &[u8]| {
    let mut file = data.to_vec();
    if let Some(signature) = file.first_chunk_mut() {
        *signature = *b"PK\x03\x04";
    }
    if let Ok(archive) = Archive::read(&file, &mut Budget::new(limits(), Strictness::Strict)) {
        let stored: u64 = archive
            .members()
            .iter()
            .map(|member| member.data.length())
            .sum();
        assert!(stored <= file.len() as u64, "members overlap");
    }
    open_and_use(&file);
});
