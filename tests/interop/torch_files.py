"""Model files between Python's torch and amlrun, both ways, bit for bit.

Python writes files in every form, dtype, nesting and format it has, and beside each the bytes of its tensors. The Rust
test `model_interop` reads them all and compares, then writes each anew as .pth and .safetensors. Python loads those with
`torch.load(weights_only=True)` and safetensors, and compares again.

Needs torch==2.13.0, safetensors and numpy; torchvision is used when it is there. Run from the repository root:

    python tests/interop/torch_files.py [FOLDER]
"""

import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections import OrderedDict
from pathlib import Path

import torch
import torch.nn as nn
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")
torch.manual_seed(0)

DTYPES = """bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex32 complex64
complex128 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu""".split()
FORMATS = {"zip": True, "legacy": False}


class SimpleNet(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.fc1 = nn.Linear(10, hidden)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden, 2)

    def forward(self, x):
        return self.fc2(self.relu(self.fc1(x)))


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.head = nn.Linear(8 * 16, 5, bias=False)
        self.register_buffer("scale", torch.tensor(0.5))
        self.register_buffer("cache", torch.zeros(3), persistent=False)

    def forward(self, x):
        return self.head(self.features(x).flatten(1)) * self.scale


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 6)
        self.out = nn.Linear(6, 30, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, x):
        return self.out(self.embed(x))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 50)
        self.head.weight = self.embed.weight
        self.position = nn.Parameter(torch.randn(1, 12, 16))

    def forward(self, x):
        return self.head(self.norm(self.encoder(self.embed(x) + self.position[:, : x.shape[1]])))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 6, num_layers=2, bidirectional=True)
        self.extra = nn.ParameterDict({"a": nn.Parameter(torch.randn(2)), "b": nn.Parameter(torch.randn(3))})
        self.more = nn.ParameterList([torch.randn(2), torch.randn(1)])

    def forward(self, x):
        return self.rnn(x)[0]


def values(dtype, *shape):
    kind = getattr(torch, dtype)
    count = 1
    for side in shape:
        count *= side
    width = torch.empty(0, dtype=kind).element_size()
    if dtype == "bool":
        return torch.randint(0, 2, shape).bool()
    # Random bytes: every bit must survive, those of NaNs as well.
    raw = torch.randint(0, 256, (count * width,), dtype=torch.uint8)
    return raw.view(kind).reshape(shape)


def raw(tensor):
    # A conjugate or negative view is saved as a flag and not as numbers: none are made here.
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy().tobytes()) if flat.numel() else b""


def dtype_of(tensor):
    return str(tensor.dtype).removeprefix("torch.")


def shapes(dtype):
    base = values(dtype, 4, 6)
    whole = values(dtype, 5, 3)
    return OrderedDict(
        plain=values(dtype, 3, 4),
        scalar=values(dtype),
        empty=torch.empty((0, 3), dtype=getattr(torch, dtype)),
        transposed=values(dtype, 2, 5).t(),
        middle=base[1:3, 2:5],
        column=base[:, 1],
        expanded=values(dtype, 1, 3).expand(4, 3),
        steps=values(dtype, 9)[::2],
        one=whole,
        same=whole,
        lone_slice=values(dtype, 100)[40:50],
        deep=values(dtype, 2, 1, 3, 1, 2).permute(4, 0, 2, 1, 3),
    )


def flatten(value, name="", seen=()):
    """Names and tensors as amlrun names them: keys and positions with points between."""
    if id(value) in seen:
        return {}
    if isinstance(value, torch.Tensor):
        return {name: value}
    if isinstance(value, nn.Module):
        items = value.state_dict().items()
    elif isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {}
    found = {}
    for key, inner in items:
        found.update(flatten(inner, f"{name}.{key}" if name else str(key), (*seen, id(value))))
    return found


