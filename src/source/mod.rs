//! Where the bytes are: mapped from a file, owned, or the caller's.
//!
//! The only `unsafe` of this layer is the call to `Mmap::map`, in `mapped`.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::bytes::Buffer;
use crate::error::{Error, Malformed, Result};

#[cfg(feature = "mmap")]
mod mapped;

/// How the bytes of a file are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Map the file: nothing is read before it is used, nothing is copied. Another process that
    /// truncates the file meanwhile makes a later read end the program with `SIGBUS`.
    #[default]
    Map,
    /// Read the file into memory: immune to later changes of the file.
    Read,
}

/// The bytes of one file, or of one inflated archive member.
pub struct Source(Kind);

enum Kind {
    #[cfg(feature = "mmap")]
    Mapped(mapped::Mapped),
    Owned(Buffer),
    Borrowed(Box<dyn AsRef<[u8]> + Send + Sync>),
}

impl Source {
    /// Opens a regular file.
    ///
    /// # Errors
    /// `Io` if it cannot be opened, mapped or read, or is no regular file: a pipe or device is
    /// refused without blocking.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        let mut file = open_regular(path)?;
        match access {
            #[cfg(feature = "mmap")]
            Access::Map => Ok(Self(Kind::Mapped(mapped::Mapped::new(&file)?))),
            _ => Ok(Self(Kind::Owned(read(&mut file)?))),
        }
    }

    /// Takes bytes that the caller owns, or borrows for the whole program.
    #[must_use]
    pub fn borrowed(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Kind::Borrowed(Box::new(bytes)))
    }

    /// Takes bytes that the library made, an inflated member for example.
    #[must_use]
    pub(crate) fn owned(buffer: Buffer) -> Self {
        Self(Kind::Owned(buffer))
    }

    /// All the bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            #[cfg(feature = "mmap")]
            Kind::Mapped(mapped) => mapped.bytes(),
            Kind::Owned(owned) => owned.bytes(),
            Kind::Borrowed(borrowed) => (**borrowed).as_ref(),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            #[cfg(feature = "mmap")]
            Kind::Mapped(_) => "mapped",
            Kind::Owned(_) => "owned",
            Kind::Borrowed(_) => "borrowed",
        };
        write!(formatter, "Source({kind}, {} bytes)", self.bytes().len())
    }
}

/// Reads a whole file into memory.
fn read(file: &mut File) -> Result<Buffer> {
    let length = file.metadata().map_err(Error::io)?.len();
    let length = usize::try_from(length).map_err(|_| Error::out_of_memory())?;
    let mut owned = Buffer::zeroed(length)?;
    file.read_exact(owned.bytes_mut()).map_err(|error| {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            return Error::malformed(Malformed::Truncated {
                what: "the file",
                needed: u64::try_from(length).unwrap_or(u64::MAX),
                available: 0,
            });
        }
        Error::io(error)
    })?;
    Ok(owned)
}

/// Opens a file without following it into a pipe or device.
fn open_regular(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Opening a pipe without a writer would block for ever. The value is the same on every
        // Linux that Rust supports but MIPS and SPARC, where the flag is simply left out.
        #[cfg(all(
            target_os = "linux",
            any(
                target_arch = "x86_64",
                target_arch = "x86",
                target_arch = "aarch64",
                target_arch = "arm",
                target_arch = "riscv64",
                target_arch = "s390x"
            )
        ))]
        options.custom_flags(0o4000);
        #[cfg(target_vendor = "apple")]
        options.custom_flags(0x4);
        let _ = &mut options;
    }
    let file = options.open(path).map_err(Error::io)?;
    let metadata = file.metadata().map_err(Error::io)?;
    if !metadata.is_file() {
        let message = if metadata.is_dir() {
            "is a folder, not a file"
        } else {
            "is not a regular file"
        };
        return Err(Error::io(std::io::Error::other(message)));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_refused() {
        let error = Source::open(Path::new("src"), Access::Map).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Io);
    }
}
