//! Files that appear whole or not at all.
//!
//! On Linux the file has no name while it is written (`O_TMPFILE`): a killed process leaves nothing,
//! because there is nothing to leave. It gets its name when it is whole and on the disk. A new name is one
//! system call. Replacing an old file takes two (a name beside the target, then a rename), because the
//! kernel has no call that links over a file: a process killed between them leaves the finished file under
//! the name `.weighbridge-…`. Where the file system cannot do this, and on other systems, the file has such
//! a name from the start: an error or a cancelled job removes it, a kill leaves it.

use std::fs::{self, File};
use std::io;
#[cfg(not(unix))]
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use crate::error::{Caller, Error, Result};

/// What names of unfinished files start with.
const PREFIX: &str = ".weighbridge-";

/// What may happen to a file that stands where the output goes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Replace {
    pub(super) overwrite: bool,
    pub(super) follow_links: bool,
}

/// Where a file will appear; checked before any work.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    folder: PathBuf,
    /// Of the old file, which the new one gets; otherwise the umask decides.
    permissions: Option<fs::Permissions>,
    overwrite: bool,
}

impl Target {
    /// # Errors
    /// `Caller` if the file exists and must not be replaced, or is a link, folder or device.
    pub(super) fn new(path: &Path, replace: Replace) -> Result<Self> {
        let in_file = |error: Error| error.in_file(path);
        let mut path = path.to_path_buf();
        let mut old = existing(&path)?;
        if old.as_ref().is_some_and(fs::Metadata::is_symlink) {
            if !replace.follow_links {
                return Err(in_file(Error::caller(Caller::OutputIsLink)));
            }
            path = fs::canonicalize(&path).map_err(|error| in_file(Error::io(error)))?;
            old = existing(&path)?;
        }
        if let Some(old) = &old {
            if !old.is_file() {
                return Err(in_file(Error::caller(Caller::OutputIsNoFile)));
            }
            if !replace.overwrite {
                return Err(in_file(Error::caller(Caller::OutputExists)));
            }
        }
        let folder = folder_of(&path);
        Ok(Self {
            path,
            folder,
            permissions: old.map(|old| old.permissions()),
            overwrite: replace.overwrite,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// What stands at `path`, links not followed.
fn existing(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(error).in_file(path)),
    }
}

/// A file on its way: dropped, it is gone.
#[derive(Debug)]
pub(super) struct Pending {
    target: Target,
    file: File,
    /// `None` for a file without a name.
    name: Option<TempPath>,
}

impl Pending {
    /// Creates the file with room for `length` bytes.
    ///
    /// # Errors
    /// `Io` if the folder cannot be written or the disk has no such room.
    pub(super) fn create(target: Target, length: u64) -> Result<Self> {
        let unnamed = unnamed::create(&target.folder);
        Self::reserved(target, length, unnamed)
    }

    /// Makes room in `unnamed`, or in a file with a name where there is none.
    fn reserved(target: Target, length: u64, unnamed: Option<File>) -> Result<Self> {
        let created = match unnamed {
            Some(file) => Ok((file, None)),
            None => named(&target.folder).map(|(file, name)| (file, Some(name))),
        };
        let reserved = created.and_then(|(file, name)| {
            reserve(&file, length)?;
            if let Some(old) = &target.permissions {
                file.set_permissions(old.clone())?;
            }
            Ok((file, name))
        });
        match reserved {
            Ok((file, name)) => Ok(Self { target, file, name }),
            Err(error) => Err(Error::io(error).in_file(&target.path)),
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        self.target.path()
    }

    /// A path under which the unfinished file can be opened.
    pub(super) fn reading_path(&self) -> PathBuf {
        match &self.name {
            Some(name) => name.to_path_buf(),
            None => unnamed::path_of(&self.file),
        }
    }

    /// Waits until what was written so far is on the disk, without what only a named file needs.
    pub(super) fn flush(&self) -> Result<()> {
        let flushed = self.file.sync_data();
        flushed.map_err(|error| Error::io(error).in_file(&self.target.path))
    }

    /// Waits until the file is on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        let synced = self.file.sync_all();
        synced.map_err(|error| Error::io(error).in_file(&self.target.path))
    }

    /// Opens the file that this one will replace, if there is one.
    pub(super) fn open_old(&self) -> Option<File> {
        self.target.permissions.as_ref()?;
        File::open(&self.target.path).ok()
    }

    /// Removes the file that this one will replace.
    pub(super) fn remove_old(&self) -> io::Result<()> {
        if self.target.permissions.is_none() {
            return Ok(());
        }
        fs::remove_file(&self.target.path)
    }

    /// Gives the file its name. It must have been [`sync`](Self::sync)ed, and so must be the folder
    /// afterwards, by [`sync_folder_of`].
    ///
    /// # Errors
    /// `Caller` if a file appeared there meanwhile that must not be replaced, `Io` for the rest.
    pub(super) fn publish(self) -> Result<PathBuf> {
        let Self { target, file, name } = self;
        let named = match name {
            Some(name) if target.overwrite => {
                name.persist(&target.path).map_err(|error| error.error)
            }
            Some(name) => name
                .persist_noclobber(&target.path)
                .map_err(|error| error.error),
            None if target.overwrite => unnamed::replace(&file, &target.folder, &target.path),
            None => unnamed::link(&file, &target.path),
        };
        named.map_err(|error| {
            let error = match error.kind() {
                io::ErrorKind::AlreadyExists => Error::caller(Caller::OutputExists),
                _ => Error::io(error),
            };
            error.in_file(&target.path)
        })?;
        Ok(target.path)
    }
}

/// Makes names survive a crash too; not every system can open a folder for that.
pub(super) fn sync_folder_of(path: &Path) {
    if let Ok(folder) = File::open(folder_of(path)) {
        let _ = folder.sync_all();
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// A file with a name that nobody else has, removed when the name is dropped.
fn named(folder: &Path) -> io::Result<(File, TempPath)> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // What the umask leaves of this, as for any file that a program creates.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder).map(NamedTempFile::into_parts)
}

/// Sets the length, and asks for the room where the file system can promise it.
fn reserve(file: &File, length: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if length > 0 {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        loop {
            match fallocate(file, FallocateFlags::empty(), 0, length) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    file.set_len(length)
}

/// Writes all of `bytes` at `offset`, from any thread.
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, offset);
    #[cfg(not(unix))]
    {
        // One position for all: one writer at a time.
        static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _turn = TURN.lock();
        let mut file = file;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }
}

#[cfg(target_os = "linux")]
mod unnamed {
    use std::fs::{self, File};
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::{Path, PathBuf};

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};

    /// `None` where the file system has no such files, or `/proc` is missing, which gives them a name.
    pub(super) fn create(folder: &Path) -> Option<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let file = File::from(open(folder, flags, mode).ok()?);
        path_of(&file).exists().then_some(file)
    }

    pub(super) fn path_of(file: &File) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
    }

