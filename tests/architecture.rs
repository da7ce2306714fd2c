//! The design, enforced: which module may name which, where `unsafe` may stand, how long a file may
//! be, what each format must bring along.

#![allow(missing_docs, unreachable_pub)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module and the modules of this crate that it may name. Folders below it follow its rule unless
/// they have a row of their own. The guide draws this table: `src/guide/architecture.md`.
const LAYERS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("policy", &["error", "dtype"]),
    ("limits", &["error", "policy", "progress"]),
    ("bytes", &["error"]),
    ("dtype", &["error"]),
    ("findings", &["error"]),
    ("progress", &["error"]),
    ("source", &["error", "bytes", "progress"]),
    ("shape", &["error", "limits"]),
    ("quant", &["error", "dtype"]),
    (
        "index",
        &["error", "limits", "bytes", "dtype", "shape", "findings"],
    ),
    ("formats/json", &["error", "bytes", "limits"]),
    ("formats/safetensors", FORMAT),
    ("formats/gguf", FORMAT),
    ("formats/pickle", FORMAT),
    ("formats/zip", FORMAT),
    ("formats/tar", FORMAT),
    ("formats/torch", TORCH),
    ("formats", FORMATS),
    (
        "tensor",
        &[
            "error", "progress", "source", "index", "bytes", "dtype", "shape", "quant",
        ],
    ),
    (
        "checkpoint",
        &[
            "policy",
            "error",
            "limits",
            "bytes",
            "dtype",
            "findings",
            "progress",
            "source",
            "shape",
            "quant",
            "index",
            "formats",
            "formats/json",
            "formats/torch",
            "tensor",
        ],
    ),
    (
        "scan",
        &[
            "error",
            "limits",
            "policy",
            "progress",
            "bytes",
            "findings",
            "source",
            "shape",
            "index",
            "formats",
            "formats/json",
            "formats/pickle",
            "formats/zip",
            "formats/tar",
            "formats/torch",
            "checkpoint",
        ],
    ),
    (
        "digest",
        &["error", "progress", "bytes", "tensor", "checkpoint"],
    ),
    (
        "convert",
        &[
            "error",
            "progress",
            "limits",
            "bytes",
            "dtype",
            "findings",
            "quant",
            "index",
            "tensor",
            "checkpoint",
            "digest",
        ],
    ),
];

/// What every format may name; `formats` stands for the shared `Parsed`.
const FORMAT: &[&str] = &[
    "error", "policy", "limits", "bytes", "dtype", "shape", "index", "findings", "formats",
];

/// A PyTorch file is a pickle in a container.
const TORCH: &[&str] = &[
    "error",
    "limits",
    "bytes",
    "dtype",
    "shape",
    "index",
    "findings",
    "formats",
    "formats/json",
    "formats/pickle",
    "formats/zip",
    "formats/tar",
];

/// The table of readers names each format.
const FORMATS: &[&str] = &[
    "error",
    "limits",
    "bytes",
    "index",
    "findings",
    "formats/json",
    "formats/safetensors",
    "formats/gguf",
    "formats/pickle",
    "formats/zip",
    "formats/tar",
    "formats/torch",
];

/// Files that may hold the word `unsafe`, and how many times.
const UNSAFE: &[(&str, usize)] = &[
    // The mapping, and the advice that its pages are not needed, which no safe call of memmap2 gives.
    ("source/mapped.rs", 2),
    // The type of a kernel, and the one call into it.
    ("quant/simd/mod.rs", 2),
    // The two gathers, of rows of eight and of four bytes.
    ("quant/simd/avx512/codebook.rs", 2),
    // The store past the cache, the wait for it, the cast that proves its alignment, and the hint ahead.
    ("quant/simd/streamed.rs", 4),
];

const MOST_LINES: usize = 450;

/// Tables of numbers, which are longer than any text should be.
const LONG_TABLES: &[&str] = &["dtype.rs"];

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: Vec<PathBuf> = support::files_below(&root)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    assert!(files.len() > 20, "only {} source files", files.len());
    files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap();
            let name = name.to_str().unwrap().replace('\\', "/");
            (name, fs::read_to_string(path).unwrap())
        })
        // A module's longer tests stand in a file of their own.
        .filter(|(name, _)| !name.ends_with("/tests.rs"))
        .collect()
}

/// The text without comments and without what follows `#[cfg(test)]`.
fn code(text: &str) -> String {
    without_comments(text.split("#[cfg(test)]").next().unwrap_or_default())
}

fn without_comments(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn rule(file: &str) -> Option<&'static (&'static str, &'static [&'static str])> {
    let module = file.trim_end_matches(".rs").trim_end_matches("/mod");
    LAYERS
        .iter()
        .filter(|(name, _)| {
            module == *name
                || module
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('/'))
        })
        .max_by_key(|(name, _)| name.len())
}

