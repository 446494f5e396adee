"""The ways to save a torch model, end to end and in both directions, with Python's own torch and amlrun-stage.

    pip install 'torch==2.13.*' numpy safetensors pandas mlflow-skinny
    AMLRUN_STAGE=target/release/amlrun-stage python torch_roads.py

Python trains SimpleNet and saves it each way, amlrun-stage evaluates each; amlrun-stage trains and persists, Python loads
each form. One line for each road and a count; exit code 1 when a road does not hold. Not part of `make test`: Python's
torch is several gigabytes.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "pipelines" / "simple_net" / "data"
LABEL = "diagnosis"
STAGE = os.environ.get("AMLRUN_STAGE", str(ROOT / "target" / "release" / "amlrun-stage"))

roads = []


class SimpleNet(torch.nn.Module):
    """The model of the question: two layers, its class kept in the training script."""

    def __init__(self, inputs=10, hidden=20, classes=2):
        super().__init__()
        self.fc1 = torch.nn.Linear(inputs, hidden)
        self.relu = torch.nn.ReLU()
        self.fc2 = torch.nn.Linear(hidden, classes)

    def forward(self, x):
        return self.fc2(self.relu(self.fc1(x)))


class Normed(torch.nn.Module):
    """A module that amlrun has no name for: batch norm, dropout, a shortcut."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(10, 16)
        self.norm = torch.nn.BatchNorm1d(16)
        self.drop = torch.nn.Dropout(0.1)
        self.second = torch.nn.Linear(16, 16)
        self.last = torch.nn.Linear(16, 2)

    def forward(self, x):
        y = torch.tanh(self.norm(self.first(x)))
        y = y + self.drop(torch.relu(self.second(y)))
        return self.last(y)


def road(name):
    """Runs a road, and tells how it went."""

    def run(function):
        try:
            told = function() or ""
            roads.append(True)
            print(f"ok    {name}{': ' if told else ''}{told}", flush=True)
        except Exception as error:  # every road is tried
            roads.append(False)
            print(f"FAIL  {name}: {type(error).__name__}: {error}", flush=True)

    return run


