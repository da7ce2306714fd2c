//! The lists of globals.

/// Globals that rebuild tensors or plain data. Source: torch 2.15.0 `_weights_only_unpickler.py`
/// (its allow-list, less what is checked below by arguments), and plain data types of the standard
/// library and NumPy.
#[rustfmt::skip]
const ALLOWED: &[(&str, &[&str])] = &[
    ("torch._utils", &[
        "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter",
        "_rebuild_parameter_with_state", "_rebuild_qtensor", "_rebuild_sparse_tensor",
        "_rebuild_meta_tensor_no_storage", "_rebuild_wrapper_subclass",
        "_rebuild_device_tensor_from_cpu_tensor", "_rebuild_device_tensor_from_numpy",
        "_rebuild_xla_tensor", "_rebuild_nested_tensor",
    ]),
    ("torch._tensor", &[
        "_rebuild_from_type_v2", "_rebuild_from_type",
    ]),
    ("torch.nn.parameter", &[
        "Parameter", "Buffer",
    ]),
    ("torch.storage", &[
        "TypedStorage", "UntypedStorage",
    ]),
    ("torch.serialization", &[
        "_get_layout",
    ]),
    ("torch.torch_version", &[
        "TorchVersion",
    ]),
    ("torch.jit._pickle", &[
        "build_intlist", "build_tensorlist", "build_doublelist", "build_boollist",
        "build_tensor_from_id", "restore_type_tag",
    ]),
    ("collections", &[
        "OrderedDict", "defaultdict", "Counter", "deque",
    ]),
    ("builtins", &[
        "list", "dict", "tuple", "set", "frozenset", "slice", "range", "bytes", "bytearray",
        "complex", "int", "float", "bool", "str",
    ]),
    ("_codecs", &[
        "encode",
    ]),
    ("argparse", &[
        "Namespace",
    ]),
    ("numpy", &[
        "dtype", "ndarray",
    ]),
    ("numpy.core.multiarray", &[
        "_reconstruct", "scalar",
    ]),
    ("numpy._core.multiarray", &[
        "_reconstruct", "scalar",
    ]),
    ("numpy.core.numeric", &[
        "_frombuffer",
    ]),
    ("numpy._core.numeric", &[
        "_frombuffer",
    ]),
    ("datetime", &[
        "date", "datetime", "time", "timedelta", "timezone",
    ]),
    ("decimal", &[
        "Decimal",
    ]),
    ("uuid", &[
        "UUID",
    ]),
    ("pathlib", &[
        "Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath",
    ]),
];

/// Names in module `torch`: storages, typed tensors, dtypes, quantization schemes, …
#[rustfmt::skip]
const TORCH: &[&str] = &[
        "Tensor", "Size", "device", "per_tensor_affine", "per_tensor_symmetric",
        "per_channel_affine", "per_channel_symmetric", "per_channel_affine_float_qparams",
        "strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc",
        "contiguous_format", "channels_last", "preserve_format", "qint8", "qint32", "quint8",
        "quint4x2", "quint2x4",
    ];

/// Typed storages and tensors, without `Storage` or `Tensor`.
#[rustfmt::skip]
const TYPED: &[&str] = &[
        "BFloat16", "Bool", "Byte", "Char", "ComplexDouble", "ComplexFloat", "Double", "Float",
        "Half", "Int", "Long", "QInt32", "QInt8", "QUInt2x4", "QUInt4x2", "QUInt8", "Short",
    ];

