//! Files for targets that need a path, in one folder of this process: in memory if `TMPDIR` is.

use std::path::PathBuf;
use std::sync::OnceLock;

/// The folder of this process.
#[must_use]
pub fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let name = format!("weighbridge-fuzz-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder for the process");
        folder
    })
}

/// Writes a file into that folder.
#[must_use]
pub fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, bytes).expect("a file for the process");
    path
}

/// A number that depends on every byte: for choices, where the file itself is the input (FNV-1a).
#[must_use]
pub fn choice(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
