//! The first bytes of a file: magic, version, tensor count, key-value count.

use byteorder::ByteOrder;

use crate::bytes::{Cursor, Endian};
use crate::error::{Error, Malformed, Result};
use crate::index::Encoding;

/// Magic, version and counts of a GGUF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// 1, 2 or 3.
    pub version: u32,
    /// The byte order of the whole file.
    pub endian: Endian,
    /// How many tensor infos follow the key-value pairs.
    pub tensor_count: u64,
    /// How many key-value pairs follow the header.
    pub metadata_kv_count: u64,
}

/// The byte order: the magic never changes, the version is small, so that its low half is 0 when
/// it is read in the wrong order (gguf-py 0.19.0 `gguf_reader.py`).
pub(super) fn endian(bytes: &[u8]) -> Endian {
    match bytes.get(4..8) {
        Some(&[0, 0, high, low]) if (high, low) != (0, 0) => Endian::Big,
        _ => Endian::Little,
    }
}

impl Header {
    /// Reads the header at the start of a file.
    ///
    /// # Errors
    /// `Malformed` for another magic, version 0, or counts that the rest of the file cannot hold;
    /// `Unsupported` for a version above 3.
    pub(super) fn read<B: ByteOrder>(cursor: &mut Cursor<'_, B>, endian: Endian) -> Result<Self> {
        let magic = cursor.take("the magic", 4)?;
        if magic != b"GGUF" {
            let found = format!("{:?}", String::from_utf8_lossy(magic));
            return Err(Error::unexpected("the magic", found, "\"GGUF\"").at(0));
        }
        let version = cursor.u32("the version")?;
        match version {
            0 => {
                let malformed = Malformed::OutOfRange {
                    what: "the version",
                    value: 0,
                    expected: "1 to 3",
                };
                return Err(Error::malformed(malformed).at(4));
            }
            1..=3 => {}
            _ => return Err(Error::unsupported("version", version).at(4)),
        }
        let mut header = Self {
            version,
            endian,
            tensor_count: 0,
            metadata_kv_count: 0,
        };
        let encoding = header.encoding();
        let at = cursor.offset();
        header.tensor_count = encoding.length(cursor)?;
        let key_values_at = cursor.offset();
        header.metadata_kv_count = encoding.length(cursor)?;
        header.check_counts(cursor.remaining(), at, key_values_at)?;
        Ok(header)
    }

    /// How lengths and numbers are written.
    pub(super) fn encoding(self) -> Encoding {
        Encoding {
            endian: self.endian,
            short_lengths: self.version == 1,
        }
    }

    /// Bytes of a length, a count or a dimension.
    pub(super) fn length_bytes(self) -> u64 {
        if self.version == 1 { 4 } else { 8 }
    }

    /// The smallest file with these counts must not be longer than this one.
    fn check_counts(self, remaining: u64, tensors_at: u64, key_values_at: u64) -> Result<()> {
        // Key length, one character, value type, one byte of value.
        let pair = self.length_bytes().saturating_add(6);
        // Name length, one character, dimension count, type, offset.
        let info = self.length_bytes().saturating_add(17);
        let pairs = self.metadata_kv_count.saturating_mul(pair);
        let infos = self.tensor_count.saturating_mul(info);
        let parts = [
            ("the key-value pairs", pairs, key_values_at),
            ("the tensor infos", infos, tensors_at),
            (
                "the key-value pairs and tensor infos",
                pairs.saturating_add(infos),
                tensors_at,
            ),
        ];
        for (what, needed, at) in parts {
            if needed > remaining {
                let truncated = Malformed::Truncated {
                    what,
                    needed,
                    available: remaining,
                };
                return Err(Error::malformed(truncated).at(at));
            }
        }
        Ok(())
    }
}
