//! Any bytes as the pickle of a checkpoint in an archive, with two storages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge_fuzz::builders::zip::{Entry, Zip, entry};
use weighbridge_fuzz::using::open_and_use;

fuzz_target!(|data: &[u8]| {
    let storage: Vec<u8> = (0..=255).collect();
    let members: [(&str, &[u8]); 4] = [
        ("a/data.pkl", data),
        ("a/data/0", &storage),
        ("a/data/1", &storage[..8]),
        ("a/version", b"3\n"),
    ];
    // A checksum of 0 says that the writer computed none.
    let entries = members.map(|(name, data)| Entry {
        crc: Some(0),
        ..entry(name, data)
    });
    open_and_use(&Zip::of(entries.to_vec()).build());
});
