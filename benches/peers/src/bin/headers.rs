//! Opening GGUF files beside the peers, in one run: a sum of the header's bytes, weighbridge, ggml's
//! `gguf_init_from_file`, and candle-core's `Content::read` over a mapping.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml --bin headers`
//!
//! ggml is compiled here from the sources that the crate llama-cpp-sys-2 vendors (`cargo fetch` has brought
//! them); it needs `cc` and `c++`.

#![allow(missing_docs)]

#[path = "../../../common/mod.rs"]
mod common;
#[path = "../../../common/headers.rs"]
mod headers;

use std::ffi::{CString, c_char, c_void};
use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

const GGML: &str = "llama-cpp-sys-2-0.1.161/llama.cpp/ggml";

/// `gguf_init_params` of ggml's `gguf.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct InitParams {
    no_alloc: bool,
    ctx: *mut *mut c_void,
}

type Init = unsafe extern "C" fn(*const c_char, InitParams) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void);

/// ggml's reader of GGUF.
struct Ggml(libloading::Library);

impl Ggml {
    fn build(folder: &Path) -> Self {
        let cargo = std::env::var_os("CARGO_HOME").map_or_else(
            || std::env::home_dir().expect("a home").join(".cargo"),
            PathBuf::from,
        );
        let sources = std::fs::read_dir(cargo.join("registry/src")).expect("fetched crates");
        let ggml = sources
            .map(|registry| registry.expect("a folder").path().join(GGML))
            .find(|path| path.is_dir())
            .expect("cargo fetch has brought llama-cpp-sys-2");
        // Made by ggml's build from `ggml-version.h.in`.
        let version = "#define GGML_VERSION \"bench\"\n#define GGML_COMMIT \"bench\"\n";
        std::fs::write(folder.join("ggml-version.h"), version).unwrap();
        let compile = |compiler: &str, flags: &[&str], source: &str| {
            let object = folder.join(format!("{source}.o"));
            let status = Command::new(compiler)
                .args(["-O3", "-DNDEBUG", "-fPIC", "-D_GNU_SOURCE", "-c"])
                .args(flags)
                .arg("-I")
                .arg(folder)
                .arg("-I")
                .arg(ggml.join("include"))
                .arg("-I")
                .arg(ggml.join("src"))
                .arg(ggml.join("src").join(source))
                .arg("-o")
                .arg(&object)
                .status()
                .expect("a C and C++ compiler");
            assert!(status.success(), "{source}");
            object
        };
        let objects = [
            compile("cc", &[], "ggml.c"),
            compile("cc", &[], "ggml-quants.c"),
            compile("c++", &["-std=c++17"], "gguf.cpp"),
            compile("c++", &["-std=c++17"], "ggml-threading.cpp"),
        ];
        let library = folder.join("gguf.so");
        // Writing and tensors need the rest of ggml: bound when called, which never happens here.
        let status = Command::new("c++")
            .args(["-shared", "-Wl,-z,lazy", "-o"])
            .arg(&library)
            .args(objects)
            .status()
            .expect("a C++ compiler");
        assert!(status.success());
        // SAFETY: the library was built just now; it runs no code but C++'s own when it is loaded.
        Self(unsafe { libloading::Library::new(library) }.expect("loads"))
    }

    fn open(&self, path: &Path) {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        let params = InitParams {
            no_alloc: true,
            ctx: std::ptr::null_mut(),
        };
        // SAFETY: `gguf.h` declares both functions with these signatures; the context is freed once.
        unsafe {
            let init = self.0.get::<Init>(b"gguf_init_from_file").unwrap();
            let context = init(path.as_ptr(), params);
            assert!(!context.is_null());
            self.0.get::<Free>(b"gguf_free").unwrap()(context);
        }
    }
}

fn map(path: &Path) -> memmap2::Mmap {
    let file = File::open(path).unwrap();
    // SAFETY: nobody writes to the file during the measurement.
    unsafe { memmap2::Mmap::map(&file) }.unwrap()
}

fn main() {
    let folder = std::env::temp_dir().join(format!("weighbridge-peers-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let ggml = Ggml::build(&folder);
    println!("file      header  weighbridge        sum   ours/sum  ggml/ours  candle/ours");
    for (file, tensors, tokens, merges) in headers::GGUF_FILES {
        let bytes = headers::gguf_file(tensors, tokens, merges);
        let header = headers::gguf_header_bytes(&bytes, tensors);
        let path = folder.join(file);
        std::fs::write(&path, bytes).unwrap();
        let mut ours = || drop(weighbridge::open(black_box(&path)).unwrap());
        let mut sum = || {
            let map = map(&path);
            black_box(
                map[..header]
                    .iter()
                    .map(|&byte| u64::from(byte))
                    .sum::<u64>(),
            );
        };
        let mut theirs = || ggml.open(&path);
        let mut candle = || {
            let mut reader = std::io::Cursor::new(map(&path));
            let content = candle_core::quantized::gguf_file::Content::read(&mut reader);
            drop(content.unwrap());
        };
        let jobs: &mut [&mut dyn FnMut()] = &mut [&mut ours, &mut sum, &mut theirs, &mut candle];
        let times = common::interleaved(15, jobs);
        println!(
            "{file:4} {header:>11} {:>9.3} ms {:>7.3} ms {:>9.2} {:>10.1} {:>12.1}",
            times.milliseconds(0),
            times.milliseconds(1),
            times.ratio(0, 1),
            times.ratio(2, 0),
            times.ratio(3, 0),
        );
    }
    std::fs::remove_dir_all(folder).unwrap();
}
