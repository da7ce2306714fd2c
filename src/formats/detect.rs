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
        Some(Means::Format(Format::Gguf)) if super::tar::is_header(bytes) => {
            return Err(two_formats("both an archive and a GGUF file"));
        }
        _ if super::tar::is_header(bytes) => Some(&Means::Format(Format::Tar)),
        means => means,
    };
    if is_safetensors(bytes) {
        // A header length may start with any byte, a pickle's 0x80 too; but a file that is also an
        // archive would be one model to one loader and another to the next.
        return match means {
            Some(Means::Format(Format::TorchZip | Format::Tar)) => {
                Err(two_formats("both an archive and a safetensors file"))
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
        None if super::onnx::is_model(bytes) => {
            Err(Error::unsupported("content:", "an ONNX model").at(0))
        }
        None => Err(Error::unsupported("content:", "no known format").at(0)),
    }
}

/// One loader would see one model, the next another.
#[cold]
fn two_formats(found: &'static str) -> Error {
    Error::unexpected("the content", found, "one format").at(0)
}

/// A length that fits the file, then an opening brace.
fn is_safetensors(bytes: &[u8]) -> bool {
    header_length(bytes).is_some_and(|length| length < to_u64(bytes.len()))
        && bytes.get(8) == Some(&b'{')
}

/// A plausible length: then the reader is asked, because its error says more than ours could.
fn looks_like_safetensors(bytes: &[u8]) -> bool {
    header_length(bytes).is_some()
}

/// The length of a safetensors header, if the file may start with one: below 4 GiB (the crate stops at 100
/// MB), so that bytes 4 to 7 are zero. In a GGUF file they are the version, which never is: without this
/// bound, one of more than 13 GiB with 123 tensors (or 379, 635, …: the next byte is `{`) would be both.
fn header_length(bytes: &[u8]) -> Option<u64> {
    let length = u64::from_le_bytes(*bytes.first_chunk::<8>()?);
    (length < 1 << 32).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// Found by fuzzing: Python's `tarfile` reads an empty checksum as 0, and adds up signed bytes too.
    #[test]
    fn a_gguf_whose_bytes_add_up_to_an_empty_checksum_is_also_an_archive() {
        let mut bytes = [0; 512];
        bytes[..8].copy_from_slice(b"GGUF\x03\0\0\0");
        // 8 spaces for the field itself: 256; G, G, U, F and 3: 300; so 556 must be taken away.
        bytes[200..204].fill(0x80);
        bytes[204] = 0u8.wrapping_sub(44);
        let error = detect(&bytes).unwrap_err();
        assert!(
            error.to_string().contains("both an archive and a GGUF"),
            "{error}"
        );
        bytes[204] = 0u8.wrapping_sub(45);
        assert_eq!(detect(&bytes).unwrap(), Format::Gguf);
    }

    /// torch tries zip first: an archive of both kinds is what the first reader takes it for.
    #[test]
    fn a_tar_header_that_starts_as_a_zip_is_a_zip() {
        let mut bytes = [0; 512];
        bytes[..4].copy_from_slice(b"PK\x03\x04");
        bytes[148..156].copy_from_slice(b"        ");
        let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert!(super::super::tar::is_header(&bytes));
        assert_eq!(detect(&bytes).unwrap(), Format::TorchZip);
        bytes[0] += 1;
        bytes[1] -= 1;
        assert_eq!(detect(&bytes).unwrap(), Format::Tar);
    }

    #[test]
    fn no_magic_is_the_prefix_of_a_later_one() {
        for (at, early) in MAGICS.iter().enumerate() {
            for late in &MAGICS[at + 1..] {
                let shadowed = early.offset == late.offset && late.bytes.starts_with(early.bytes);
                assert!(!shadowed, "{:?}", late.bytes);
            }
        }
    }

    /// Bytes that start with all of these magics, if there are any.
    fn overlaid(magics: &[&Magic]) -> Option<Vec<u8>> {
        let mut bytes: Vec<Option<u8>> = vec![None; 64];
        for magic in magics {
            for (slot, &byte) in bytes[magic.offset..].iter_mut().zip(magic.bytes) {
                if *slot.get_or_insert(byte) != byte {
                    return None;
                }
            }
        }
        Some(bytes.into_iter().map(Option::unwrap_or_default).collect())
    }

    #[test]
    fn no_two_magics_stand_in_one_file() {
        let mut pairs = 0;
        for (at, first) in MAGICS.iter().enumerate() {
            for second in &MAGICS[at + 1..] {
                pairs += 1;
                let Some(bytes) = overlaid(&[first, second]) else {
                    continue;
                };
                // The one magic that does not stand at the start yields to the others.
                assert_eq!(second.bytes, b"TFL3", "{:?}", first.bytes);
                let found = detect(&bytes).ok();
                let expected = match first.means {
                    Means::Format(format) => Some(format),
                    Means::Other(_) => None,
                };
                assert_eq!(found, expected, "{:?}", first.bytes);
            }
        }
        assert!(pairs > 300, "only {pairs} pairs");
    }

    #[test]
    fn a_gguf_is_never_safetensors() {
        for version in [1, 2, 3, 0x0100_0000, 0x0300_0000_u32] {
            let mut bytes = [b"GGUF", &version.to_le_bytes()[..], b"{}"].concat();
            assert_eq!(header_length(&bytes), None);
            assert_eq!(detect(&bytes).unwrap(), Format::Gguf);
            // What the bytes would be without the magic: no length of a header either.
            bytes[..4].fill(0);
            assert_eq!(header_length(&bytes), None);
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
        // A header as long as the whole file does not fit behind its length: the byte is a pickle's again.
        bytes.truncate(0x280);
        assert_eq!(detect(&bytes).unwrap(), Format::Pickle);
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
