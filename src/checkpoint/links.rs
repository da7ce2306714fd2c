//! Links, followed hop by hop to the places where hubs' caches put files.
//!
//! ```text
//! models--owner--name/snapshots/COMMIT/model.safetensors -> ../../blobs/SHA256
//! models--owner--name/blobs/SHA256                       -> ../../blobs/AB/AB…   (shared between repositories)
//! ```
//!
//! Source: huggingface_hub 1.x `file_download.py`; the second hop since 2026, marked by
//! `blobs/.huggingface-shared-blobs`.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result, shortened};
use crate::source::{OpenedFile, open_without_links};

/// From a snapshot to the repository's blobs, and from there to the shared ones.
pub(super) const MOST_HOPS: usize = 2;

/// Says that the shared store is one, with its version as content.
const SHARED_MARKER: &str = ".huggingface-shared-blobs";
const SHARED_VERSION: &[u8] = b"1\n";

/// Prefixes of a repository's folder.
const REPOSITORIES: &[&str] = &["models--", "datasets--", "spaces--", "kernels--"];

/// Opens the file `name` of `folder`, after at most `most_hops` links to allowed places.
pub(super) fn open(folder: &Path, name: &str, most_hops: usize) -> Result<OpenedFile> {
    let shown = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    // How the caller's own path leads to the folder is the caller's business.
    let home = std::fs::canonicalize(shown).map_err(Error::io)?;
    let mut path = home.join(name);
    for hop in 0..=most_hops {
        let metadata = std::fs::symlink_metadata(&path).map_err(Error::io)?;
        if !metadata.file_type().is_symlink() {
            return open_unlinked(&path);
        }
        let target = std::fs::read_link(&path).map_err(Error::io)?;
        let next = resolved(&path, &target);
        path = match next.filter(|next| hop < most_hops && is_allowed(&home, next)) {
            Some(next) => next,
            None => return Err(escapes(&target)),
        };
    }
    Err(escapes(&path))
}

#[cold]
fn escapes(target: &Path) -> Error {
    let target = shortened(&target.display().to_string());
    Error::refused(format!(
        "a link to {target:?}, which is not where a hub's cache keeps the files of this folder"
    ))
}

/// Where a link at `path` leads, by its text alone.
fn resolved(path: &Path, target: &Path) -> Option<PathBuf> {
    let mut resolved = path.parent()?.to_path_buf();
    for component in target.components() {
        match component {
            Component::Prefix(_) => return None,
            Component::RootDir => resolved = PathBuf::from(component.as_os_str()),
            Component::CurDir => {}
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(part) => resolved.push(part),
        }
    }
    Some(resolved)
}

/// Whether a file of the folder `home` may be kept at `target`.
fn is_allowed(home: &Path, target: &Path) -> bool {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return false;
    };
    let Some(name) = name.to_str() else {
        return false;
    };
    if parent == home {
        return true;
    }
    let Some(repository) = repository(home) else {
        return false;
    };
    if parent == repository.join("blobs") {
        return is_hex(name, &[40, 64]);
    }
    let Some(shared) = repository.parent().map(|cache| cache.join("blobs")) else {
        return false;
    };
    let first = name.get(..2).unwrap_or_default();
    parent == shared.join(first) && is_hex(name, &[64]) && is_marked(&shared)
}

/// The repository's folder in a cache, if `home` is a snapshot of one or a folder in it.
fn repository(home: &Path) -> Option<&Path> {
    let snapshots = home.ancestors().skip(1).find(|folder| {
        let is_named =
            |folder: &Path, name: &str| folder.file_name().is_some_and(|own| own == name);
        is_named(folder, "snapshots")
    })?;
    let repository = snapshots.parent()?;
    let name = repository.file_name()?.to_str()?;
    let is_one = REPOSITORIES.iter().any(|prefix| name.starts_with(prefix));
    is_one.then_some(repository)
}

fn is_hex(name: &str, lengths: &[usize]) -> bool {
    let digits = name
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    digits && lengths.contains(&name.len())
}

/// Whether the shared store says that it is one.
fn is_marked(shared: &Path) -> bool {
    let marker = open_without_links(&shared.join(SHARED_MARKER));
    marker.is_ok_and(|marker| marker.holds(SHARED_VERSION))
}

/// Opens `path`, which ends in no link and must not lead through one: the folder is looked up again after
/// opening, and must hold the file that was opened.
fn open_unlinked(path: &Path) -> Result<OpenedFile> {
    let opened = open_without_links(path)?;
    let exchanged = || {
        let message = "the file was exchanged while it was opened";
        Error::io(io::Error::other(message))
    };
    let folder = path.parent().ok_or_else(exchanged)?;
    if std::fs::canonicalize(folder).map_err(Error::io)? != folder {
        return Err(exchanged());
    }
    let metadata = std::fs::symlink_metadata(path).map_err(Error::io)?;
    match opened.is(&metadata).map_err(Error::io)? {
        true => Ok(opened),
        false => Err(exchanged()),
    }
}