def stage(*words, fails=False):
    """Runs amlrun-stage; its standard output, or its standard error when it has to fail."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "AZUREML_"))}
    words = [str(word) for word in words]
    ran = subprocess.run([STAGE, *words], capture_output=True, text=True, env=environment, check=False)
    assert (ran.returncode != 0) == fails, f"{' '.join(words)} gave {ran.returncode}: {ran.stdout}{ran.stderr}"
    return ran.stderr if fails else ran.stdout


def table(name):
    with open(DATA / name, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [column for column in rows[0] if column != LABEL]
    values = numpy.array([[float(row[column]) for column in names] for row in rows])
    return names, values, [row[LABEL] for row in rows]


NAMES, TRAIN, TRAIN_LABELS = table("train.csv")
_, TEST, TEST_LABELS = table("test.csv")
CLASSES = sorted(set(TRAIN_LABELS))
MEAN, STD = TRAIN.mean(axis=0), TRAIN.std(axis=0)


def rows(values):
    return torch.from_numpy(((values - MEAN) / STD).astype(numpy.float32))


def truth(labels):
    return torch.tensor([CLASSES.index(label) for label in labels])


def fit(model, epochs=60):
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    inputs, classes = rows(TRAIN), truth(TRAIN_LABELS)
    model.train()
    for _ in range(epochs):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), classes).backward()
        optimizer.step()
    model.eval()
    return optimizer


def accuracy(model):
    with torch.no_grad():
        return (model(rows(TEST)).argmax(dim=1) == truth(TEST_LABELS)).double().mean().item()


def log_loss(model):
    with torch.no_grad():
        return torch.nn.functional.cross_entropy(model(rows(TEST)).double(), truth(TEST_LABELS)).item()


def evaluated(model, report, *described):
    """The metrics that amlrun-stage finds for a file."""
    stage("evaluate", "--model", model, "--data", DATA / "test.csv", "--report", report, *described)
    return json.loads((Path(report) / "metrics.json").read_text())["metrics"]


def from_python(folder):
    torch.manual_seed(0)
    model = SimpleNet()
    optimizer = fit(model)
    plain = torch.nn.Sequential(
        torch.nn.Linear(10, 20), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(20, 2)
    )
    fit(plain)
    normed = Normed()
    fit(normed)
    state = model.state_dict()
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    checkpoint = {
        "epoch": 60,
        "model_state_dict": state,
        "optimizer_state_dict": optimizer.state_dict(),
        "loss": 0.1,
    }
    whole = {
        "whole model, its class elsewhere": (model, "whole.pth", lambda path: torch.save(model, path)),
        "whole model, a Sequential": (plain, "sequential.pth", lambda path: torch.save(plain, path)),
        "whole model, legacy format": (
            model,
            "whole-legacy.pth",
            lambda path: torch.save(model, path, _use_new_zipfile_serialization=False),
        ),
    }
    weights = {
        "state_dict": (model, "state.pth", lambda path: torch.save(state, path)),
        "state_dict of a Sequential": (plain, "state-seq.pth", lambda path: torch.save(plain.state_dict(), path)),
        "state_dict, legacy format": (
            model,
            "legacy.pt",
            lambda path: torch.save(state, path, _use_new_zipfile_serialization=False),
        ),
        "state_dict under module.": (model, "parallel.pth", lambda path: torch.save(wrapped, path)),
        "checkpoint dictionary": (model, "checkpoint.pth", lambda path: torch.save(checkpoint, path)),
        "checkpoint dictionary under module.": (
            model,
            "checkpoint-parallel.pth",
            lambda path: torch.save({"epoch": 3, "state_dict": wrapped}, path),
        ),
        "state_dict of a compiled model": (
            model,
            "compiled.pth",
            lambda path: torch.save({f"_orig_mod.{name}": tensor for name, tensor in state.items()}, path),
        ),
        "safetensors": (model, "state.safetensors", lambda path: save_file(state, path)),
        "safetensors of a Sequential": (
            plain,
            "seq.safetensors",
            lambda path: save_file(plain.state_dict(), path),
        ),
    }
    scripts = {
        "TorchScript, scripted": (model, "scripted.pt", lambda path: torch.jit.script(model).save(path)),
        "TorchScript, traced": (
            model,
            "traced.pt",
            lambda path: torch.jit.trace(model, rows(TEST[:2])).save(path),
        ),
        "TorchScript of another network": (
            normed,
            "normed.pt",
            lambda path: torch.jit.script(normed).save(path),
        ),
    }
    learned = ["--training-data", DATA / "train.csv", "--label", LABEL]
    for name, (wanted, file, save) in {**whole, **weights, **scripts}.items():
        path = folder / file

        @road(f"Python saves, amlrun evaluates: {name}")
        def _(wanted=wanted, path=path, save=save):
            save(str(path))
            found = evaluated(path, folder / "report", *learned)
            assert found["accuracy"] == accuracy(wanted), (found["accuracy"], accuracy(wanted))
            off = abs(found["log_loss"] - log_loss(wanted))
            assert off < 1e-6, f"log loss is off by {off}"
            return f"accuracy {found['accuracy']:.4f} in both, log loss off by {off:.0e}"

        @road(f"Python saves, amlrun persists, Python loads: {name}")
        def _(wanted=wanted, path=path):
            target = folder / f"persisted-{path.stem}-{path.suffix[1:]}"
            forms = "torchscript,safetensors,pth"
            stage("persist", "--checkpoint", path, "--model", target, "--format", forms, *learned)
            module = torch.jit.load(str(target / "model.pt")).eval()
            with torch.no_grad():
                assert torch.equal(module(rows(TEST)), wanted(rows(TEST))), "other outputs"
            state = torch.load(target / "model.pth", weights_only=True)
            for left, right in zip(state.values(), wanted.state_dict().values()):
                assert torch.equal(left, right), "other weights"
            return "the same outputs and weights, bit for bit"

    @road("Python saves with an architecture.json beside, amlrun evaluates")
    def _():
        beside = folder / "beside"
        beside.mkdir()
        columns = [{"name": n, "mean": m, "std": s} for n, m, s in zip(NAMES, MEAN.tolist(), STD.tolist())]
        description = {
            "format": 1,
            "kind": "SimpleNet",
            "hidden": [20],
            "dropout": 0.0,
            "features": columns,
            "label": LABEL,
            "classes": CLASSES,
        }
        (beside / "architecture.json").write_text(json.dumps(description))
        torch.save(state, beside / "net.pth")
        assert evaluated(beside / "net.pth", folder / "report")["accuracy"] == accuracy(model)

    @road("a mismatch is told tensor by tensor")
    def _():
        torch.save(SimpleNet(hidden=21).state_dict(), folder / "other.pth")
        described = ["--architecture", folder / "beside" / "architecture.json"]
        words = ["evaluate", "--model", folder / "other.pth", "--data", DATA / "test.csv", "--report", folder / "r"]
        told = stage(*words, *described, fails=True)
        for part in ("reshaped    fc1.weight  [20, 10] -> [21, 10]", "reshaped    fc2.weight  [2, 20] -> [2, 21]"):
            assert part in told, told

    @road("a whole model of other layers: what is missing is told")
    def _():
        torch.save(normed, folder / "normed.pth")
        words = ["evaluate", "--model", folder / "normed.pth", "--data", DATA / "test.csv", "--report", folder / "r"]
        told = stage(*words, *learned, fails=True)
        assert "not the network that uses them" in told and "BatchNorm1d" in told, told

    @road("Python saves a checkpoint with its optimizer, both train it further")
    def _():
        words = ["--data", DATA / "train.csv", "--label", LABEL, "--resume", folder / "checkpoint.pth"]
        more = ["--learning-rate", 0.01, "--batch-size", 1000, "--validation-share", 0, "--epochs", 10]
        told = stage("train", *words, *more, "--checkpoint", folder / "c-further")
        assert "using the optimizer state (adam) of the file" in told, told
        stage("persist", "--checkpoint", folder / "c-further", "--model", folder / "m-further")
        saved = torch.load(folder / "checkpoint.pth", weights_only=True)
        further = SimpleNet()
        further.load_state_dict(saved["model_state_dict"])
        optimizer = torch.optim.Adam(further.parameters(), lr=0.01)
        optimizer.load_state_dict(saved["optimizer_state_dict"])
        for _ in range(10):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(further(rows(TRAIN)), truth(TRAIN_LABELS)).backward()
            optimizer.step()
        found = load_file(folder / "m-further" / "model.safetensors")
        off = max((found[name] - tensor).abs().max().item() for name, tensor in further.state_dict().items())
        moved = max((saved["model_state_dict"][name] - tensor).abs().max().item() for name, tensor in found.items())
        assert off < moved / 1000, f"weights are off by {off} after moving by {moved}"
        return f"after 10 epochs the weights moved by {moved:.2g} and are off by at most {off:.0e}"

    @road("Python scripts another network, amlrun persists, mlflow.pyfunc.load_model predicts")
    def _():
        import mlflow
        import pandas

        target = folder / "m-normed-mlflow"
        stage("persist", "--checkpoint", folder / "normed.pt", "--model", target, "--format", "mlflow", *learned)
        table = mlflow.pyfunc.load_model(str(target / "mlflow")).predict(pandas.DataFrame(TEST, columns=NAMES))
        with torch.no_grad():
            probabilities = torch.softmax(normed(rows(TEST)).double(), dim=1).numpy()
        off = max(
            numpy.abs(table[f"probability_{name}"].to_numpy() - probabilities[:, number]).max()
            for number, name in enumerate(CLASSES)
        )
        assert off < 1e-6, f"probabilities are off by {off}"
        return f"probabilities off by at most {off:.0e}"

    for name, option, file in [
        ("a state_dict", "--resume", "state.pth"),
        ("a whole model", "--resume", "whole.pth"),
        ("a scripted module", "--module", "scripted.pt"),
        ("a scripted module of another network", "--module", "normed.pt"),
    ]:

        @road(f"Python saves {name}, amlrun trains it further, Python loads it")
        def _(option=option, file=file):
            ckpt, target = folder / f"c-{file}", folder / f"m-{file}"
            words = ["--data", DATA / "train.csv", "--label", LABEL, option, folder / file]
            told = stage("train", *words, "--epochs", 5, "--checkpoint", ckpt)
            stage("persist", "--checkpoint", ckpt, "--model", target, "--format", "torchscript,safetensors,pth")
            found = evaluated(target, folder / "report")
            description = json.loads((target / "architecture.json").read_text())
            mean = numpy.array([column["mean"] for column in description["features"]])
            std = numpy.array([column["std"] for column in description["features"]])
            module = torch.jit.load(str(target / "model.pt")).eval()
            assert set(module.state_dict()) == set(torch.load(target / "model.pth", weights_only=True))
            with torch.no_grad():
                logits = module(torch.from_numpy(((TEST - mean) / std).astype(numpy.float32)))
            share = (logits.argmax(dim=1) == truth(TEST_LABELS)).double().mean().item()
            assert found["accuracy"] == share > 0.85, (found["accuracy"], share)
            before = torch.jit.load(str(folder / file)) if option == "--module" else model
            old = list(before.state_dict().values())
            new = list(module.state_dict().values())
            assert len(old) == len(new) and not torch.equal(old[0], new[0]), "nothing was learned"
            return f"accuracy {share:.4f} in both; {told.splitlines()[-2].strip()}"


def to_python(folder):
    ckpt, target = folder / "native-checkpoint", folder / "native"
    words = ["--data", DATA / "train.csv", "--label", LABEL, "--dropout", 0.1, "--hidden", 20, "--epochs", 60]
    stage("train", *words, "--checkpoint", ckpt)
    stage("persist", "--checkpoint", ckpt, "--model", target, "--format", "torchscript,safetensors,pth,mlflow")
    found = evaluated(target, folder / "report")
    description = json.loads((target / "architecture.json").read_text())
    mean = numpy.array([column["mean"] for column in description["features"]])
    std = numpy.array([column["std"] for column in description["features"]])
    inputs = torch.from_numpy(((TEST - mean) / std).astype(numpy.float32))
    module = torch.jit.load(str(target / "model.pt"))
    with torch.no_grad():
        wanted = module(inputs)

    def same(outputs):
        off = (outputs - wanted).abs().max().item()
        assert torch.equal(outputs, wanted), f"outputs are off by at most {off}"
        return "the same outputs, bit for bit"

    def rebuilt(state):
        model = SimpleNet()
        model.load_state_dict(state)
        model.eval()
        with torch.no_grad():
            return same(model(inputs))

    @road("amlrun trains and persists, torch.jit.load: model.pt")
    def _():
        share = (wanted.argmax(dim=1) == truth(TEST_LABELS)).double().mean().item()
        assert share == found["accuracy"], (share, found["accuracy"])
        return f"accuracy {share:.4f} in both"

    @road("amlrun trains and persists, torch.load(weights_only=True): model.pth")
    def _():
        return rebuilt(torch.load(target / "model.pth", weights_only=True))

    @road("amlrun trains and persists, torch.load(mmap=True): model.pth")
    def _():
        return rebuilt(torch.load(target / "model.pth", weights_only=True, mmap=True))

    @road("amlrun trains and persists, safetensors: model.safetensors")
    def _():
        return rebuilt(load_file(target / "model.safetensors"))

    @road("amlrun trains and persists, mlflow.pyfunc.load_model: mlflow/")
    def _():
        import mlflow
        import pandas

        model = mlflow.pyfunc.load_model(str(target / "mlflow"))
        given = pandas.DataFrame(TEST, columns=NAMES)
        given[LABEL] = TEST_LABELS  # one column more does no harm
        table = model.predict(given[list(reversed(given.columns))])
        share = sum(a == b for a, b in zip(table["prediction"], TEST_LABELS)) / len(TEST_LABELS)
        assert share == found["accuracy"], (share, found["accuracy"])
        probabilities = torch.softmax(wanted.double(), dim=1).numpy()
        for number, name in enumerate(CLASSES):
            off = numpy.abs(table[f"probability_{name}"].to_numpy() - probabilities[:, number]).max()
            assert off == 0, f"probabilities are off by at most {off}"
        return f"accuracy {share:.4f} in both, the same probabilities bit for bit (mlflow {mlflow.__version__})"

    @road("amlrun evaluates its own forms: model.pth alone, mlflow/")
    def _():
        described = ["--architecture", target / "architecture.json"]
        assert evaluated(target / "model.pth", folder / "report", *described) == found
        assert evaluated(target / "mlflow", folder / "report") == found


def main():
    with tempfile.TemporaryDirectory() as folder:
        for direction in (from_python, to_python):
            try:
                direction(Path(folder))
            except Exception as error:  # what several roads begin with
                roads.append(False)
                print(f"FAIL  {direction.__name__}: {type(error).__name__}: {error}")
    held = sum(roads)
    print(f"{held} of {len(roads)} roads hold (torch {torch.__version__})")
    sys.exit(0 if held == len(roads) else 1)


if __name__ == "__main__":
    main()
