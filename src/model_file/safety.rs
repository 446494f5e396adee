//! Would loading this file in Python be safe? Told from what its pickles import, none of which is imported here.
//!
//! Three verdicts. *Safe*: everything named is data or a layer of torch itself. *Unknown*: a class that nobody here
//! knows; its code decides what loading does. *Dangerous*: something that runs commands, code, reads files or reaches
//! further than any model needs. When in doubt the worse verdict stands.

use serde::Serialize;

use crate::model_file::unpickle::Evidence;

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Safety {
    /// Nothing in it can run foreign code.
    Safe,
    /// It needs classes that are not known here.
    Unknown,
    /// It would do more than load a model.
    Dangerous,
}

impl std::fmt::Display for Safety {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Safe => "safe",
            Self::Unknown => "unknown",
            Self::Dangerous => "dangerous",
        })
    }
}

/// One thing that loading would import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The module, such as `torch._utils`.
    pub module: String,
    /// The name in it.
    pub name: String,
    /// How far it can be trusted.
    pub safety: Safety,
    /// What it could do; empty when it is safe.
    pub power: &'static str,
}

impl Import {
    /// Module and name in one, such as `os.system`.
    pub fn dotted(&self) -> String {
        crate::model_file::words::printable(&format!("{}.{}", self.module, self.name), 200)
    }

    /// Judges one import.
    pub fn judge(module: &str, name: &str) -> Self {
        let (safety, power) = judge(module, name);
        Self { module: module.to_owned(), name: name.to_owned(), safety, power }
    }
}

/// Judges all that a file's pickles would import and do: the verdict, and the imports in order.
pub fn verdict(evidence: &Evidence) -> (Safety, Vec<Import>) {
    let imports: Vec<Import> = evidence.imports().iter().map(|(module, name)| Import::judge(module, name)).collect();
    let tricked = if evidence.tricks().is_empty() { Safety::Safe } else { Safety::Dangerous };
    let worst = imports.iter().map(|import| import.safety).max().unwrap_or(Safety::Safe);
    (worst.max(tricked), imports)
}

const UNKNOWN: &str = "is no part of torch: its own code decides what loading does";

fn judge(module: &str, name: &str) -> (Safety, &'static str) {
    if is_safe(module, name) {
        return (Safety::Safe, "");
    }
    if let Some(power) = power(module, name) {
        return (Safety::Dangerous, power);
    }
    if name.contains('.') && !module.starts_with("__main__") {
        // A dotted name walks through attributes: `torch.nn` and `modules.os.system` would be a way out.
        let parts: Vec<&str> = name.split('.').collect();
        if parts.iter().any(|part| part.starts_with('_') || power(part, "").is_some()) {
            return (Safety::Dangerous, "walks through a module's attributes to something else");
        }
    }
    (Safety::Unknown, UNKNOWN)
}

