//! The builders of the library's own tests: right files, unless a field is set wrong.

#![allow(dead_code, reason = "each target uses a part")]

#[path = "../../../tests/support/gguf.rs"]
pub mod gguf;
#[path = "../../../tests/support/tar.rs"]
pub mod tar;
#[path = "../../../tests/support/torch.rs"]
pub mod torch;
#[path = "../../../tests/support/zip.rs"]
pub mod zip;
