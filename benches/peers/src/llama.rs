//! llama.cpp's reader of GGUF headers, compiled from the sources that the crate llama-cpp-sys-2 vendors (`cargo fetch`
//! has brought them; nothing else of that crate is built), with -O3 and no other option.

use std::ffi::{CString, c_char, c_void};
use std::path::Path;
use std::process::Command;

use libloading::os::unix::{Library, RTLD_LAZY, RTLD_LOCAL};

/// `gguf_init_params`.
#[repr(C)]
struct Parameters {
    no_alloc: bool,
    context: *mut *mut c_void,
}

pub struct Llama(Library);

impl Llama {
    pub fn build() -> Self {
        let folder = std::env::temp_dir().join("weighbridge-llama");
        std::fs::create_dir_all(&folder).unwrap();
        // The build of llama.cpp makes this file.
        let version = "#define GGML_VERSION \"\"\n#define GGML_COMMIT \"\"\n";
        std::fs::write(folder.join("ggml-version.h"), version).unwrap();
        let sources = super::ggml::sources();
        compile("cc", &folder, &sources, &["ggml.c", "ggml-quants.c"]);
        compile(
            "c++",
            &folder,
            &sources,
            &["gguf.cpp", "ggml-threading.cpp"],
        );
        let library = folder.join("gguf.so");
        let objects = ["ggml.o", "ggml-quants.o", "gguf.o", "ggml-threading.o"];
        let mut link = Command::new("c++");
        link.args(["-shared", "-o"]).arg(&library);
        link.args(objects.map(|object| folder.join(object)));
        assert!(link.status().expect("a C++ compiler").success());
        // SAFETY: the library was built just now; what it runs when it is loaded sets up the C++ library. Lazy, because
        // writing tensors needs functions that are not built, and is not called.
        Self(unsafe { Library::open(Some(library), RTLD_LAZY | RTLD_LOCAL) }.expect("loads"))
    }

    /// Reads the header and frees what it made.
    pub fn open(&self, path: &str) {
        let path = CString::new(path).unwrap();
        let parameters = Parameters {
            no_alloc: true,
            context: std::ptr::null_mut(),
        };
        // SAFETY: `gguf.h` declares both functions with these signatures, and allows no context.
        unsafe {
            let init = self
                .0
                .get::<unsafe extern "C" fn(*const c_char, Parameters) -> *mut c_void>(
                    b"gguf_init_from_file",
                )
                .unwrap();
            let free = self
                .0
                .get::<unsafe extern "C" fn(*mut c_void)>(b"gguf_free")
                .unwrap();
            let context = init(path.as_ptr(), parameters);
            assert!(!context.is_null());
            free(context);
        }
    }
}

fn compile(compiler: &str, folder: &Path, sources: &Path, files: &[&str]) {
    let status = Command::new(compiler)
        .current_dir(folder)
        .args(["-c", "-O3", "-DNDEBUG", "-fPIC", "-D_GNU_SOURCE", "-I."])
        .arg("-I")
        .arg(sources.join("include"))
        .arg("-I")
        .arg(sources.join("src"))
        .args(files.iter().map(|file| sources.join("src").join(file)))
        .status()
        .expect("a compiler");
    assert!(status.success());
}
