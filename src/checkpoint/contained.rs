//! The one rule for file names that stand inside a file.
//!
//! A name must be one plain component, on every platform alike: whoever writes an index decides which files
//! of *its* folder belong to a model, and nothing else. What one system would take as a path, a drive, a
//! device or an alternate stream is refused on all of them.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result, shortened};

/// Names that Windows gives to devices, with any extension.
const DEVICES: &[&str] = &[
    "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "COM0", "COM1", "COM2", "COM3", "COM4",
    "COM5", "COM6", "COM7", "COM8", "COM9", "LPT0", "LPT1", "LPT2", "LPT3", "LPT4", "LPT5", "LPT6",
    "LPT7", "LPT8", "LPT9",
];

/// Longest file name of the common file systems, in bytes.
const LONGEST: usize = 255;

/// The file `name` in `folder`.
///
/// # Errors
/// `Malformed` if the name is more or other than one plain component.
pub(super) fn contained(folder: &Path, name: &str) -> Result<PathBuf> {
    match objection(name) {
        None => Ok(folder.join(name)),
        Some(why) => {
            let found = format!("{:?}, {why}", shortened(name));
            Err(Error::unexpected("a file name", found, "a plain name"))
        }
    }
}

/// Why a name is refused.
fn objection(name: &str) -> Option<&'static str> {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let is_odd = |letter: char| letter.is_control() || "/\\:*?\"<>|".contains(letter);
    if name.is_empty() || name == "." || name == ".." {
        Some("which names a folder")
    } else if name.len() > LONGEST {
        Some("which is longer than 255 bytes")
    } else if name.contains(is_odd) {
        Some("which holds a separator or control character")
    } else if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        Some("which some systems would trim")
    } else if DEVICES
        .iter()
        .any(|device| stem.eq_ignore_ascii_case(device))
    {
        Some("which is a device")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_pass() {
        let long = "a".repeat(256);
        let refused = [
            "",
            ".",
            "..",
            "/",
            "/etc/passwd",
            "../x",
            "a/b",
            "a/../b",
            "./a",
            "a/",
            "\\x",
            "..\\x",
            "a\\b",
            "C:x",
            "C:\\x",
            "c:/x",
            "\\\\host\\x",
            "//host/x",
            "\\\\?\\C:\\x",
            "x:stream",
            "x::$DATA",
            "a\0b",
            "a\nb",
            "\u{7f}",
            "a\u{85}b",
            "NUL",
            "nul",
            "NUL.bin",
            "con.safetensors",
            "COM1",
            "lpt9.bin",
            "AUX .bin",
            "CONIN$",
            "a.",
            "a ",
            " a",
            "...",
            "a*",
            "a?",
            "a|b",
            "a<b",
            "a>b",
            "a\"b",
            &long,
        ];
        for name in refused {
            assert!(contained(Path::new("folder"), name).is_err(), "{name:?}");
        }
        let taken = [
            "model-00001-of-00002.safetensors",
            "pytorch_model.bin",
            ".metadata",
            "__0_0.distcp",
            "console.bin",
            "a b.bin",
            "модель.bin",
            "..a",
            "com10.bin",
        ];
        for name in taken {
            assert_eq!(
                contained(Path::new("f"), name).unwrap(),
                Path::new("f").join(name)
            );
        }
    }
}
