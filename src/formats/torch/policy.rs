//! What the events of a pickle say about it: an allow-list over what was really simulated.
//!
//! A pure fold: file names, extensions and the machine play no part. A global that is not listed is
//! `unrecognised`; one that is known to run code, a name that cannot be known, and a call of
//! something that is no global are `dangerous`; what no pickler writes is `malformed`. The list of
//! dangerous modules only explains: leaving one out makes it unrecognised, never safe.

use std::collections::HashSet;

use crate::error::shortened;
use crate::findings::{Finding, Findings, Severity, Verdict};
use crate::formats::pickle::{Event, EventKind, Global, NodeId, Sink, Tree, Value};

/// Globals that rebuild tensors or plain data. Source: torch 2.15.0 `_weights_only_unpickler.py`
/// (its allow-list, less what is checked below by arguments), and plain data types of the standard
/// library and NumPy.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "torch._utils",
        &[
            "_rebuild_tensor",
            "_rebuild_tensor_v2",
            "_rebuild_tensor_v3",
            "_rebuild_parameter",
            "_rebuild_parameter_with_state",
            "_rebuild_qtensor",
            "_rebuild_sparse_tensor",
            "_rebuild_meta_tensor_no_storage",
            "_rebuild_wrapper_subclass",
            "_rebuild_device_tensor_from_cpu_tensor",
            "_rebuild_device_tensor_from_numpy",
            "_rebuild_xla_tensor",
            "_rebuild_nested_tensor",
        ],
    ),
    (
        "torch._tensor",
        &["_rebuild_from_type_v2", "_rebuild_from_type"],
    ),
    ("torch.nn.parameter", &["Parameter", "Buffer"]),
    ("torch.storage", &["TypedStorage", "UntypedStorage"]),
    ("torch.serialization", &["_get_layout"]),
    ("torch.torch_version", &["TorchVersion"]),
    (
        "torch.jit._pickle",
        &[
            "build_intlist",
            "build_tensorlist",
            "build_doublelist",
            "build_boollist",
            "build_tensor_from_id",
            "restore_type_tag",
        ],
    ),
    (
        "collections",
        &["OrderedDict", "defaultdict", "Counter", "deque"],
    ),
    (
        "builtins",
        &[
            "list",
            "dict",
            "tuple",
            "set",
            "frozenset",
            "slice",
            "range",
            "bytes",
            "bytearray",
            "complex",
            "int",
            "float",
            "bool",
            "str",
        ],
    ),
    ("_codecs", &["encode"]),
    ("argparse", &["Namespace"]),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy._core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy.core.numeric", &["_frombuffer"]),
    ("numpy._core.numeric", &["_frombuffer"]),
    (
        "datetime",
        &["date", "datetime", "time", "timedelta", "timezone"],
    ),
    ("decimal", &["Decimal"]),
    ("uuid", &["UUID"]),
    (
        "pathlib",
        &[
            "Path",
            "PosixPath",
            "WindowsPath",
            "PurePath",
            "PurePosixPath",
            "PureWindowsPath",
        ],
    ),
];

/// Names in module `torch`: storages, typed tensors, dtypes, quantization schemes, …
const TORCH: &[&str] = &[
    "Tensor",
    "Size",
    "device",
    "per_tensor_affine",
    "per_tensor_symmetric",
    "per_channel_affine",
    "per_channel_symmetric",
    "per_channel_affine_float_qparams",
    "strided",
    "sparse_coo",
    "sparse_csr",
    "sparse_csc",
    "sparse_bsr",
    "sparse_bsc",
    "contiguous_format",
    "channels_last",
    "preserve_format",
    "qint8",
    "qint32",
    "quint8",
    "quint4x2",
    "quint2x4",
];

/// Typed storages and tensors, without `Storage` or `Tensor`.
const TYPED: &[&str] = &[
    "BFloat16",
    "Bool",
    "Byte",
    "Char",
    "ComplexDouble",
    "ComplexFloat",
    "Double",
    "Float",
    "Half",
    "Int",
    "Long",
    "QInt32",
    "QInt8",
    "QUInt2x4",
    "QUInt4x2",
    "QUInt8",
    "Short",
];

