//! Functions that published attacks named, each in the pickle and container that its turn brings.

use super::support::torch::{call, global, int, pickle, text, tuple};
use super::{Case, containers};
use weighbridge::Verdict;

/// A gadget, and the argument that it is given: none of them would do anything.
const GADGETS: &[(&str, &str)] = &[
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("os", "popen"),
    ("os", "execv"),
    ("subprocess", "Popen"),
    ("subprocess", "check_output"),
    ("commands", "getoutput"),
    ("pty", "spawn"),
    ("__builtin__", "eval"),
    ("builtins", "exec"),
    ("builtins", "compile"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("builtins", "breakpoint"),
    ("builtins", "map"),
    ("pip", "main"),
    ("pip._internal", "main"),
    ("pip._internal.cli.main", "main"),
    ("pydoc", "pipepager"),
    ("pydoc", "tempfilepager"),
    ("pydoc", "locate"),
    ("cProfile", "run"),
    ("cProfile", "runctx"),
    ("profile", "run"),
    ("pdb", "run"),
    ("bdb", "set_trace"),
    ("timeit", "timeit"),
    ("timeit", "main"),
    ("trace", "main"),
    ("runpy", "run_module"),
    ("runpy", "_run_code"),
    ("code", "interact"),
    ("doctest", "debug_script"),
    ("idlelib.run", "exit"),
    ("idlelib.pyshell", "main"),
    ("lib2to3.pgen2.pgen", "generate_grammar"),
    ("lib2to3.main", "main"),
    ("ensurepip", "_run_pip"),
    ("distutils.file_util", "write_file"),
    ("distutils.spawn", "spawn"),
    ("asyncio.unix_events", "_UnixSubprocessTransport"),
    ("asyncio", "create_subprocess_shell"),
    ("logging", "FileHandler"),
    ("logging.config", "fileConfig"),
    ("_io", "FileIO"),
    ("io", "open"),
    ("urllib.request", "urlopen"),
    ("urllib", "urlopen"),
    ("ssl", "get_server_certificate"),
    ("uuid", "_get_command_stdout"),
    ("uuid", "_popen"),
    ("imaplib", "IMAP4_stream"),
    ("_osx_support", "_read_output"),
    ("_aix_support", "_read_cmd_output"),
    ("_pyrepl.pager", "pipe_pager"),
    ("test.support.script_helper", "assert_python_ok"),
    ("test.support", "run_in_subinterp"),
    ("pkgutil", "resolve_name"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
    ("_operator", "methodcaller"),
    ("functools", "reduce"),
    ("types", "CodeType"),
    ("types", "FunctionType"),
    ("cloudpickle", "loads"),
    ("cloudpickle.cloudpickle", "_make_function"),
    ("dill", "loads"),
    ("dill._dill", "_create_function"),
    ("joblib", "load"),
    ("pickle", "loads"),
    ("_pickle", "loads"),
    ("marshal", "loads"),
    ("shelve", "open"),
    ("numpy.f2py.crackfortran", "getlincoef"),
    ("numpy.f2py.crackfortran", "myeval"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy", "load"),
    ("torch._inductor.codecache", "compile_file"),
    ("torch._dynamo.guards", "GuardBuilder"),
    ("torch.jit.unsupported_tensor_ops", "execWrapper"),
    ("torch.jit", "load"),
    ("torch.fx.experimental.symbolic_shapes", "ShapeEnv"),
    ("torch.fx.graph_module", "reduce_graph_module"),
    ("torch.utils.collect_env", "run"),
    ("torch.utils._config_module", "load_config"),
    ("torch.utils.bottleneck.__main__", "run_cprofile"),
    ("torch.utils.data.datapipes.utils.decoder", "basichandlers"),
    ("torch.utils.cpp_extension", "load_inline"),
    ("torch", "load"),
    ("torch.serialization", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch.hub", "load"),
    ("torch.ops", "load_library"),
    ("ctypes", "CDLL"),
    ("ctypes.util", "find_library"),
    ("importlib", "import_module"),
    ("imp", "load_source"),
    ("multiprocessing.util", "spawnv_passfds"),
    ("multiprocessing", "Process"),
    ("smtplib", "SMTP"),
    ("ftplib", "FTP"),
    ("socket", "create_connection"),
    ("requests", "get"),
    ("http.client", "HTTPConnection"),
    ("signal", "raise_signal"),
    ("_interpreters", "exec"),
    ("threading", "Thread"),
    ("shutil", "rmtree"),
    ("tempfile", "mkstemp"),
    ("webbrowser", "open"),
    ("sys", "setrecursionlimit"),
    ("sys", "modules"),
    ("gc", "get_objects"),
    ("linecache", "getlines"),
    ("zipfile", "ZipFile"),
    ("sqlite3", "connect"),
    ("platform", "popen"),
];

/// Functions that are on no list: not known, and never safe.
const UNLISTED: &[(&str, &str)] = &[
    ("builtins", "getattr"),
    ("functools", "partial"),
    ("some.package.that.nobody.knows", "run"),
    ("transformers.training_args", "TrainingArguments"),
    ("ultralytics.nn.tasks", "DetectionModel"),
    ("torch.nn.modules.linear", "Linear"),
    ("sklearn.svm._classes", "SVC"),
    ("os_helpers", "system"),
    ("OS", "system"),
    ("torch", "Module"),
    ("numpy", "array"),
    ("collections", "namedtuple"),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let containers = containers::ALL;
    let listed = GADGETS
        .iter()
        .map(|gadget| (gadget, Verdict::Dangerous, "dangerous-global"));
    let unlisted = UNLISTED
        .iter()
        .map(|gadget| (gadget, Verdict::Unrecognised, "unrecognised-global"));
    for (number, ((module, name), verdict, code)) in listed.chain(unlisted).enumerate() {
        let body = payload(number, module, name);
        let (container, wrap) = containers[number % containers.len()];
        cases.push(Case {
            name: format!("{module}.{name} in {container}"),
            bytes: wrap(&body),
            verdict,
            code,
        });
    }
    cases
}

/// The same call, written in ways that take turns.
fn payload(number: usize, module: &str, name: &str) -> Vec<u8> {
    let argument = text("echo never");
    match number % 7 {
        // Protocol 0, by GLOBAL and by INST.
        0 => format!("c{module}\n{name}\n(S'echo never'\ntR.").into_bytes(),
        1 => format!("(S'echo never'\ni{module}\n{name}\n.").into_bytes(),
        2 => pickle(call(module, name, &[argument])),
        // The result is dropped, and a harmless value returned.
        3 => pickle([call(module, name, &[argument]), b"0N".to_vec()].concat()),
        // OBJ: the class is the first value above the mark.
        4 => pickle([b"(".to_vec(), global(module, name), argument, b"o".to_vec()].concat()),
        // Protocol 4, the names from the memo.
        5 => {
            let short = |text: &str| [&[0x8c, text.len() as u8], text.as_bytes(), b"\x94"].concat();
            // Protocol 4 asks for the names of Python 3.
            let module = if module == "__builtin__" {
                "builtins"
            } else {
                module
            };
            let names = [short(name), short(module), b"00h\x01h\x00\x93".to_vec()].concat();
            [
                b"\x80\x04".to_vec(),
                names,
                tuple(&[argument]),
                b"R.".to_vec(),
            ]
            .concat()
        }
        // Inside a list inside a dict, behind an integer.
        _ => pickle(
            [
                b"}".to_vec(),
                text("a"),
                b"](".to_vec(),
                int(1),
                call(module, name, &[argument]),
                b"es".to_vec(),
            ]
            .concat(),
        ),
    }
}