/// Everything that is data, or a class of torch whose loading runs torch's own code only.
fn is_safe(module: &str, name: &str) -> bool {
    let layer = |module: &str| {
        ["torch.nn.modules.", "torch.nn.quantized.", "torch.ao.nn.", "torch.optim.", "torch.nn.intrinsic."]
            .iter()
            .any(|root| module.starts_with(root))
    };
    match module {
        "torch" => {
            name == "Size"
                || name == "device"
                || name == "dtype"
                || name == "Tensor"
                || name.ends_with("Storage") && name.chars().all(|c| c.is_ascii_alphanumeric())
                || crate::model_file::scalar_type::ScalarType::from_torch_name(name).is_some()
                || matches!(
                    name,
                    "per_tensor_affine"
                        | "per_channel_affine"
                        | "per_tensor_symmetric"
                        | "per_channel_symmetric"
                        | "strided"
                        | "sparse_coo"
                        | "preserve_format"
                        | "contiguous_format"
                        | "channels_last"
                )
        }
        "torch._utils" => name.starts_with("_rebuild_") && !name.contains("wrapper_subclass"),
        "torch._tensor" => name == "_rebuild_from_type_v2",
        "torch.storage" => matches!(name, "UntypedStorage" | "TypedStorage" | "_UntypedStorage" | "_TypedStorage"),
        "torch.serialization" => name == "_get_layout",
        "torch.nn.parameter" => {
            matches!(name, "Parameter" | "Buffer" | "UninitializedParameter" | "UninitializedBuffer")
        }
        "torch.jit._pickle" => name.starts_with("build_") || name == "restore_type_tag",
        "torch.nn.parallel.data_parallel" => name == "DataParallel",
        "torch.nn.parallel.distributed" => name == "DistributedDataParallel",
        "collections" => matches!(name, "OrderedDict" | "defaultdict" | "Counter" | "deque"),
        "builtins" | "__builtin__" => matches!(
            name,
            "set"
                | "frozenset"
                | "dict"
                | "list"
                | "tuple"
                | "int"
                | "float"
                | "complex"
                | "bool"
                | "str"
                | "bytes"
                | "bytearray"
                | "slice"
                | "range"
                | "object"
        ),
        "_codecs" => name == "encode",
        "copy_reg" | "copyreg" => name == "_reconstructor",
        "numpy" => matches!(name, "dtype" | "ndarray"),
        "numpy.core.multiarray" | "numpy._core.multiarray" => matches!(name, "_reconstruct" | "scalar"),
        "numpy.core.numeric" | "numpy._core.numeric" => name == "_frombuffer",
        "numpy.dtypes" => name.ends_with("DType") && !name.contains('.'),
        "torch.nn.functional" | "torch._C._nn" | "torch._VF" => {
            matches!(name, "relu" | "gelu" | "silu" | "leaky_relu" | "elu" | "selu" | "tanh" | "sigmoid" | "softmax")
        }
        "datetime" => matches!(name, "datetime" | "date" | "timedelta" | "timezone"),
        "pathlib" => matches!(name, "PosixPath" | "PurePosixPath" | "Path" | "WindowsPath" | "PureWindowsPath"),
        "argparse" => name == "Namespace",
        "uuid" => name == "UUID",
        "decimal" => name == "Decimal",
        // Classes only, by the way torch writes them: functions of these modules could do anything.
        module if layer(module) => {
            name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        }
        _ => false,
    }
}

const COMMANDS: &str = "can run any command";
const CODE: &str = "can run any Python code";
const FILES: &str = "can read, write or delete files";
const NETWORK: &str = "can open network connections";
const NATIVE: &str = "can load native code";
const UNPICKLES: &str = "can load another pickle, which may do anything";
const REACHES: &str = "reaches any attribute or function from inside the pickle";
const SYSTEM: &str = "can change or end the running process";

