//! Rates imports that are not on the list of harmless ones. What no model needs is dangerous; a user-defined class is
//! unknown; an unknown function that is called while the file loads cannot be judged.

use super::{Safety, table};
use crate::model_file::unpickle::Uses;

const COMMANDS: &str = "can run any command";
const CODE: &str = "can run any Python code";
const FILES: &str = "can read, write or delete files";
const NETWORK: &str = "can open network connections";
const NATIVE: &str = "can load native code";
const UNPICKLES: &str = "can load another pickle, which can run any code";
const REACHES: &str = "can access any attribute or function";
const SYSTEM: &str = "can change or end the running process";
const STANDARD: &str = "is a part of Python that no model needs";
const PACKAGE: &str = "belongs to a package that no model needs";
const PART: &str = "does more than a model needs";
const WALKS: &str = "accesses something else through the attributes of a module";
const CALLED: &str = "is a function of torch that no model calls during loading";
const NOT_KNOWN: &str = "is called during loading, and what it does is unknown";
const WITH_TEXT: &str = "is called with a string during loading, and what it does is unknown";
const BY_VALUE: &str = "creates Python code from the content of the file";
const NO_NAME: &str = "is not a name that Python writes";
const ODD: &str = "is used in a way that no model uses";

/// The safety of an import that is not harmless, and what it could do.
pub(super) fn judge(module: &str, name: &str, uses: Uses) -> (Safety, String) {
    let rated = |safety, power: &str| (safety, power.to_owned());
    if table::is_unusual(module, name, uses) {
        return (Safety::Unknown, runs(module));
    }
    if let Some(power) = power(module, name, uses) {
        return rated(Safety::Dangerous, power);
    }
    if table::harmless(module, name).is_some() {
        return rated(Safety::Unjudged, ODD);
    }
    if module == "cloudpickle" || module.starts_with("cloudpickle.") {
        return rated(Safety::Unjudged, BY_VALUE);
    }
    if !is_dotted_name(module) || !is_dotted_name(name) {
        return rated(Safety::Unjudged, NO_NAME);
    }
    // Python creates objects without a constructor only of classes, so these are functions, or classes that are called.
    if uses.has(Uses::CALLED) {
        let last = name.rsplit('.').next().unwrap_or(name);
        if !is_class(last) && !last.starts_with("__pyx_unpickle_") {
            let of_torch = module == "torch" || module.starts_with("torch.");
            return if of_torch { rated(Safety::Dangerous, CALLED) } else { rated(Safety::Unjudged, NOT_KNOWN) };
        }
        if uses.has(Uses::TEXT) {
            return rated(Safety::Unjudged, WITH_TEXT);
        }
    }
    (Safety::Unknown, runs(module))
}

fn runs(module: &str) -> String {
    format!("runs the code of {} when it is loaded", package(module))
}

/// The package of a module, under the name by which it is installed.
pub fn package(module: &str) -> &str {
    match module.split('.').next().unwrap_or(module) {
        "sklearn" => "scikit-learn",
        "PIL" => "pillow",
        "cv2" => "opencv-python",
        "__main__" => "the script that saved it",
        "" => "an unnamed module",
        other => other,
    }
}

/// What a dangerous import could do. `None` if it is not known to be dangerous.
pub(super) fn power(module: &str, name: &str, uses: Uses) -> Option<&'static str> {
    let top = module.split('.').next().unwrap_or(module);
    // Python's own `test` is an empty package, and a common name for scripts.
    if table::is_standard(top) && top != "__main__" && module != "test" {
        return Some(match standard(top, name) {
            "" => STANDARD,
            power => power,
        });
    }
    if table::is_denied_package(top) {
        return Some(match top {
            "dill" | "jsonpickle" | "joblib" | "yaml" | "skops" => UNPICKLES,
            "sympy" | "IPython" | "numexpr" | "asteval" | "jinja2" => CODE,
            "cffi" | "_cffi_backend" | "pyximport" | "cython" | "Cython" => NATIVE,
            "requests" | "httpx" | "aiohttp" | "paramiko" | "urllib3" | "fsspec" => NETWORK,
            "pip" | "setuptools" | "pexpect" | "sh" | "plumbum" | "invoke" | "fabric" => COMMANDS,
            _ => PACKAGE,
        });
    }
    if let Some(power) = of_torch_or_numpy(module, name) {
        return Some(power);
    }
    if table::is_denied_module(module) {
        return Some(PART);
    }
    let parts: Vec<&str> = name.split('.').collect();
    // A module exposes the modules that it imports: `random._os`, `torch.nn.modules.linear.math`.
    let leads_out = |part: &&str| !is_class(part) && table::is_standard(part);
    if parts.iter().any(leads_out) || parts.len() > 1 && parts.iter().any(|part| !is_class(part)) {
        return Some(WALKS);
    }
    if name.contains("__") && !name.starts_with("__pyx_unpickle_") {
        return Some(REACHES);
    }
    // A class that is instantiated without its constructor starts nothing, and `agent.Memory` may be a user's class.
    let starts = |part: &str| uses.has(Uses::CALLED) || !is_class(part);
    parts.into_iter().any(|part| starts(part) && table::is_denied_name(part)).then_some(PART)
}

