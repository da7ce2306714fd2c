//! Regular files, opened once: what is checked is the descriptor that is read.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::lazy::changed;
use super::{Memory, ReadAt, fill};
use crate::bytes::to_usize;
use crate::error::{Error, Result};
use crate::progress::Job;

/// A regular file, and what it was like when it was opened.
#[derive(Debug)]
pub(crate) struct OpenedFile {
    file: File,
    stamp: Stamp,
}

/// What changes when a file's content does.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    /// When the content or its attributes changed: cannot be set back.
    #[cfg(unix)]
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl OpenedFile {
    #[cfg(feature = "mmap")]
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// How long it was when it was opened.
    pub(crate) const fn bytes(&self) -> u64 {
        self.stamp.length
    }

    /// Reads everything, on several threads.
    ///
    /// # Errors
    /// `Io` if the file has changed since it was opened. (A call that was writing to it then, and went on,
    /// does not show: a file's times say when a write began. Reading twice was tried, and finds most of them
    /// only.)
    pub(super) fn read(&self, job: &Job<'_>) -> Result<Memory> {
        let length = to_usize(self.stamp.length).ok_or_else(Error::out_of_memory)?;
        let mut memory = Memory::zeroed(length)?;
        fill(self, 0, memory.bytes_mut(), job)?;
        Ok(memory)
    }

    /// Whether `metadata`, of a path and not of what a link leads to, is that of this file.
    ///
    /// # Errors
    /// Whatever keeps the system from telling.
    pub(crate) fn is(&self, metadata: &Metadata) -> io::Result<bool> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let own = self.file.metadata()?;
            Ok((own.dev(), own.ino()) == (metadata.dev(), metadata.ino()))
        }
        // Without numbers for files, what can be told is that it is no link.
        #[cfg(not(unix))]
        Ok(metadata.is_file() && metadata.len() == self.stamp.length)
    }

    /// Whether the file consists of these bytes.
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        let mut found = vec![0; bytes.len()];
        to_usize(self.stamp.length) == Some(bytes.len())
            && self.read_exact_at(&mut found, 0).is_ok()
            && found == bytes
    }

    fn expect_unchanged(&self) -> io::Result<()> {
        if Stamp::of(&self.file.metadata()?) == self.stamp {
            return Ok(());
        }
        Err(changed())
    }
}

impl ReadAt for OpenedFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.stamp.length)
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        ReadAt::read_exact_at(&self.file, out, offset)?;
        self.expect_unchanged()
    }

    fn request_bytes(&self) -> usize {
        self.file.request_bytes()
    }
}

/// Opens a regular file; links are followed, a pipe or device is refused without blocking.
pub(crate) fn open_regular(path: &Path) -> Result<OpenedFile> {
    open(path, flags::NOT_BLOCKING)
}

/// Opens a regular file, whose path does not end in a link.
pub(crate) fn open_without_links(path: &Path) -> Result<OpenedFile> {
    open(path, flags::NOT_BLOCKING | flags::NO_LINK)
}

fn open(path: &Path, flags: i32) -> Result<OpenedFile> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    #[cfg(not(unix))]
    let _ = flags;
    let file = options.open(path).map_err(Error::io)?;
    let metadata = file.metadata().map_err(Error::io)?;
    if !metadata.is_file() {
        let message = if metadata.is_dir() {
            "is a folder, not a file"
        } else {
            "is not a regular file"
        };
        return Err(Error::io(io::Error::other(message)));
    }
    let stamp = Stamp::of(&metadata);
    Ok(OpenedFile { file, stamp })
}

/// Flags of `open` that the standard library does not name: opening a pipe without a writer would block for
/// ever, and `O_NOFOLLOW` refuses a link where a file was seen a moment ago. The values are those of the
/// system's headers; where they are not listed, the checks before and after opening have to do.
mod flags {
    #[cfg(all(
        any(target_os = "linux", target_os = "android"),
        any(
            target_arch = "x86_64",
            target_arch = "x86",
            target_arch = "riscv64",
            target_arch = "s390x"
        )
    ))]
    mod values {
        pub(super) const NOT_BLOCKING: i32 = 0o4000;
        pub(super) const NO_LINK: i32 = 0o400_000;
    }

    #[cfg(all(
        any(target_os = "linux", target_os = "android"),
        any(target_arch = "aarch64", target_arch = "arm")
    ))]
    mod values {
        pub(super) const NOT_BLOCKING: i32 = 0o4000;
        pub(super) const NO_LINK: i32 = 0o100_000;
    }

    #[cfg(target_vendor = "apple")]
    mod values {
        pub(super) const NOT_BLOCKING: i32 = 0x4;
        pub(super) const NO_LINK: i32 = 0x100;
    }

    #[cfg(not(any(
        all(
            any(target_os = "linux", target_os = "android"),
            any(
                target_arch = "x86_64",
                target_arch = "x86",
                target_arch = "riscv64",
                target_arch = "s390x",
                target_arch = "aarch64",
                target_arch = "arm"
            )
        ),
        target_vendor = "apple"
    )))]
    mod values {
        pub(super) const NOT_BLOCKING: i32 = 0;
        pub(super) const NO_LINK: i32 = 0;
    }

    pub(super) const NOT_BLOCKING: i32 = values::NOT_BLOCKING;
    pub(super) const NO_LINK: i32 = values::NO_LINK;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri sets no time of a file")]
    fn a_file_that_changes_between_opening_and_reading_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let changes: [fn(&Path); 3] = [
            |path| std::fs::write(path, [2; 100]).unwrap(),
            |path| std::fs::write(path, [1; 101]).unwrap(),
            |path| {
                let file = File::options().write(true).open(path).unwrap();
                file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
            },
        ];
        for change in changes {
            std::fs::write(&path, [1; 100]).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1))
                .unwrap();
            let opened = open_regular(&path).unwrap();
            assert_eq!(opened.read(&Job::unwatched()).unwrap().bytes(), [1; 100]);
            change(&path);
            assert!(opened.read(&Job::unwatched()).is_err());
        }
    }
}