    pub(super) fn link(file: &File, path: &Path) -> io::Result<()> {
        linkat(CWD, path_of(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?;
        Ok(())
    }

    pub(super) fn replace(file: &File, folder: &Path, path: &Path) -> io::Result<()> {
        match link(file, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => return done,
        }
        let process = std::process::id();
        for attempt in 0..u32::from(u16::MAX) {
            let name = folder.join(format!("{}{process}-{attempt}", super::PREFIX));
            match link(file, &name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    let renamed = fs::rename(&name, path);
                    if renamed.is_err() {
                        let _ = fs::remove_file(&name);
                    }
                    return renamed;
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

#[cfg(not(target_os = "linux"))]
mod unnamed {
    use std::fs::File;
    use std::io;
    use std::path::{Path, PathBuf};

    pub(super) fn create(_: &Path) -> Option<File> {
        None
    }

    pub(super) fn path_of(_: &File) -> PathBuf {
        PathBuf::new()
    }

    pub(super) fn link(_: &File, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn replace(_: &File, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERWRITE: Replace = Replace {
        overwrite: true,
        follow_links: false,
    };

    fn count(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    /// With a name from the start, as on file systems that have no other files, and without.
    fn both(target: impl Fn() -> Target, check: impl Fn(Pending)) {
        check(Pending::reserved(target(), 3, None).unwrap());
        check(Pending::create(target(), 3).unwrap());
    }

    #[test]
    fn a_file_appears_when_it_is_published_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let target = || Target::new(&path, Replace::default()).unwrap();
        both(target, |pending| {
            assert!(!path.exists());
            write_at(pending.file(), b"new", 0).unwrap();
            assert_eq!(fs::read(pending.reading_path()).unwrap(), b"new");
            pending.sync().unwrap();
            pending.publish().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(count(folder.path()), 1);
            fs::remove_file(&path).unwrap();
        });
    }

    #[test]
    fn a_dropped_file_was_never_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"old").unwrap();
        both(|| Target::new(&path, OVERWRITE).unwrap(), drop);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(count(folder.path()), 1);
    }

    #[test]
    fn an_old_file_is_replaced_in_one_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let target = || {
            fs::write(&path, b"old").unwrap();
            Target::new(&path, OVERWRITE).unwrap()
        };
        both(target, |pending| {
            write_at(pending.file(), b"new", 0).unwrap();
            pending.publish().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(count(folder.path()), 1);
        });
    }

    #[test]
    fn a_file_that_appears_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let target = || Target::new(&path, Replace::default()).unwrap();
        both(target, |pending| {
            fs::write(&path, b"another").unwrap();
            let error = pending.publish().unwrap_err();
            assert_eq!(error.as_caller(), Some(&Caller::OutputExists));
            assert_eq!(fs::read(&path).unwrap(), b"another");
            assert_eq!(count(folder.path()), 1);
            fs::remove_file(&path).unwrap();
        });
    }

    #[test]
    fn names_of_unfinished_files_that_are_taken_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"old").unwrap();
        let taken = format!("{PREFIX}{}-0", std::process::id());
        fs::write(folder.path().join(&taken), b"of another run").unwrap();
        let pending = Pending::create(Target::new(&path, OVERWRITE).unwrap(), 0).unwrap();
        pending.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(count(folder.path()), 2);
    }
}