class Files:
    def __init__(self, folder):
        self.folder = folder
        self.manifest = []
        self.tensors = {}

    def expect(self, file, tensors, kind, parameters=None):
        blob = self.folder / f"{len(self.manifest):03}.raw"
        entries, offset = [], 0
        with open(blob, "wb") as out:
            for name, tensor in tensors.items():
                data = raw(tensor)
                out.write(data)
                entries.append({"name": name, "dtype": dtype_of(tensor), "shape": list(tensor.shape), "offset": offset, "bytes": len(data)})
                offset += len(data)
        entry = {"file": file, "kind": kind, "raw": blob.name, "tensors": entries}
        if parameters is not None:
            entry["parameters"] = parameters
        self.manifest.append(entry)
        self.tensors[file] = tensors

    def save(self, name, value, kind, protocol=2, formats=FORMATS):
        for format in formats:
            file = f"{name}-{format}.pth"
            try:
                torch.save(value, self.folder / file, pickle_protocol=protocol, _use_new_zipfile_serialization=FORMATS[format])
            except Exception as error:  # a dtype that torch itself cannot save in this format
                print(f"  torch cannot save {file}: {type(error).__name__}: {str(error)[:80]}")
                continue
            parameters = sum(p.numel() for p in value.parameters()) if isinstance(value, nn.Module) else None
            self.expect(file, flatten(value), kind, parameters)