/// Modules of which any function may run code, read or write files, or reach the network.
#[rustfmt::skip]
const DANGEROUS_MODULES: &[&str] = &[
        "os", "posix", "nt", "posixpath", "ntpath", "sys", "subprocess", "_posixsubprocess",
        "pty", "commands", "popen2", "shutil", "socket", "_socket", "ssl", "ctypes", "_ctypes",
        "cffi", "importlib", "_imp", "imp", "runpy", "code", "codeop", "pdb", "bdb", "cProfile",
        "profile", "timeit", "trace", "doctest", "pydoc", "webbrowser", "pip", "ensurepip",
        "venv", "distutils", "setuptools", "pkgutil", "zipimport", "site", "pickle", "_pickle",
        "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "types", "functools",
        "_functools", "operator", "_operator", "inspect", "ast", "dis", "gc", "signal",
        "threading", "_thread", "multiprocessing", "asyncio", "concurrent", "urllib", "urllib2",
        "http", "httplib", "ftplib", "smtplib", "imaplib", "poplib", "telnetlib", "xmlrpc",
        "requests", "aiohttp", "tempfile", "io", "_io", "fileinput", "linecache", "glob",
        "logging", "platform", "idlelib", "lib2to3", "test", "unittest", "_pyrepl",
        "_osx_support", "_aix_support", "_interpreters", "webbrowser", "antigravity",
    ];

/// Functions that run code although their module is harmless.
#[rustfmt::skip]
const DANGEROUS: &[(&str, &[&str])] = &[
    ("builtins", &[
        "eval", "exec", "execfile", "compile", "__import__", "open", "input", "breakpoint",
        "globals", "locals", "vars", "setattr", "delattr", "apply", "exit", "quit", "memoryview",
        "file",
    ]),
    ("torch", &[
        "load", "save", "compile", "hub",
    ]),
    ("torch.storage", &[
        "_load_from_bytes",
    ]),
    ("torch.hub", &[
        "load", "load_state_dict_from_url", "download_url_to_file",
    ]),
    ("torch.serialization", &[
        "load", "save",
    ]),
    ("torch.jit", &[
        "load", "script", "trace",
    ]),
    ("torch.utils.cpp_extension", &[
        "load", "load_inline",
    ]),
    ("numpy", &[
        "load", "save", "fromfile", "memmap",
    ]),
    ("numpy.testing._private.utils", &[
        "runstring",
    ]),
    ("numpy.f2py.crackfortran", &[
        "getlincoef", "myeval",
    ]),
    ("uuid", &[
        "_get_command_stdout", "_popen",
    ]),
];

/// Classes of plain data that describe distributed checkpoints.
#[rustfmt::skip]
const DISTRIBUTED: &[(&str, &[&str])] = &[
    ("torch.distributed.checkpoint.metadata", &[
        "Metadata", "MetadataIndex", "TensorStorageMetadata", "TensorProperties", "ChunkStorageMetadata",
        "BytesStorageMetadata", "StorageMeta", "_MEM_FORMAT_ENCODING",
    ]),
    ("torch.distributed.checkpoint.filesystem", &[
        "_StorageInfo",
    ]),
    // How pickles below protocol 5 name a layout or memory format.
    ("torch.serialization", &[
        "_get_layout",
    ]),
];

/// Whether a global is a class that describes distributed checkpoints.
pub(super) fn is_distributed(module: &str, name: &str) -> bool {
    let mut listed = DISTRIBUTED.iter();
    listed.any(|(allowed, names)| *allowed == module && names.contains(&name))
}

/// What is known of one global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Allowed,
    Dangerous(&'static str),
    Unrecognised,
}

/// What the lists say of a global.
pub(super) fn classify(module: &str, name: &str) -> Known {
    if name.contains('.') {
        return Known::Dangerous("a dotted name can reach any module from any other");
    }
    let listed = |list: &[(&str, &[&str])]| {
        list.iter()
            .any(|(allowed, names)| *allowed == module && names.contains(&name))
    };
    if listed(ALLOWED) || (matches!(module, "torch" | "torch.cuda") && is_torch_data(name)) {
        return Known::Allowed;
    }
    let root = module.split('.').next().unwrap_or_default();
    if listed(DANGEROUS) || DANGEROUS_MODULES.contains(&root) {
        return Known::Dangerous("it can run code, or reach files or the network");
    }
    Known::Unrecognised
}

fn is_torch_data(name: &str) -> bool {
    let typed = name
        .strip_suffix("Storage")
        .or_else(|| name.strip_suffix("Tensor"))
        .is_some_and(|typed| TYPED.contains(&typed));
    typed || TORCH.contains(&name) || crate::dtype::DType::from_torch(name).is_some()
}
