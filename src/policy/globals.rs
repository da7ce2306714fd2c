//! The lists that [`Policy::default`](super::Policy::default) is made of.

/// Modules, and names in them.
pub(super) type Listed = &'static [(&'static str, &'static [&'static str])];

/// Every name of a module and of the modules below it.
pub(super) const ALL: &str = "*";

/// Globals that rebuild tensors. Source: the allow-list of torch 2.15.0 `_weights_only_unpickler.py`, and
/// what older releases listed. Storages, typed tensors and dtypes are added by [`TORCH`] and [`TYPED`].
#[rustfmt::skip]
pub(super) const TENSOR: Listed = &[
    ("torch._utils", &[
        "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter",
        "_rebuild_parameter_with_state", "_rebuild_qtensor", "_rebuild_sparse_tensor",
        "_rebuild_meta_tensor_no_storage", "_rebuild_wrapper_subclass",
        "_rebuild_device_tensor_from_cpu_tensor", "_rebuild_device_tensor_from_numpy",
        "_rebuild_xla_tensor", "_rebuild_nested_tensor",
    ]),
    ("torch._tensor", &["_rebuild_from_type_v2", "_rebuild_from_type"]),
    ("torch.nn.parameter", &["Parameter", "Buffer"]),
    ("torch.storage", &["TypedStorage", "UntypedStorage"]),
    ("torch.serialization", &["_get_layout"]),
    ("collections", &["OrderedDict", "Counter"]),
    ("builtins", &["set", "bytearray", "complex"]),
    ("_codecs", &["encode"]),
];

/// Plain data of the standard library and NumPy, which harms nobody; [`Policy::without_data`] leaves it out.
///
/// [`Policy::without_data`]: super::Policy::without_data
#[rustfmt::skip]
pub(super) const DATA: Listed = &[
    ("collections", &["defaultdict", "deque"]),
    ("builtins", &[
        "list", "dict", "tuple", "frozenset", "slice", "range", "bytes", "int", "float", "bool", "str",
        "object",
    ]),
    // Makes an object of a class that is named beside it, as protocols 0 and 1 write them.
    ("copyreg", &["_reconstructor"]),
    ("argparse", &["Namespace"]),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy._core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy.core.numeric", &["_frombuffer"]),
    ("numpy._core.numeric", &["_frombuffer"]),
    ("datetime", &["date", "datetime", "time", "timedelta", "timezone"]),
    ("decimal", &["Decimal"]),
    ("uuid", &["UUID"]),
    ("pathlib", &["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"]),
    ("torch.torch_version", &["TorchVersion"]),
    // Says where an array stands in the same file; joblib reads it from there.
    ("joblib.numpy_pickle", &["NumpyArrayWrapper"]),
];

/// Names in module `torch`, beside [`TYPED`] and the dtypes.
#[rustfmt::skip]
pub(super) const TORCH: &[&str] = &[
    "Tensor", "Size", "device", "per_tensor_affine", "per_tensor_symmetric", "per_channel_affine",
    "per_channel_symmetric", "per_channel_affine_float_qparams", "strided", "sparse_coo", "sparse_csr",
    "sparse_csc", "sparse_bsr", "sparse_bsc", "contiguous_format", "channels_last", "preserve_format",
    "qint8", "qint32", "quint8", "quint4x2", "quint2x4",
];

/// Modules whose storages and typed tensors are data.
pub(super) const TYPED_MODULES: &[&str] =
    &["torch", "torch.cuda", "torch.sparse", "torch.cuda.sparse"];

/// Typed storages and tensors, without `Storage` or `Tensor`.
#[rustfmt::skip]
pub(super) const TYPED: &[&str] = &[
    "BFloat16", "Bool", "Byte", "Char", "ComplexDouble", "ComplexFloat", "Double", "Float", "Half",
    "Int", "Long", "QInt32", "QInt8", "QUInt2x4", "QUInt4x2", "QUInt8", "Short",
];