/// Modules of which any function may run code, read or write files, or reach the network.
const DANGEROUS_MODULES: &[&str] = &[
    "os",
    "posix",
    "nt",
    "posixpath",
    "ntpath",
    "sys",
    "subprocess",
    "_posixsubprocess",
    "pty",
    "commands",
    "popen2",
    "shutil",
    "socket",
    "_socket",
    "ssl",
    "ctypes",
    "_ctypes",
    "cffi",
    "importlib",
    "_imp",
    "imp",
    "runpy",
    "code",
    "codeop",
    "pdb",
    "bdb",
    "cProfile",
    "profile",
    "timeit",
    "trace",
    "doctest",
    "pydoc",
    "webbrowser",
    "pip",
    "ensurepip",
    "venv",
    "distutils",
    "setuptools",
    "pkgutil",
    "zipimport",
    "site",
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "types",
    "functools",
    "_functools",
    "operator",
    "_operator",
    "inspect",
    "ast",
    "dis",
    "gc",
    "signal",
    "threading",
    "_thread",
    "multiprocessing",
    "asyncio",
    "concurrent",
    "urllib",
    "urllib2",
    "http",
    "httplib",
    "ftplib",
    "smtplib",
    "imaplib",
    "poplib",
    "telnetlib",
    "xmlrpc",
    "requests",
    "aiohttp",
    "tempfile",
    "io",
    "_io",
    "fileinput",
    "linecache",
    "glob",
    "logging",
    "platform",
    "idlelib",
    "lib2to3",
    "test",
    "unittest",
    "_pyrepl",
    "_osx_support",
    "_aix_support",
    "_interpreters",
    "webbrowser",
    "antigravity",
];

/// Functions that run code although their module is harmless.
const DANGEROUS: &[(&str, &[&str])] = &[
    (
        "builtins",
        &[
            "eval",
            "exec",
            "execfile",
            "compile",
            "__import__",
            "open",
            "input",
            "breakpoint",
            "globals",
            "locals",
            "vars",
            "setattr",
            "delattr",
            "apply",
            "exit",
            "quit",
            "memoryview",
            "file",
        ],
    ),
    ("torch", &["load", "save", "compile", "hub"]),
    ("torch.storage", &["_load_from_bytes"]),
    (
        "torch.hub",
        &["load", "load_state_dict_from_url", "download_url_to_file"],
    ),
    ("torch.serialization", &["load", "save"]),
    ("torch.jit", &["load", "script", "trace"]),
    ("torch.utils.cpp_extension", &["load", "load_inline"]),
    ("numpy", &["load", "save", "fromfile", "memmap"]),
    ("numpy.testing._private.utils", &["runstring"]),
    ("numpy.f2py.crackfortran", &["getlincoef", "myeval"]),
    ("uuid", &["_get_command_stdout", "_popen"]),
];

/// What is known of one global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Allowed,
    Dangerous(&'static str),
    Unrecognised,
}

/// Folds the events of one stream into findings.
pub(super) struct Policy {
    stream: String,
    findings: Findings,
    /// Globals already reported.
    reported: HashSet<String>,
}

impl Policy {
    /// A policy for the stream of this name; empty for the file itself.
    pub(super) fn new(stream: &str) -> Self {
        Self {
            stream: stream.to_owned(),
            findings: Findings::default(),
            reported: HashSet::new(),
        }
    }

    pub(super) fn into_findings(self) -> Findings {
        self.findings
    }

    fn report(&mut self, verdict: Verdict, code: &'static str, event: &Event, message: String) {
        let finding = Finding::new(Severity::Verdict(verdict), code, message);
        self.findings
            .push(finding.at(event.offset).in_stream(&self.stream));
    }

