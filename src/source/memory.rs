//! Memory for large reads.

use crate::bytes::Buffer;
#[cfg(feature = "mmap")]
use crate::error::Error;
use crate::error::Result;

/// From here on memory comes from the system, as zero pages that are not touched before they are written.
#[cfg(feature = "mmap")]
const LARGE: usize = 1 << 20;

/// From here on huge pages are asked for. Filling 1 GiB took 0.25 s of processor time with them and 0.76 s
/// without (`benches/README.md`); where memory is too fragmented to have any, it took the same with and
/// without.
#[cfg(all(feature = "mmap", target_os = "linux"))]
const HUGE: usize = 32 << 20;

/// Zeroed bytes, aligned to at least 8.
pub(crate) enum Memory {
    Small(Buffer),
    #[cfg(feature = "mmap")]
    Large(memmap2::MmapMut),
}

impl Memory {
    /// `length` zero bytes.
    ///
    /// # Errors
    /// `Io` if the machine has no memory left.
    pub(crate) fn zeroed(length: usize) -> Result<Self> {
        #[cfg(feature = "mmap")]
        if length >= LARGE {
            let map = memmap2::MmapMut::map_anon(length).map_err(Error::io)?;
            #[cfg(target_os = "linux")]
            if length >= HUGE {
                // Only a wish: a system without huge pages, or without free ones, gives others.
                let _ = map.advise(memmap2::Advice::HugePage);
            }
            return Ok(Self::Large(map));
        }
        Ok(Self::Small(Buffer::zeroed(length)?))
    }

    /// `length` zero bytes of which few will be written: no memory is set aside for the others.
    ///
    /// # Errors
    /// As [`zeroed`](Self::zeroed).
    pub(crate) fn sparse(length: usize) -> Result<Self> {
        #[cfg(feature = "mmap")]
        if length >= LARGE {
            let mut options = memmap2::MmapOptions::new();
            let map = options.len(length).no_reserve_swap().map_anon();
            return Ok(Self::Large(map.map_err(Error::io)?));
        }
        Self::zeroed(length)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Small(buffer) => buffer.bytes(),
            #[cfg(feature = "mmap")]
            Self::Large(map) => map,
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Small(buffer) => buffer.bytes_mut(),
            #[cfg(feature = "mmap")]
            Self::Large(map) => map,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "takes long to interpret")]
    fn memory_is_zero_aligned_and_as_long_as_asked() {
        for length in [0, 1, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1] {
            for make in [Memory::zeroed, Memory::sparse] {
                let mut memory = make(length).unwrap();
                assert_eq!(memory.bytes().len(), length);
                assert!(memory.bytes().iter().all(|&byte| byte == 0));
                assert_eq!(memory.bytes().as_ptr().addr() % align_of::<u64>(), 0);
                memory.bytes_mut().fill(1);
            }
        }
    }
}
