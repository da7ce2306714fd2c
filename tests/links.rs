//! Names from inside a file: which are taken, where links may lead, what stands behind them.
#![cfg(unix)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use weighbridge::{Access, Checkpoint, Error, ErrorKind, Links, OpenOptions, Result};

const POLICIES: &[Links] = &[Links::HubCaches, Links::Refused, Links::Followed];
const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// One tensor `x` of four bytes.
fn weights(bytes: [u8; 4]) -> Vec<u8> {
    let header = r#"{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#;
    support::safetensors::build(header, &bytes)
}

const INSIDE: [u8; 4] = *b"mine";
const OUTSIDE: [u8; 4] = *b"evil";

/// An index in `folder` that names one shard.
fn index(folder: &Path, shard: &str) -> PathBuf {
    let path = folder.join("model.safetensors.index.json");
    let json = serde_json::json!({"weight_map": {"x": shard}});
    fs::write(&path, json.to_string()).unwrap();
    path
}

fn open(path: &Path, links: Links) -> Result<Checkpoint> {
    OpenOptions::new().links(links).open(path)
}

fn content(model: &Checkpoint) -> Vec<u8> {
    model.tensor("x").unwrap().bytes().unwrap().to_vec()
}

/// Names that are no plain component on some system.
const REFUSED: &[&str] = &[
    "",
    ".",
    "..",
    "/",
    "//",
    "/etc/passwd",
    "../x",
    "../../x",
    "a/b",
    "a/../b",
    "./a",
    "a/",
    "a//b",
    "\\x",
    "..\\x",
    "a\\b",
    "C:x",
    "C:\\x",
    "c:/x",
    "\\\\host\\share\\x",
    "//host/x",
    "\\\\?\\C:\\x",
    "\\\\.\\pipe\\x",
    "x:stream",
    "x::$DATA",
    "a\0b",
    "\0",
    "a\nb",
    "a\rb",
    "\u{1b}[2J",
    "\u{7f}",
    "a\u{85}b",
    "NUL",
    "nul",
    "NUL.bin",
    "con.safetensors",
    "COM1",
    "COM¹.x",
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
    "~/x",
];

/// Names that every system takes as they are.
const TAKEN: &[&str] = &[
    "model-00001-of-00002.safetensors",
    "pytorch_model.bin",
    ".metadata",
    "__0_0.distcp",
    "console.bin",
    "a b.bin",
    "модель.bin",
    "..a",
    "com10.bin",
    "~x",
    "$x",
    "%2e%2e%2fx",
    "-rf",
    "モデル.bin",
];

#[test]
fn the_matrix_of_names_and_policies() {
    assert!(REFUSED.len() + TAKEN.len() >= 60);
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("model");
    fs::create_dir_all(folder.join("a")).unwrap();
    // What a name that got through would find.
    for place in [
        outer.path().join("x"),
        folder.join("x"),
        folder.join("a/b"),
        folder.join("b"),
    ] {
        fs::write(place, weights(OUTSIDE)).unwrap();
    }
    for &links in POLICIES {
        for name in REFUSED {
            let error = open(&index(&folder, name), links).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{name:?}: {error}");
            assert!(
                error.to_string().contains("a file name"),
                "{name:?}: {error}"
            );
        }
        let long = "a".repeat(256);
        assert_eq!(
            open(&index(&folder, &long), links).unwrap_err().kind(),
            ErrorKind::Malformed
        );
        for name in TAKEN {
            fs::write(folder.join(name), weights(INSIDE)).unwrap();
            let model = open(&index(&folder, name), links).unwrap();
            assert_eq!(content(&model), INSIDE, "{name:?}");
        }
    }
}

/// A cache as huggingface_hub lays it out; gives its root and a snapshot.
fn cache() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let repository = root.join("models--owner--name");
    let snapshot = repository.join("snapshots").join(&HEX[..40]);
    fs::create_dir_all(snapshot.join("unet")).unwrap();
    fs::create_dir_all(repository.join("blobs")).unwrap();
    fs::create_dir_all(root.join("blobs").join(&HEX[..2])).unwrap();
    (folder, root, snapshot)
}

/// A link from `name` in `folder`, and what is expected of it under each policy.
struct Case {
    what: &'static str,
    folder: PathBuf,
    target: PathBuf,
    hub: bool,
}

