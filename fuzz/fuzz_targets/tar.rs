//! Any bytes behind a header whose checksum is right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge::Strictness;
use weighbridge::formats::tar::Archive;
use weighbridge::limits::Budget;
use weighbridge_fuzz::using::{limits, open_and_use};

/// Sets the checksum of every block that could be a header, as far as the chain goes.
fn mend(file: &mut [u8]) {
    for block in file.chunks_exact_mut(512) {
        if block.get(257..262) == Some(b"ustar") {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut file = data.to_vec();
    mend(&mut file);
    let mut budget = Budget::new(limits(), Strictness::Strict);
    if let Ok(archive) = Archive::read(&file, &mut budget) {
        for member in archive.members() {
            assert!(member.data.slice(&file).is_some(), "a member is outside");
        }
    }
    open_and_use(&file);
});
