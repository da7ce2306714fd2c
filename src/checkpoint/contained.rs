//! The one rule for file names that stand inside a file.
//!
//! A name must be one plain component, on every platform alike: whoever writes an index decides which files
//! of *its* folder belong to a model, and nothing else. What one system would take as a path, a drive, a
//! device or an alternate stream is refused on all of them. What stands under that name must be a file, or a
//! link to one that a hub's cache would make ([`Links`]). It is opened once; what is checked after that is
//! the opened file, so that a name that changes meanwhile is an error or the file that was meant.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result, shortened};
use crate::source::{OpenedFile, open_regular};

use super::links;

/// Names that Windows gives to devices, with any extension; it takes superscript digits for digits.
const DEVICES: &[&str] = &[
    "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "COM0", "COM1", "COM2", "COM3", "COM4",
    "COM5", "COM6", "COM7", "COM8", "COM9", "LPT0", "LPT1", "LPT2", "LPT3", "LPT4", "LPT5", "LPT6",
    "LPT7", "LPT8", "LPT9", "COM¹", "COM²", "COM³", "LPT¹", "LPT²", "LPT³",
];

/// Longest file name of the common file systems, in bytes.
const LONGEST: usize = 255;

/// Where a link may lead that stands under a name from inside a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Links {
    /// To a file of the same folder, and where the caches of Hugging Face hubs keep their files: from
    /// `<type>s--<owner>--<name>/snapshots/<commit>/` to `blobs/<40 or 64 hex digits>` of the same
    /// repository, and to the cache's shared `blobs/<2 hex digits>/<64 hex digits>`. At most two hops.
    #[default]
    HubCaches,
    /// Nowhere: links are refused.
    Refused,
    /// Anywhere. For folders whose links the caller made.
    Followed,
}

/// Opens the file `name` of `folder`, where the name comes from inside a file.
///
/// # Errors
/// `Malformed` if the name is more or other than one plain component; as [`open_in`] for the rest.
pub(super) fn open_contained(
    folder: &Path,
    name: &str,
    links: Links,
) -> Result<(PathBuf, OpenedFile)> {
    match objection(name) {
        None => open_in(folder, name, links),
        Some(why) => {
            let found = format!("{:?}, {why}", shortened(name));
            Err(Error::unexpected("a file name", found, "a plain name"))
        }
    }
}

/// The folder `name` of `folder`, where the name comes from inside a file. Hubs' caches link files, never
/// folders.
///
/// # Errors
/// `Malformed` if the name is more or other than one plain component; `Io` if there is no such folder;
/// `Refused` if it is a link and links are not followed.
pub(super) fn contained_folder(folder: &Path, name: &str, links: Links) -> Result<PathBuf> {
    if let Some(why) = objection(name) {
        let found = format!("{:?}, {why}", shortened(name));
        return Err(Error::unexpected("a folder name", found, "a plain name"));
    }
    let path = folder.join(name);
    let found = std::fs::symlink_metadata(&path);
    let metadata = found.map_err(|error| Error::io(error).in_file(&path))?;
    if metadata.file_type().is_symlink() && links != Links::Followed {
        return Err(Error::refused("a link to a folder").in_file(&path));
    }
    Ok(path)
}

/// Opens the file `name`, which is one component, of `folder`: the folder as the caller names it, whatever
/// links lead there.
///
/// # Errors
/// `Refused` for a link that leads elsewhere than `links` allows; `Io` if the file cannot be opened, is no
/// regular file, or is exchanged for another meanwhile.
pub(super) fn open_in(folder: &Path, name: &str, links: Links) -> Result<(PathBuf, OpenedFile)> {
    let path = folder.join(name);
    let opened = match links {
        Links::Followed => open_regular(&path),
        Links::Refused => links::open(folder, name, 0),
        Links::HubCaches => links::open(folder, name, links::MOST_HOPS),
    };
    let opened = opened.map_err(|error| error.in_file(&path))?;
    Ok((path, opened))
}

/// Why a name from inside a file is refused; `None` if it is a plain name of the file's own folder.
pub(crate) fn objection(name: &str) -> Option<&'static str> {
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
