//! Which format a file has, by its content alone: never by its name.

use crate::bytes::to_u64;
use crate::error::{Error, Format, Result};

/// One magic number: the bytes, where they stand, and what they say.
struct Magic {
    offset: usize,
    bytes: &'static [u8],
    means: Means,
}

enum Means {
    /// A format of ours.
    Format(Format),
    /// Something that we name and do not open.
    Other(&'static str),
}

/// Tried in order. torch decides between its own containers in the same order: zip by the first
/// four bytes, then tar, then a pickle (torch 2.15.0 `serialization.py`).
const MAGICS: &[Magic] = &[
    format(0, b"GGUF", Format::Gguf),
    format(0, b"PK\x03\x04", Format::TorchZip),
    format(0, b"\x80\x00", Format::Pickle),
    format(0, b"\x80\x01", Format::Pickle),
    format(0, b"\x80\x02", Format::Pickle),
    format(0, b"\x80\x03", Format::Pickle),
    format(0, b"\x80\x04", Format::Pickle),
    format(0, b"\x80\x05", Format::Pickle),
    other(0, b"FUGG", "byte-swapped GGUF magic"),
    other(0, b"ggml", "pre-GGUF ggml file"),
    other(0, b"lmgg", "pre-GGUF ggml file"),
    other(0, b"tjgg", "pre-GGUF ggjt file"),
    other(0, b"fmgg", "pre-GGUF ggmf file"),
    other(0, b"algg", "pre-GGUF ggla file"),
    other(0, b"PK\x05\x06", "empty zip archive"),
    other(0, b"7z\xbc\xaf\x27\x1c", "7z archive"),
    format(0, b"\x1f\x8b", Format::Gzip),
    other(0, b"BZh", "bzip2 file"),
    other(0, b"\xfd7zXZ\0", "xz file"),
    other(0, b"\x5d\0\0", "lzma file"),
    other(0, b"\x04\x22\x4d\x18", "lz4 file"),
    other(0, b"\x28\xb5\x2f\xfd", "zstd file"),
    other(0, b"Rar!", "rar archive"),
    other(0, b"\x89HDF\r\n\x1a\n", "HDF5 file"),
    other(0, b"\x93NUMPY", "NumPy array file"),
    other(4, b"TFL3", "TensorFlow Lite file"),
    other(
        0,
        b"version https://git-lfs",
        "Git LFS pointer (the model itself was not downloaded)",
    ),
];

const fn format(offset: usize, bytes: &'static [u8], format: Format) -> Magic {
    Magic {
        offset,
        bytes,
        means: Means::Format(format),
    }
}

const fn other(offset: usize, bytes: &'static [u8], name: &'static str) -> Magic {
    Magic {
        offset,
        bytes,
        means: Means::Other(name),
    }
}

/// What a file is that has a magic number and is of no format of ours: `7z archive`.
#[must_use]
pub fn name_of_other(bytes: &[u8]) -> Option<&'static str> {
    match magic(bytes)?.means {
        Means::Other(name) => Some(name),
        Means::Format(_) => None,
    }
}

fn magic(bytes: &[u8]) -> Option<&'static Magic> {
    MAGICS.iter().find(|magic| {
        bytes
            .get(magic.offset..)
            .is_some_and(|rest| rest.starts_with(magic.bytes))
    })
}

/// Tells the format of a file from its bytes.
///
/// # Errors
/// `Unsupported` if the content is of no format that we read, naming what it is where that is
/// known; `Malformed` if it is valid in two formats at once.
pub fn detect(bytes: &[u8]) -> Result<Format> {
    let means = match magic(bytes).map(|magic| &magic.means) {
        // Behind zip and before pickles, as torch tries them; its checksum makes a header.
        Some(Means::Format(Format::TorchZip)) => Some(&Means::Format(Format::TorchZip)),
        _ if super::tar::is_header(bytes) => Some(&Means::Format(Format::Tar)),
        means => means,
    };
    if is_safetensors(bytes) {
        // A header length may start with any byte, a pickle's 0x80 too; but a file that is also an
        // archive would be one model to one loader and another to the next.
        return match means {
            Some(Means::Format(Format::TorchZip | Format::Tar)) => {
                let found = "both an archive and a safetensors file";
                Err(Error::unexpected("the content", found, "one format").at(0))
            }
            _ => Ok(Format::Safetensors),
        };
    }
    match means {
        Some(Means::Format(format)) => Ok(*format),
        Some(Means::Other(name)) => Err(Error::unsupported("content:", name).at(0)),
        None if bytes.first() == Some(&b'{') => Ok(Format::ShardIndex),
        None if bytes.is_empty() => Err(Error::unsupported("content:", "an empty file").at(0)),
        None if looks_like_safetensors(bytes) => Ok(Format::Safetensors),
        None if super::pickle::is_pickle(bytes) => Ok(Format::Pickle),
        None => Err(Error::unsupported("content:", "no known format").at(0)),
    }
}

/// A length that fits the file, then an opening brace.
fn is_safetensors(bytes: &[u8]) -> bool {
    header_length(bytes).is_some_and(|length| length < to_u64(bytes.len()))
        && bytes.get(8) == Some(&b'{')
}

/// A plausible length: then the reader is asked, because its error says more than ours could.
fn looks_like_safetensors(bytes: &[u8]) -> bool {
    header_length(bytes).is_some_and(|length| length < 1 << 32)
}

fn header_length(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.first_chunk::<8>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn no_magic_is_the_prefix_of_a_later_one() {
        for (at, early) in MAGICS.iter().enumerate() {
            for late in &MAGICS[at + 1..] {
                let shadowed = early.offset == late.offset && late.bytes.starts_with(early.bytes);
                assert!(!shadowed, "{:?}", late.bytes);
            }
        }
    }

    #[test]
    fn a_zip_that_is_also_safetensors_is_refused() {
        let mut bytes = vec![0; 0x0403_4b50 + 9];
        bytes[..9].copy_from_slice(b"PK\x03\x04\0\0\0\0{");
        assert_eq!(detect(&bytes).unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn a_header_length_may_start_with_a_pickle_byte() {
        // 0x80 first: a header of 0x280 bytes. The brace decides.
        let mut bytes = 0x280_u64.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[b'{'; 0x280]);
        assert_eq!(detect(&bytes).unwrap(), Format::Safetensors);
    }

    #[test]
    fn others_are_named() {
        for magic in MAGICS {
            let mut bytes = vec![0xff; magic.offset];
            bytes.extend_from_slice(magic.bytes);
            match magic.means {
                Means::Format(format) => assert_eq!(detect(&bytes).unwrap(), format),
                Means::Other(name) => {
                    let error = detect(&bytes).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Unsupported);
                    assert!(error.to_string().contains(name), "{error}");
                }
            }
        }
    }
}