/// What a module of Python's standard library could do, for modules that are common in attacks.
fn standard(top: &str, name: &str) -> &'static str {
    match top.trim_start_matches('_') {
        "os" | "posix" | "nt" | "subprocess" | "posixsubprocess" | "pty" | "commands" | "popen2" | "platform" => {
            COMMANDS
        }
        "multiprocessing" | "concurrent" | "asyncio" | "sched" | "aix_support" | "osx_support" | "uuid" => COMMANDS,
        "importlib" | "runpy" | "imp" | "pkgutil" | "zipimport" | "code" | "codeop" | "pyrepl" | "idlelib" => CODE,
        "timeit" | "pdb" | "bdb" | "cProfile" | "profile" | "trace" | "doctest" | "unittest" | "lib2to3" => CODE,
        "distutils" | "ensurepip" | "venv" | "site" | "pydoc" | "test" | "threading" | "thread" | "types" => CODE,
        "ast" | "dis" | "inspect" | "atexit" => CODE,
        "pickle" | "cPickle" | "shelve" | "marshal" | "compat_pickle" => UNPICKLES,
        "io" | "shutil" | "tempfile" | "zipfile" | "tarfile" | "fileinput" | "linecache" | "glob" | "mmap" => FILES,
        "sqlite3" | "dbm" | "gzip" | "bz2" | "lzma" | "codecs" | "pyio" | "pathlib" => FILES,
        "socket" | "ssl" | "urllib" | "urllib2" | "http" | "httplib" | "ftplib" | "smtplib" | "telnetlib" => NETWORK,
        "poplib" | "imaplib" | "nntplib" | "xmlrpc" | "webbrowser" | "socketserver" => NETWORK,
        "ctypes" => NATIVE,
        "operator" | "itertools" | "weakref" | "gc" | "functools" | "copyreg" | "copy_reg" => REACHES,
        "sys" | "signal" | "resource" | "faulthandler" | "logging" | "ntpath" | "posixpath" | "genericpath" => SYSTEM,
        "builtins" | "builtin" => match name {
            "eval" | "exec" | "execfile" | "compile" | "__import__" | "breakpoint" => CODE,
            "open" | "file" | "input" => FILES,
            "exit" | "quit" | "memoryview" => SYSTEM,
            _ => REACHES,
        },
        _ => "",
    }
}

fn of_torch_or_numpy(module: &str, name: &str) -> Option<&'static str> {
    let within = |root: &str| module == root || module.strip_prefix(root).is_some_and(|rest| rest.starts_with('.'));
    Some(match (module, name) {
        ("torch", "load" | "hub") | ("torch.serialization", _) => UNPICKLES,
        ("torch", "save" | "from_file" | "import_ir_module" | "import_ir_module_from_buffer") => FILES,
        ("torch", "compile" | "classes" | "ops") => CODE,
        ("torch.storage", name) if name.contains("load") => UNPICKLES,
        ("torch.utils.collect_env" | "torch.distributed.run" | "torch.testing._internal.common_utils", _) => COMMANDS,
        ("torch.utils.cpp_extension", _) => NATIVE,
        ("torch.hub", _) => NETWORK,
        ("numpy", "load") => UNPICKLES,
        ("numpy", "loadtxt" | "fromfile" | "save" | "savetxt" | "memmap" | "genfromtxt" | "DataSource") => FILES,
        ("pandas", "read_pickle") => UNPICKLES,
        ("pandas", "eval") => CODE,
        _ if within("torch.package") || within("torch.distributed.rpc") || within("numpy.lib") => UNPICKLES,
        _ if within("torch._ops") || within("torch.ops") || within("torch.classes") => NATIVE,
        _ if within("torch._dynamo") || within("torch.jit") || within("torch.fx") || within("torch._inductor") => CODE,
        _ if within("numpy.testing") || within("numpy.f2py") => CODE,
        _ if within("numpy.distutils") => COMMANDS,
        _ => return None,
    })
}

/// Whether a name is spelled like a class, such as `Linear` and `_BatchNorm`.
fn is_class(name: &str) -> bool {
    name.trim_start_matches('_').starts_with(|c: char| c.is_uppercase())
}

/// Whether Python could have written the name: identifiers separated by dots.
fn is_dotted_name(name: &str) -> bool {
    let identifier = |part: &str| {
        !part.starts_with(|c: char| c.is_numeric())
            && !part.is_empty()
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    name == "<lambda>" || name.split('.').all(identifier)
}