#[test]
fn links_lead_only_where_a_hub_puts_files() {
    let (_keep, root, snapshot) = cache();
    let repository = root.join("models--owner--name");
    let blob = repository.join("blobs").join(HEX);
    fs::write(&blob, weights(INSIDE)).unwrap();
    fs::write(repository.join("blobs").join(&HEX[..40]), weights(INSIDE)).unwrap();
    fs::write(repository.join("blobs").join("plain"), weights(OUTSIDE)).unwrap();
    fs::write(
        repository.join("blobs").join(HEX.to_uppercase()),
        weights(OUTSIDE),
    )
    .unwrap();
    fs::write(root.join("outside"), weights(OUTSIDE)).unwrap();
    fs::write(snapshot.join("sibling.bin"), weights(INSIDE)).unwrap();
    fs::create_dir_all(root.join("models--other--one/blobs")).unwrap();
    fs::write(
        root.join("models--other--one/blobs").join(HEX),
        weights(OUTSIDE),
    )
    .unwrap();
    let plain = root.join("plain");
    fs::create_dir_all(plain.join("blobs")).unwrap();
    fs::write(plain.join("blobs").join(HEX), weights(OUTSIDE)).unwrap();
    symlink(
        root.join("outside"),
        repository.join("blobs").join("f".repeat(64)),
    )
    .unwrap();
    symlink(&blob, snapshot.join("second")).unwrap();
    symlink("second", snapshot.join("first")).unwrap();
    symlink("first", snapshot.join("zeroth")).unwrap();
    let case = |what, folder: &Path, target: &str, hub| Case {
        what,
        folder: folder.to_owned(),
        target: target.into(),
        hub,
    };
    let up = "../..";
    let absolute = blob.to_str().unwrap();
    let outside = root.join("outside");
    let blobs = |name: &str| format!("{up}/blobs/{name}");
    let cases = [
        case("a blob", &snapshot, &blobs(HEX), true),
        case("a git blob", &snapshot, &blobs(&HEX[..40]), true),
        case(
            "a blob from a subfolder",
            &snapshot.join("unet"),
            &format!("../{}", blobs(HEX)),
            true,
        ),
        case("a blob by its whole path", &snapshot, absolute, true),
        case("a file beside it", &snapshot, "sibling.bin", true),
        case("two hops", &snapshot, "second", true),
        case("three hops", &snapshot, "first", false),
        case("no hex", &snapshot, &blobs("plain"), false),
        case("upper case", &snapshot, &blobs(&HEX.to_uppercase()), false),
        case(
            "a blob that leads outside",
            &snapshot,
            &blobs(&"f".repeat(64)),
            false,
        ),
        case(
            "another repository",
            &snapshot,
            &format!("{up}/../models--other--one/blobs/{HEX}"),
            false,
        ),
        case("outside", &snapshot, outside.to_str().unwrap(), false),
        case("up from a plain folder", &plain, "../outside", false),
        case(
            "blobs of a plain folder",
            &plain,
            &format!("blobs/{HEX}"),
            false,
        ),
        case("a name that is not there", &snapshot, "nothing", false),
        case("itself", &snapshot, "shard.bin", false),
        case("/dev/zero", &snapshot, "/dev/zero", false),
        case("/proc", &snapshot, "/proc/self/environ", false),
    ];
    for case in &cases {
        let shard = case.folder.join("shard.bin");
        symlink(&case.target, &shard).unwrap();
        let path = index(&case.folder, "shard.bin");
        let found = open(&path, Links::HubCaches);
        match case.hub {
            true => assert_eq!(content(&found.unwrap()), INSIDE, "{}", case.what),
            false => {
                let error = found.unwrap_err();
                let kind = error.kind();
                assert!(
                    matches!(kind, ErrorKind::Refused | ErrorKind::Io),
                    "{}: {error}",
                    case.what
                );
                assert_eq!(error.file(), Some(&*shard), "{}: {error}", case.what);
            }
        }
        let error = open(&path, Links::Refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{}: {error}", case.what);
        if !case.target.starts_with("/dev") && !case.target.starts_with("/proc") {
            let there = fs::metadata(&shard).is_ok();
            assert_eq!(open(&path, Links::Followed).is_ok(), there, "{}", case.what);
        }
        fs::remove_file(shard).unwrap();
    }
}

#[test]
fn the_shared_store_counts_with_its_marker_only() {
    let (_keep, root, snapshot) = cache();
    let shared = root.join("blobs").join(&HEX[..2]).join(HEX);
    fs::write(&shared, weights(INSIDE)).unwrap();
    let blob = root.join("models--owner--name/blobs").join(&HEX[..40]);
    symlink(format!("../../blobs/{}/{HEX}", &HEX[..2]), &blob).unwrap();
    symlink(
        format!("../../blobs/{}", &HEX[..40]),
        snapshot.join("shard.bin"),
    )
    .unwrap();
    let path = index(&snapshot, "shard.bin");
    assert_eq!(
        open(&path, Links::HubCaches).unwrap_err().kind(),
        ErrorKind::Refused
    );
    let marker = root.join("blobs/.huggingface-shared-blobs");
    for (version, counts) in [("2\n", false), ("1", false), ("1\n", true)] {
        fs::write(&marker, version).unwrap();
        assert_eq!(open(&path, Links::HubCaches).is_ok(), counts, "{version:?}");
    }
    // The caller may come by any way.
    let short = root.join("short");
    symlink(&snapshot, &short).unwrap();
    let model = open(
        &short.join("model.safetensors.index.json"),
        Links::HubCaches,
    )
    .unwrap();
    assert_eq!(content(&model), INSIDE);
    // An index that is a link itself, as in a cache, has its shards beside the link.
    let moved = root.join("models--owner--name/blobs").join("e".repeat(40));
    fs::rename(&path, &moved).unwrap();
    symlink(&moved, &path).unwrap();
    assert_eq!(content(&open(&path, Links::HubCaches).unwrap()), INSIDE);
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    fs::create_dir(folder.path().join("folder")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let mut names = vec!["folder", "socket"];
    if made.is_ok_and(|status| status.success()) {
        names.push("pipe");
    }
    let refused = |error: Error, what: &str| {
        assert_eq!(error.kind(), ErrorKind::Io, "{what}: {error}");
    };
    for name in names {
        for &links in POLICIES {
            refused(open(&index(folder.path(), name), links).unwrap_err(), name);
        }
        for access in [Access::Map, Access::Read, Access::Lazy] {
            let single = OpenOptions::new().access(access).single_file(true);
            refused(single.open(folder.path().join(name)).unwrap_err(), name);
        }
    }
    for path in [
        "/dev/zero",
        "/dev/full",
        "/dev/random",
        "/dev/tty",
        "/dev/stdin",
        "/proc/self/environ",
        "/proc/self/maps",
        "/proc/self/mem",
        "/proc/self/pagemap",
        "/proc/kmsg",
        "/proc/kcore",
        "/proc",
        "/sys/kernel/mm/transparent_hugepage/enabled",
    ] {
        if !Path::new(path).exists() {
            continue;
        }
        for access in [Access::Map, Access::Read, Access::Lazy] {
            let opened = OpenOptions::new().access(access).open(path);
            let error = opened.unwrap_err();
            let kinds = [ErrorKind::Io, ErrorKind::Unsupported, ErrorKind::Caller];
            assert!(kinds.contains(&error.kind()), "{path} {access:?}: {error}");
        }
    }
}

/// How many rounds of the race; `WEIGHBRIDGE_ROUNDS` asks for more.
fn rounds() -> usize {
    let asked = std::env::var("WEIGHBRIDGE_ROUNDS").ok();
    asked.map_or(2_000, |rounds| rounds.parse().unwrap())
}

/// Exchanges what stands at `place` for one of `others`, again and again, while `path` is opened.
fn race(place: &Path, others: &[PathBuf], path: &Path, links: Links) -> (usize, usize) {
    let stop = AtomicBool::new(false);
    let aside = place.with_extension("aside");
    let (mut inside, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for other in others {
                    // The place is never empty for long: what stood there goes aside, the other comes in.
                    let _ = fs::rename(place, &aside);
                    let _ = fs::rename(other, place);
                    std::thread::yield_now();
                    let _ = fs::rename(place, other);
                    let _ = fs::rename(&aside, place);
                    (0..64).for_each(|_| std::thread::yield_now());
                }
            }
        });
        for _ in 0..rounds() {
            match open(path, links) {
                Ok(model) => {
                    assert_eq!(content(&model), INSIDE, "read outside");
                    inside += 1;
                }
                Err(error) => {
                    let kind = error.kind();
                    assert!(
                        matches!(kind, ErrorKind::Io | ErrorKind::Refused),
                        "{error}"
                    );
                    refused += 1;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    (inside, refused)
}

#[test]
fn a_file_exchanged_while_it_is_opened_never_leads_outside() {
    let (_keep, root, snapshot) = cache();
    let secret = root.join("secret");
    fs::write(&secret, weights(OUTSIDE)).unwrap();
    let blob = root.join("models--owner--name/blobs").join(HEX);
    fs::write(&blob, weights(INSIDE)).unwrap();
    // A file becomes a link to the secret, and a link to the secret by way of a file beside it.
    let shard = snapshot.join("shard.bin");
    fs::write(&shard, weights(INSIDE)).unwrap();
    symlink(&secret, snapshot.join("evil")).unwrap();
    symlink("evil", snapshot.join("sly")).unwrap();
    let others = [snapshot.join("evil"), snapshot.join("sly")];
    let path = index(&snapshot, "shard.bin");
    for links in [Links::HubCaches, Links::Refused] {
        let (inside, refused) = race(&shard, &others, &path, links);
        println!("file and link, {links:?}: {inside} opened, {refused} refused");
    }
    // A link to a blob becomes a link to the secret.
    fs::remove_file(&shard).unwrap();
    symlink(&blob, &shard).unwrap();
    let (inside, refused) = race(&shard, &others, &path, Links::HubCaches);
    println!("two links: {inside} opened, {refused} refused");
    // The blob, and the folder of blobs, become links to others.
    let evil_blobs = root.join("evil-blobs");
    fs::create_dir(&evil_blobs).unwrap();
    fs::write(evil_blobs.join(HEX), weights(OUTSIDE)).unwrap();
    let link = root.join("link-to-blobs");
    symlink(&evil_blobs, &link).unwrap();
    let blobs = root.join("models--owner--name/blobs");
    let (inside, refused) = race(&blobs, &[link], &path, Links::HubCaches);
    println!("folder and link: {inside} opened, {refused} refused");
    assert_eq!(content(&open(&path, Links::HubCaches).unwrap()), INSIDE);
}