/// The modules that a path after `crate::` names.
fn named(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|letter| letter.is_alphanumeric() || "_:$".contains(letter)) {
            continue;
        }
        let path: Vec<&str> = code[at + "crate::".len()..]
            .split("::")
            .take(2)
            .map(|part| {
                part.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                    .next()
                    .unwrap()
            })
            .collect();
        match path.as_slice() {
            ["formats", format] if is_format(format) => found.insert(format!("formats/{format}")),
            [module, ..] => found.insert((*module).to_owned()),
            [] => false,
        };
    }
    found
}

fn is_format(name: &str) -> bool {
    LAYERS
        .iter()
        .any(|(layer, _)| *layer == format!("formats/{name}"))
}

#[test]
fn modules_name_only_their_lower_layers() {
    let mut edges = 0;
    for (file, text) in sources() {
        if file == "lib.rs" || file.starts_with("guide/") {
            continue;
        }
        let Some((layer, allowed)) = rule(&file) else {
            panic!("{file} belongs to no layer: add a row to LAYERS and to the guide");
        };
        for module in named(&code(&text)) {
            // Types that the root re-exports from a lower layer are named by their module.
            let own =
                module == *layer || layer.starts_with(&format!("{module}/")) && *layer != "formats";
            assert!(
                own || allowed.contains(&module.as_str()),
                "{file} names crate::{module}, which {layer} may not"
            );
            edges += 1;
        }
    }
    assert!(
        edges > 50,
        "only {edges} edges seen: does the search still work?"
    );
}

#[test]
fn formats_never_touch_files_or_kernels() {
    for (file, text) in sources() {
        if !file.starts_with("formats/") {
            continue;
        }
        let code = code(&text);
        for word in [
            "std::fs",
            "std::path",
            "PathBuf",
            "File::open",
            "crate::quant",
            "crate::source",
            "std::process",
            "std::env",
            "std::net",
        ] {
            assert!(!code.contains(word), "{file} names {word}");
        }
    }
}

#[test]
fn unsafe_stands_only_where_the_design_names_it() {
    for (file, text) in sources() {
        // Not cut at tests, which may stand as `mod tests;` at the head of a file.
        let code = without_comments(&text);
        let count = code
            .match_indices("unsafe ")
            .filter(|(at, _)| {
                !code[..*at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
            })
            .count();
        let allowed = UNSAFE
            .iter()
            .find(|(name, _)| *name == file)
            .map_or(0, |(_, count)| *count);
        assert_eq!(count, allowed, "{file} holds {count} unsafe");
    }
}

#[test]
fn nothing_prints_panics_or_leaves_work_open() {
    for (file, text) in sources() {
        let code = code(&text);
        for word in [
            "println!",
            "eprintln!",
            "print!(",
            "dbg!",
            "todo!",
            "unimplemented!",
            "panic!",
            ".unwrap()",
            ".expect(\"",
        ] {
            assert!(!code.contains(word), "{file} holds {word}");
        }
    }
}

#[test]
fn files_stay_short() {
    for (file, text) in sources() {
        let lines = text.lines().count();
        let table = LONG_TABLES.contains(&file.as_str());
        let most = if table { 2 * MOST_LINES } else { MOST_LINES };
        assert!(lines <= most, "{file} has {lines} lines");
    }
}

/// A newcomer sees at once where a thing belongs; names that start with a dot are for tools.
#[test]
fn the_top_level_holds_nothing_else() {
    const NAMES: &[&str] = &[
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "benches",
        "examples",
        "fuzz",
        "src",
        "target",
        "tests",
    ];
    let mut seen = 0;
    for entry in fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        seen += usize::from(NAMES.contains(&name.as_str()));
        assert!(
            name.starts_with('.') || NAMES.contains(&name.as_str()),
            "{name} stands at the top level"
        );
    }
    assert!(seen >= 8, "only {seen} entries");
}

#[test]
fn every_format_brings_a_fuzz_target_and_malformed_samples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = fs::read_dir(root.join("src/formats")).unwrap();
    let mut formats = 0;
    for folder in folders {
        let folder = folder.unwrap();
        if !folder.path().is_dir() {
            continue;
        }
        let format = folder.file_name().into_string().unwrap();
        formats += 1;
        let target = root.join(format!("fuzz/fuzz_targets/{format}.rs"));
        assert!(target.is_file(), "{} is missing", target.display());
        let samples = support::file("malformed").join(&format);
        let count = support::files_below(&samples).len();
        assert!(
            count >= 20,
            "{} holds only {count} files",
            samples.display()
        );
    }
    assert!(formats >= 2, "only {formats} formats");
}