def make(folder):
    files = Files(folder)
    for dtype in DTYPES:
        try:
            state = shapes(dtype)
        except Exception as error:
            print(f"  torch cannot make {dtype}: {str(error)[:80]}")
            continue
        files.save(f"dtype-{dtype}", state, "state_dict")
    models = {
        "simple": SimpleNet(),
        "conv": ConvNet(),
        "tied": Tied(),
        "transformer": Transformer(),
        "recurrent": Recurrent(),
        "half": SimpleNet().half(),
        "bfloat": ConvNet().bfloat16(),
        "sequential": nn.Sequential(OrderedDict(a=nn.Linear(3, 4), b=nn.Tanh(), c=nn.Linear(4, 1))),
        "parallel": nn.DataParallel(SimpleNet()),
        "channels_last": ConvNet().to(memory_format=torch.channels_last),
    }
    try:
        import torchvision

        models["resnet18"] = torchvision.models.resnet18(num_classes=10)
    except ImportError:
        print("  torchvision is not there: no resnet18")
    for name, model in models.items():
        files.save(f"module-{name}", model, "module")
        files.save(f"state-{name}", model.state_dict(), "state_dict")
    for protocol in (2, 3, 4, 5):
        files.save(f"protocol{protocol}-state", SimpleNet().state_dict(), "state_dict", protocol)
        files.save(f"protocol{protocol}-module", Tied(), "module", protocol)
        files.save(f"protocol{protocol}-nested", {"a": [{"b": (torch.arange(3), {"c": torch.eye(2)})}], 7: torch.ones(1)}, "checkpoint", protocol)
    for optimizer in (torch.optim.Adam, torch.optim.SGD):
        model = ConvNet()
        options = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
        steps = optimizer(model.parameters(), lr=0.1, **options)
        model(torch.randn(2, 3, 8, 8)).sum().backward()
        steps.step()
        files.save(
            f"checkpoint-{optimizer.__name__}",
            {"epoch": 3, "loss": 0.25, "model_state_dict": model.state_dict(), "optimizer_state_dict": steps.state_dict()},
            "checkpoint",
        )
    lightning = {"epoch": 1, "global_step": 10, "pytorch-lightning_version": "2.5.0", "state_dict": {f"net.{k}": v for k, v in SimpleNet().state_dict().items()}, "callbacks": {}, "loops": {"x": None}}
    files.save("checkpoint-lightning", lightning, "checkpoint")
    files.save("parameters", dict(SimpleNet().named_parameters()), "state_dict")
    files.save("list", [torch.arange(4), torch.arange(5)], "checkpoint")
    big = torch.arange(1000.0)
    files.save("views", {"head": big[:10], "tail": big[990:], "all": big}, "state_dict")
    for name in ("simple", "conv", "tied", "recurrent", "resnet18", "half"):
        if name in models:
            file = f"script-{name}.pt"
            scripted = torch.jit.script(models[name])
            scripted.save(str(folder / file))
            files.expect(file, flatten(dict(scripted.state_dict())), "torchscript")
    traced = torch.jit.trace(ConvNet().eval(), torch.randn(1, 3, 8, 8))
    traced.save(str(folder / "traced.pt"))
    files.expect("traced.pt", dict(traced.state_dict()), "torchscript")
    exported = torch.export.export(ConvNet().eval(), (torch.randn(1, 3, 8, 8),))
    torch.export.save(exported, folder / "exported.pt2")
    files.expect("exported.pt2", dict(exported.state_dict), "export")
    shards = {}
    for dtype in DTYPES:
        if dtype in ("complex32", "complex128"):
            continue
        file = f"safe-{dtype}.safetensors"
        state = {k: v.contiguous().clone() for k, v in shapes(dtype).items()}
        try:
            save_file(state, folder / file, metadata={"format": "pt"})
        except Exception as error:
            print(f"  safetensors cannot save {dtype}: {str(error)[:80]}")
            continue
        files.expect(file, state, "safetensors")
        shards.update({f"{dtype}.{k}": v for k, v in state.items()})
    names = sorted(shards)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, members in parts.items():
        save_file({n: shards[n] for n in members}, folder / file)
    index = {"metadata": {}, "weight_map": {n: file for file, members in parts.items() for n in members}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    files.expect("model.safetensors.index.json", shards, "safetensors")
    return files


def bits_equal(left, right):
    return left.dtype == right.dtype and left.shape == right.shape and raw(left) == raw(right)


def check(folder, tensors):
    """Loads everything that amlrun wrote; gives the counts of files and of tensors."""
    written = json.loads((folder / "written.json").read_text())
    counts = {"pth": 0, "safetensors": 0}
    compared = 0
    for entry in written:
        path = folder / entry["file"]
        if entry["form"] == "pth":
            loaded = torch.load(path, weights_only=True)
            mapped = torch.load(path, weights_only=True, mmap=True)
        else:
            loaded = mapped = load_file(path)
        wanted = tensors[entry["of"]]
        if entry["dtype"]:
            to = getattr(torch, entry["dtype"])
            floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
            wanted = {k: v.to(to) if v.dtype in floats else v for k, v in wanted.items()}
        assert set(loaded) == set(wanted), f"{path}: {set(loaded) ^ set(wanted)}"
        for name, tensor in wanted.items():
            same = bits_equal(loaded[name], tensor) and bits_equal(mapped[name], tensor)
            # A NaN may be rounded to any NaN.
            if not same and entry["dtype"]:
                same = torch.equal(torch.nan_to_num(loaded[name].double(), nan=1.5), torch.nan_to_num(tensor.double(), nan=1.5))
            assert same, f"{path}: {name} differs"
            compared += 1
        if entry["form"] == "pth" and not entry["dtype"]:
            for one in wanted:
                for two in wanted:
                    if wanted[one].numel() and wanted[one].data_ptr() == wanted[two].data_ptr():
                        assert loaded[one].data_ptr() == loaded[two].data_ptr(), f"{path}: {one} and {two} are no longer tied"
        counts[entry["form"]] += 1
    return counts, compared


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        print(f"torch {torch.__version__}: writing files")
        files = make(folder)
        (folder / "manifest.json").write_text(json.dumps(files.manifest))
        command = ["cargo", "test", "--quiet", "--test", "behaviour", "model_interop::", "--", "--ignored", "--nocapture"]
        subprocess.run(command, check=True, env={**os.environ, "AMLRUN_INTEROP": str(folder)})
        counts, compared = check(folder, files.tensors)
        count = sum(len(entry["tensors"]) for entry in files.manifest)
        print(f"{len(files.manifest)} files of Python read by amlrun, {count} tensors equal bit for bit")
        print(f"{sum(counts.values())} files of amlrun loaded by Python ({counts['pth']} .pth, {counts['safetensors']} .safetensors), {compared} tensors equal bit for bit")
        assert len(files.manifest) >= 80 and sum(counts.values()) >= 80


if __name__ == "__main__":
    main()