/// What is known to be dangerous, by what it can do. The lists only explain: what is on none of them is
/// unrecognised, never safe. Most entries were published as gadgets that some scanner missed.
#[rustfmt::skip]
pub(super) const DANGEROUS: &[(&str, Listed)] = &[
    ("runs commands", &[
        ("os", &[ALL]), ("posix", &[ALL]), ("nt", &[ALL]), ("subprocess", &[ALL]),
        ("_posixsubprocess", &[ALL]), ("pty", &[ALL]), ("commands", &[ALL]), ("popen2", &[ALL]),
        ("asyncio", &[ALL]), ("multiprocessing", &[ALL]), ("concurrent", &[ALL]), ("sh", &[ALL]),
        ("_osx_support", &[ALL]), ("_aix_support", &[ALL]), ("distutils", &[ALL]), ("setuptools", &[ALL]),
        ("pip", &[ALL]), ("ensurepip", &[ALL]), ("venv", &[ALL]), ("webbrowser", &[ALL]),
        ("antigravity", &[ALL]), ("platform", &[ALL]), ("paramiko", &[ALL]), ("fabric", &[ALL]),
        ("uuid", &["_get_command_stdout", "_popen"]),
        ("torch.utils.collect_env", &[ALL]), ("torch.utils.cpp_extension", &[ALL]),
        ("torch._inductor", &[ALL]), ("torch.distributed.run", &[ALL]), ("torch.distributed.launch", &[ALL]),
        ("numpy.distutils", &[ALL]), ("numpy.f2py", &[ALL]), ("test", &[ALL]), ("unittest", &[ALL]),
        ("idlelib", &[ALL]), ("pydoc", &[ALL]), ("_pyrepl", &[ALL]),
    ]),
    ("runs Python code", &[
        ("builtins", &["eval", "exec", "execfile", "compile", "__import__", "breakpoint", "input"]),
        ("runpy", &[ALL]), ("code", &[ALL]), ("codeop", &[ALL]), ("pdb", &[ALL]), ("bdb", &[ALL]),
        ("cProfile", &[ALL]), ("profile", &[ALL]), ("timeit", &[ALL]), ("trace", &[ALL]), ("doctest", &[ALL]),
        ("lib2to3", &[ALL]), ("importlib", &[ALL]), ("_imp", &[ALL]), ("imp", &[ALL]), ("zipimport", &[ALL]),
        ("site", &[ALL]), ("marshal", &[ALL]), ("dis", &[ALL]),
        ("types", &["CodeType", "FunctionType", "LambdaType", "MethodType", "ModuleType", "new_class", "prepare_class"]),
        ("_interpreters", &[ALL]), ("interpreters", &[ALL]), ("_xxsubinterpreters", &[ALL]),
        ("threading", &[ALL]), ("_thread", &[ALL]), ("signal", &[ALL]), ("_signal", &[ALL]), ("sched", &[ALL]),
        ("jinja2", &[ALL]), ("IPython", &[ALL]), ("execnet", &[ALL]), ("numexpr", &[ALL]),
        ("torch", &["compile", "hub"]), ("torch.hub", &[ALL]), ("torch.jit", &["load", "script", "trace"]),
        ("torch._dynamo.guards", &[ALL]), ("torch.fx.experimental", &[ALL]),
        ("torch.fx.graph_module", &["reduce_graph_module", "reduce_package_graph_module", "reduce_deploy_graph_module",
            "_forward_from_src", "_exec_with_source"]),
        ("torch.package", &["PackageImporter"]), ("torch.package.package_importer", &["PackageImporter"]),
        ("torch.utils.bottleneck", &[ALL]), ("torch.utils._config_module", &[ALL]),
        ("torch.jit.unsupported_tensor_ops", &[ALL]), ("torch.ao.quantization.fx", &[ALL]),
        ("torch.cuda._memory_viz", &[ALL]), ("torch.utils.data.datapipes.utils.decoder", &[ALL]),
        ("torch.testing._internal", &[ALL]), ("torch.utils.model_dump", &[ALL]),
        ("numpy.testing", &[ALL]), ("numpy.ctypeslib", &[ALL]),
        ("keras.src.layers.core.lambda_layer", &[ALL]), ("keras.layers.core.lambda_layer", &[ALL]),
        ("tensorflow.python.keras.utils.generic_utils", &["func_load"]), ("keras.src.utils.python_utils", &["func_load"]),
        ("sklearn.utils._testing", &[ALL]), ("pandas.eval", &[ALL]), ("pandas.core.computation", &[ALL]),
        ("pandas", &["eval", "read_pickle"]),
    ]),
    ("runs native code", &[
        ("ctypes", &[ALL]), ("_ctypes", &[ALL]), ("cffi", &[ALL]), ("_cffi_backend", &[ALL]),
        ("torch.ops", &["load_library"]), ("torch.classes", &["load_library"]),
        ("numba.core.serialize", &[ALL]), ("pyximport", &[ALL]), ("cython", &[ALL]),
    ]),
    ("loads another pickle", &[
        ("pickle", &[ALL]), ("_pickle", &[ALL]), ("cPickle", &[ALL]), ("dill", &[ALL]), ("cloudpickle", &[ALL]),
        ("joblib", &[ALL]), ("shelve", &[ALL]), ("torch", &["load", "save"]),
        ("torch.serialization", &["load", "save", "_load", "_legacy_load"]),
        ("torch.storage", &["_load_from_bytes"]), ("torch.multiprocessing", &[ALL]),
        ("numpy", &["load", "save", "fromfile", "memmap", "loadtxt", "genfromtxt"]),
        ("numpy.lib.npyio", &[ALL]), ("numpy.lib.format", &[ALL]), ("numpy.core.memmap", &[ALL]),
        ("sklearn.externals", &[ALL]), ("ray.cloudpickle", &[ALL]),
    ]),
    ("reaches any other function by name", &[
        ("operator", &["attrgetter", "methodcaller", "call", "setitem", "delitem", "iconcat"]),
        ("_operator", &["attrgetter", "methodcaller", "call", "setitem", "delitem", "iconcat"]),
        ("functools", &["reduce", "partialmethod"]), ("_functools", &["reduce"]),
        ("itertools", &["starmap"]), ("pkgutil", &[ALL]), ("sys", &[ALL]), ("gc", &[ALL]),
        ("builtins", &["globals", "locals", "vars", "setattr", "delattr", "apply", "map", "filter",
            "__build_class__", "exit", "quit", "help"]),
        ("copyreg", &["add_extension", "pickle", "constructor", "_extension_registry"]),
        ("codecs", &["open", "decode", "lookup", "register", "getdecoder"]), ("encodings", &[ALL]), ("_codecs", &["register", "lookup", "decode"]),
        ("atexit", &[ALL]), ("faulthandler", &[ALL]), ("resource", &[ALL]), ("fickling", &[ALL]),
    ]),
    ("reads or writes files", &[
        ("builtins", &["open", "file"]), ("io", &["open", "open_code", "FileIO"]), ("_io", &["open", "open_code", "FileIO"]), ("shutil", &[ALL]),
        ("tempfile", &[ALL]), ("fileinput", &[ALL]), ("linecache", &[ALL]), ("glob", &[ALL]),
        ("posixpath", &[ALL]), ("ntpath", &[ALL]), ("logging", &["FileHandler", "basicConfig"]), ("logging.config", &[ALL]), ("logging.handlers", &[ALL]), ("zipfile", &[ALL]), ("tarfile", &[ALL]),
        ("sqlite3", &[ALL]), ("_sqlite3", &[ALL]), ("dbm", &[ALL]), ("netrc", &[ALL]), ("filecmp", &[ALL]),
        ("configparser", &[ALL]), ("mailbox", &[ALL]), ("mailcap", &[ALL]), ("crypt", &[ALL]),
        ("torch", &["from_file"]), ("torch.utils.tensorboard", &[ALL]), ("torch._C", &["PyTorchFileReader", "PyTorchFileWriter", "import_ir_module", "import_ir_module_from_buffer"]),
    ]),
    ("reaches the network", &[
        ("socket", &[ALL]), ("_socket", &[ALL]), ("ssl", &[ALL]), ("_ssl", &[ALL]), ("urllib", &[ALL]),
        ("urllib2", &[ALL]), ("urllib3", &[ALL]), ("http", &[ALL]), ("httplib", &[ALL]), ("httpx", &[ALL]),
        ("ftplib", &[ALL]), ("smtplib", &[ALL]), ("imaplib", &[ALL]), ("poplib", &[ALL]), ("nntplib", &[ALL]),
        ("telnetlib", &[ALL]), ("xmlrpc", &[ALL]), ("socketserver", &[ALL]), ("requests", &[ALL]),
        ("aiohttp", &[ALL]), ("wsgiref", &[ALL]), ("select", &[ALL]),
        ("torch.distributed.rpc", &[ALL]), ("huggingface_hub", &[ALL]),
    ]),
];
