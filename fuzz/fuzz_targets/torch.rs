//! Any bytes as the pickle of a checkpoint in an archive, with two storages.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let storage: Vec<u8> = (0..=255).collect();
    let members: &[(&str, &[u8])] = &[
        ("a/data.pkl", data),
        ("a/data/0", &storage),
        ("a/data/1", &storage[..8]),
        ("a/version", b"3\n"),
    ];
    common::open_and_use(&archive(members));
});

/// A stored archive. Checksums are 0, which says that the writer computed none.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, data) in members {
        let offset = file.len() as u32;
        let sizes = [(data.len() as u32).to_le_bytes(); 2].concat();
        let name_length = (name.len() as u16).to_le_bytes();
        file.extend(
            [
                b"PK\x03\x04\0\0".as_slice(),
                &[0; 12],
                &sizes,
                &name_length,
                &[0; 2],
            ]
            .concat(),
        );
        file.extend(name.as_bytes());
        file.extend(*data);
        directory.extend(
            [
                b"PK\x01\x02".as_slice(),
                &[0; 16],
                &sizes,
                &name_length,
                &[0; 12],
            ]
            .concat(),
        );
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let offset = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([(members.len() as u16).to_le_bytes(); 2].concat());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(offset.to_le_bytes());
    file.extend([0; 2]);
    file
}