    fn global(&mut self, event: &Event, global: Global<'_>) {
        let known = classify(global.module, global.name);
        if known == Known::Allowed {
            return;
        }
        let name = format!("{}.{}", shortened(global.module), shortened(global.name));
        if self.reported.len() >= Findings::MOST || !self.reported.insert(name.clone()) {
            // Counted and folded all the same, should it be the first dangerous one.
            if let Known::Unrecognised = known {
                return;
            }
        }
        match known {
            Known::Dangerous(why) => {
                let message = format!("loading it would use {name:?}: {why}");
                self.report(Verdict::Dangerous, "dangerous-global", event, message);
            }
            _ => {
                let message = format!("loading it would import {name:?}, which is not on the list");
                self.report(Verdict::Unrecognised, "unrecognised-global", event, message);
            }
        }
    }

    fn call(&mut self, event: &Event, tree: &Tree<'_>, callable: NodeId, arguments: NodeId) {
        match tree.value(callable) {
            Value::Global(global) => self.check_arguments(event, tree, global, arguments),
            // `("module", class, file, source)` of a legacy module names its class itself.
            Value::PersistentId(id) if is_module_id(tree, id) => {}
            Value::Extension(_) => {}
            _ => {
                let message = String::from("loading it would call something that is no global");
                self.report(Verdict::Dangerous, "dynamic-call", event, message);
            }
        }
    }

    /// Functions that are harmless with some arguments only.
    fn check_arguments(
        &mut self,
        event: &Event,
        tree: &Tree<'_>,
        global: Global<'_>,
        arguments: NodeId,
    ) {
        let arguments = tree.sequence(arguments).unwrap_or_default();
        let odd = match (global.module, global.name) {
            ("_codecs", "encode") => {
                let codec = arguments.get(1).and_then(|&codec| tree.str(codec));
                arguments.len() != 2 || codec != Some("latin1")
            }
            ("builtins", "bytearray" | "bytes") => arguments
                .first()
                .is_some_and(|&size| matches!(tree.value(size), Value::Int(_) | Value::BigInt)),
            _ => false,
        };
        if odd {
            let message = format!("unexpected arguments of {:?}", global.name);
            self.report(Verdict::Malformed, "arguments", event, message);
        }
    }

    fn persistent_id(&mut self, event: &Event, tree: &Tree<'_>, id: NodeId) {
        let kind = tree
            .sequence(id)
            .and_then(|items| tree.str(*items.first()?));
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let known = matches!(kind, Some("storage" | "module"))
            || tree.int(id).is_some()
            || tree.str(id).is_some_and(digits);
        if !known {
            let message = String::from("it asks its loader for an object of an unknown kind");
            self.report(Verdict::Unrecognised, "persistent-id", event, message);
        }
    }
}

impl Sink for Policy {
    fn event(&mut self, event: &Event, tree: &Tree<'_>) {
        match event.kind {
            EventKind::Global(id) => {
                if let Some(global) = tree.global(id) {
                    self.global(event, global);
                }
            }
            EventKind::Extension(code) => {
                let message =
                    format!("it takes object {code} of the extension registry, whatever that is");
                self.report(Verdict::Dangerous, "extension", event, message);
            }
            EventKind::Call {
                callable,
                arguments,
            } => self.call(event, tree, callable, arguments),
            EventKind::Build { target, .. } => {
                if matches!(tree.value(target), Value::Global(_)) {
                    let message = String::from("loading it would change a class or module");
                    self.report(Verdict::Dangerous, "build-global", event, message);
                }
            }
            EventKind::PersistentId(id) => self.persistent_id(event, tree, id),
            EventKind::Anomaly(anomaly) => {
                let message = format!("{} does what no pickler writes", event.opcode.name());
                self.report(Verdict::Malformed, anomaly.code(), event, message);
            }
            EventKind::Mutation(_) | EventKind::Stop => {}
        }
    }
}

fn is_module_id(tree: &Tree<'_>, id: NodeId) -> bool {
    match tree.sequence(id) {
        Some(&[kind, class, ..]) => {
            tree.str(kind) == Some("module") && tree.global(class).is_some()
        }
        _ => false,
    }
}

fn classify(module: &str, name: &str) -> Known {
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