/// What a dangerous module or function could do; `None` when it is not known to be dangerous.
fn power(module: &str, name: &str) -> Option<&'static str> {
    let top = module.split('.').next().unwrap_or(module);
    let by_module = match top {
        "os" | "posix" | "nt" | "subprocess" | "_posixsubprocess" | "pty" | "commands" | "popen2" | "platform" => {
            COMMANDS
        }
        "multiprocessing" | "concurrent" | "asyncio" | "sched" => COMMANDS,
        "importlib" | "runpy" | "imp" | "pkgutil" | "zipimport" | "code" | "codeop" | "_pyrepl" | "idlelib" => CODE,
        "timeit" | "pdb" | "bdb" | "cProfile" | "profile" | "trace" | "doctest" | "unittest" | "lib2to3" => CODE,
        "distutils" | "setuptools" | "pip" | "ensurepip" | "venv" | "site" | "pydoc" | "test" | "threading" => CODE,
        "_thread" | "thread" | "types" | "new" | "ast" | "dis" | "inspect" | "atexit" | "IPython" | "sympy" => CODE,
        "pickle" | "_pickle" | "cPickle" | "dill" | "cloudpickle" | "joblib" | "shelve" | "marshal" => UNPICKLES,
        "jsonpickle" | "yaml" | "_compat_pickle" => UNPICKLES,
        "io" | "_io" | "shutil" | "tempfile" | "zipfile" | "tarfile" | "fileinput" | "linecache" | "glob" => FILES,
        "mmap" | "sqlite3" | "dbm" | "gzip" | "bz2" | "lzma" | "codecs" | "_pyio" => FILES,
        "socket" | "_socket" | "ssl" | "urllib" | "urllib2" | "http" | "httplib" | "requests" | "httpx" => NETWORK,
        "aiohttp" | "ftplib" | "smtplib" | "telnetlib" | "poplib" | "imaplib" | "nntplib" | "xmlrpc" => NETWORK,
        "webbrowser" | "socketserver" | "paramiko" => NETWORK,
        "ctypes" | "_ctypes" | "cffi" | "_cffi_backend" | "pyximport" => NATIVE,
        "operator" | "_operator" | "itertools" | "weakref" | "gc" => REACHES,
        "sys" | "signal" | "resource" | "faulthandler" | "logging" | "ntpath" | "posixpath" | "genericpath" => SYSTEM,
        _ => "",
    };
    if !by_module.is_empty() {
        return Some(by_module);
    }
    Some(match (module, name) {
        ("builtins" | "__builtin__", "eval" | "exec" | "execfile" | "compile" | "__import__" | "breakpoint") => CODE,
        ("builtins" | "__builtin__", "getattr" | "setattr" | "delattr" | "vars" | "globals" | "locals") => REACHES,
        ("builtins" | "__builtin__", "map" | "filter" | "apply" | "reduce" | "type" | "super" | "property") => REACHES,
        ("builtins" | "__builtin__", "open" | "file" | "input") => FILES,
        ("builtins" | "__builtin__", "exit" | "quit" | "memoryview") => SYSTEM,
        ("builtins" | "__builtin__", name) if name.contains('.') => REACHES,
        ("functools" | "_functools", name) if name != "partial" => REACHES,
        ("torch", "load" | "hub") => UNPICKLES,
        ("torch.serialization", _) => UNPICKLES,
        ("torch.storage", name) if name.contains("load") => UNPICKLES,
        ("torch.utils.cpp_extension" | "torch._ops" | "torch.ops" | "torch.classes", _) => NATIVE,
        ("torch._inductor.codecache" | "torch.utils._config_module" | "torch.fx.graph_module", _) => CODE,
        ("torch.hub", _) => NETWORK,
        (module, _) if module.starts_with("torch.package") || module.starts_with("torch.distributed.rpc") => UNPICKLES,
        (module, _) if module.starts_with("torch._dynamo") || module.starts_with("torch.jit._script") => CODE,
        ("numpy", "load" | "loadtxt" | "fromfile" | "save" | "memmap") => FILES,
        (module, _) if module.starts_with("numpy.testing") || module.starts_with("numpy.f2py") => CODE,
        (module, _) if module.starts_with("numpy.distutils") => COMMANDS,
        ("numpy.lib.npyio" | "numpy.lib._npyio_impl", _) => UNPICKLES,
        ("pandas", "read_pickle") => UNPICKLES,
        ("copyreg" | "copy_reg", _) => REACHES,
        ("nturl2path" | "_aix_support" | "_osx_support" | "_winapi" | "winreg" | "_winreg", _) => COMMANDS,
        (_, name) if name.contains("__") => REACHES,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safety(dotted: &str) -> Safety {
        let (module, name) = dotted.rsplit_once('.').unwrap();
        Import::judge(module, name).safety
    }

    #[test]
    fn what_torch_writes_is_safe() {
        for name in [
            "torch._utils._rebuild_tensor_v2",
            "torch.FloatStorage",
            "torch.float8_e4m3fn",
            "collections.OrderedDict",
            "torch.nn.modules.linear.Linear",
            "torch.optim.adam.Adam",
            "builtins.set",
            "numpy.core.multiarray.scalar",
        ] {
            assert_eq!(safety(name), Safety::Safe, "{name}");
        }
    }

    #[test]
    fn a_class_of_ones_own_is_unknown() {
        for name in ["__main__.SimpleNet", "transformers.models.bert.BertModel", "torchvision.models.resnet.ResNet"] {
            assert_eq!(safety(name), Safety::Unknown, "{name}");
        }
    }

    #[test]
    fn what_runs_is_dangerous() {
        for name in [
            "os.system",
            "posix.system",
            "subprocess.Popen",
            "builtins.eval",
            "importlib.import_module",
            "torch.hub.load",
            "torch.load",
            "torch.serialization.load",
            "operator.attrgetter",
            "ctypes.CDLL",
            "numpy.testing._private.utils.runstring",
            "__main__.__builtins__",
        ] {
            assert_eq!(safety(name), Safety::Dangerous, "{name}");
        }
        let walked = Import::judge("torch.nn.modules.linear", "torch.os.system");
        assert_eq!(walked.safety, Safety::Dangerous);
        assert!(!Import::judge("os", "system").power.is_empty());
    }

    #[test]
    fn functions_of_layer_modules_are_not_taken_for_classes() {
        assert_ne!(safety("torch.nn.modules.module.register_module_forward_hook"), Safety::Safe);
    }
}
