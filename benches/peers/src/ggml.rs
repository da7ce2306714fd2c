//! Where the sources of ggml are.

use std::path::PathBuf;

/// The version in this package's manifest.
const GGML: &str = "llama-cpp-sys-2-0.1.161/llama.cpp/ggml";

/// The folder `ggml` of the crate that vendors it.
pub fn sources() -> PathBuf {
    let home = || std::env::home_dir().expect("a home").join(".cargo");
    let cargo = std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from);
    std::fs::read_dir(cargo.join("registry/src"))
        .expect("fetched crates")
        .map(|registry| registry.expect("a folder").path().join(GGML))
        .find(|path| path.is_dir())
        .expect("cargo fetch has brought llama-cpp-sys-2")
}
