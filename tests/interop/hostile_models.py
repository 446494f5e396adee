"""Model files that run code when Python loads them, and ordinary ones: what `amlrun` says, with the real Python as judge.

Every hostile file is really loaded, in a process of its own, by each loader that takes it: `torch.load(weights_only=False)`,
`torch.jit.load`, `torch.export.load`, `pickle`, `joblib`, `numpy` and MLflow. Of those that ran their payload (which only
touches a file), none may be called safe, none may be registered without `--allow-pickle`, by `model create`, as a named
output of a step or through MLflow's REST, and none may make `amlrun` panic. Of the ordinary ones none may be called
dangerous, and all must be registered.

    python tests/interop/hostile_models.py [AMLRUN] [--keep FOLDER] [--only TEXT] [--list]
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from models import hostile, ordinary

SECONDS = 60


def load(path):
    """Loads a file or folder in every way that someone might. Runs in a process that is thrown away."""
    import joblib
    import numpy
    import pickle
    import torch

    def attempt(what):
        try:
            what()
        except BaseException:
            pass

    def unpickle():
        with open(path, "rb") as file:
            while True:
                pickle.load(file)

    def arrays():
        loaded = numpy.load(path, allow_pickle=True)
        for name in getattr(loaded, "files", []):
            loaded[name]

    if path.is_dir():
        import mlflow

        for described in sorted(path.rglob("MLmodel")):
            attempt(lambda: mlflow.pyfunc.load_model(str(described.parent)))
        files = [inner for inner in sorted(path.rglob("*")) if inner.is_file() and inner.suffix != ".py" and inner.name != "MLmodel"]
        for inner in files[:200]:
            load(inner)
        return
    attempt(lambda: torch.load(path, weights_only=False))
    attempt(lambda: torch.jit.load(path))
    if path.suffix == ".pt2":
        attempt(lambda: torch.export.load(path))
    attempt(unpickle)
    attempt(lambda: joblib.load(path))
    attempt(arrays)


def run_payloads(cases, pwn):
    """Which cases run their payload: a process each, forked from one that has imported everything."""
    import joblib, mlflow, numpy, pandas, sklearn, torch, torch.export, warnings  # noqa: F401, E401

    warnings.filterwarnings("ignore")
    ran = set()
    waiting = {}
    todo = list(cases)
    while todo or waiting:
        while todo and len(waiting) < (os.cpu_count() or 2):
            case = todo.pop()
            child = os.fork()
            if child == 0:
                signal.alarm(SECONDS)
                os.setsid()
                null = os.open(os.devnull, os.O_RDWR)
                for stream in (0, 1, 2):
                    os.dup2(null, stream)
                work = tempfile.mkdtemp()
                os.chdir(work)
                try:
                    load(case.path)
                finally:
                    shutil.rmtree(work, ignore_errors=True)
                    os._exit(0)
            waiting[child] = case
        child, _ = os.wait()
        case = waiting.pop(child)
        if list(pwn.glob(case.name + "*")):
            ran.add(case.name)
    return ran


class Amlrun:
    def __init__(self, binary, home):
        self.binary, self.home = binary, home

    def __call__(self, *arguments, **more):
        command = [self.binary, "--home", str(self.home), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, **more)

    def verdict(self, path):
        told = self("model", "inspect", path, "-o", "json")
        panicked = "panicked" in told.stderr or told.returncode not in (0, 1)
        if told.returncode == 0:
            return json.loads(told.stdout)["safety"], panicked
        return ("no model" if "is not a model file" in told.stderr or "contains no model file" in told.stderr else "cannot be read"), panicked

    def register(self, name, path):
        told = self("model", "create", "-n", name, "-p", path)
        return told.returncode == 0, "panicked" in told.stderr or told.returncode not in (0, 1), told.stderr


def judge(binary, work, options):
    pwn, files = work / "pwn", work / "hostile"
    pwn.mkdir(parents=True, exist_ok=True)
    cases = [case for case in hostile.make(files, pwn) if options.only in f"{case.family}/{case.name}"]
    amlrun = Amlrun(binary, work / "home")

    def ask(case):
        verdict, panicked = amlrun.verdict(case.path)
        number = f"m{cases.index(case)}"
        registered, again, _ = amlrun.register(number, case.path)
        return case, verdict, registered, panicked or again

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        told = list(pool.map(ask, cases))
    assert not list(pwn.iterdir()), "amlrun itself ran a payload"
    ran = run_payloads(cases, pwn)
    rows = defaultdict(Counter)
    wrong = []
    for case, verdict, registered, panicked in told:
        row = rows[case.family]
        row["files"] += 1
        if panicked:
            wrong.append(f"{case.name}: amlrun panicked")
        if options.list:
            print(f"{case.family:32} {'ran' if case.name in ran else '-':4} {verdict:18} {'registered' if registered else ''} {case.name}")
        if case.name not in ran:
            continue
        row["ran"] += 1
        row[verdict] += 1
        row["registered"] += registered
        if verdict == "safe" or registered:
            wrong.append(f"{case.name}: ran its payload, is called {verdict}{', and was registered' if registered else ''}")
    table(rows, ["files", "ran", "safe", "unknown", "cannot_be_judged", "cannot be read", "dangerous", "no model", "registered"])
    executed = [case for case in cases if case.name in ran]
    return executed, wrong


def table(rows, columns):
    width = max(map(len, rows), default=0)
    print(f"{'':{width}}  " + "  ".join(columns))
    total = Counter()
    for family in sorted(rows):
        total.update(rows[family])
        print(f"{family:{width}}  " + "  ".join(f"{rows[family][column]:{len(column)}}" for column in columns))
    print(f"{'all':{width}}  " + "  ".join(f"{total[column]:{len(column)}}" for column in columns))


STEP = """$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
type: command
code: ./code
command: python step.py %s ${{outputs.model}}
environment: azureml:any@latest
outputs:
  model: {type: custom_model, name: by_output_%d}
"""
SCRIPT = """import os, shutil, sys
import mlflow
from mlflow.exceptions import MlflowException
source, output = sys.argv[1], sys.argv[2]
os.makedirs(output, exist_ok=True)
name = os.path.basename(source)
(shutil.copytree if os.path.isdir(source) else shutil.copy)(source, os.path.join(output, name))
with mlflow.start_run() as run:
    (mlflow.log_artifacts if os.path.isdir(source) else mlflow.log_artifact)(source, "model")
    client = mlflow.MlflowClient()
    try:
        client.create_registered_model("by_rest")
    except MlflowException:
        pass
    try:
        client.create_model_version("by_rest", f"{run.info.artifact_uri}/model", run.info.run_id)
        print("REGISTERED")
    except MlflowException as refused:
        print("REFUSED" if "was not registered because" in str(refused) else "FAILED", str(refused)[:300])
"""


def other_roads(binary, work, executed, welcome):
    """A sample of each family through a step's named output and through MLflow's REST."""
    firsts = {}
    for case in executed:
        firsts.setdefault(case.family, case)
    wrong = []
    folder = work / "steps"
    (folder / "code").mkdir(parents=True, exist_ok=True)
    (folder / "code" / "step.py").write_text(SCRIPT)
    amlrun = Amlrun(binary, work / "home-steps")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    refused = 0
    for number, case in enumerate(firsts.values()):
        (folder / "job.yml").write_text(STEP % (f'"{case.path}"', number))
        ran = amlrun("run", folder / "job.yml", "--name", f"r{number}", env={**os.environ, "PATH": path})
        logs = amlrun("logs", f"r{number}")
        refused += "REFUSED" in logs.stdout
        if "REGISTERED" in logs.stdout or "REFUSED" not in logs.stdout or "panicked" in ran.stderr + logs.stdout:
            wrong.append(f"{case.name} through MLflow's REST:\n{logs.stdout[-800:]}{ran.stderr[-800:]}")
    listed = amlrun("model", "list", "--query", "[].name", "-o", "tsv").stdout.split()
    if listed:
        wrong.append(f"registered by a step: {listed}")
    for number, case in enumerate(welcome):
        (folder / "job.yml").write_text(STEP % (f'"{case.path}"', 1000 + number))
        ran = amlrun("run", folder / "job.yml", "--name", f"w{number}", env={**os.environ, "PATH": path})
        if ran.returncode or "REGISTERED" not in amlrun("logs", f"w{number}").stdout:
            wrong.append(f"{case.name} is not registered by a step: {ran.stdout[-800:]}{ran.stderr[-800:]}")
    print(f"{len(welcome)} ordinary ones go the same ways")
    print(f"{len(firsts)} of them as named outputs of steps and through MLflow's REST: {refused} refused, {len(listed)} registered")
    return wrong


def promises(amlrun, case):
    """Runs the line that `model inspect` prints for a file of torch. What it loads with `weights_only=False` must be what
    `weights_only=True` refuses."""
    import pickle

    import safetensors.torch  # noqa: F401
    import torch

    told = json.loads(amlrun("model", "inspect", case.path, "-o", "json").stdout or "{}")
    lines = [note.removeprefix("load it with ") for note in told.get("notes", []) if note.startswith("load it with ")]
    before = os.getcwd()
    for line in lines:
        os.chdir(case.path if case.path.is_dir() else case.path.parent)
        try:
            eval(line, {"torch": torch, "safetensors": __import__("safetensors.torch")})
            if "weights_only=False" in line:
                try:
                    eval(line.replace("weights_only=False", "weights_only=True"), {"torch": torch})
                    return f"{case.name}: {line} is said, and weights_only=True opens it"
                except pickle.UnpicklingError:
                    pass
        except Exception as error:
            return f"{case.name}: {line} is said, and ends with {error!r:.300}"
        finally:
            os.chdir(before)
    return None if lines or case.path.is_dir() else ""


def ordinary_ones(binary, work, options):
    cases = [case for case in ordinary.make(work / "ordinary") if options.only in f"{case.family}/{case.name}"]
    amlrun = Amlrun(binary, work / "home-ordinary")
    rows, wrong, kept = defaultdict(Counter), [], 0
    for number, case in enumerate(cases):
        verdict, panicked = amlrun.verdict(case.path)
        registered, again, told = amlrun.register(f"m{number}", case.path)
        rows[case.family].update({"files": 1, verdict: 1, "registered": registered, "warned": "warning" in told})
        if options.list:
            print(f"{case.family:32} {verdict:18} {'registered' if registered else ''} {case.name}")
        if verdict == "dangerous" or not registered or panicked or again or (verdict == "unknown") != ("warning" in told):
            wrong.append(f"{case.name} ({case.family}) is {verdict}, {'registered' if registered else 'not registered'}: {told.strip()[-400:]}")
        broken = promises(amlrun, case)
        kept += broken is None
        wrong += [broken] if broken else []
    table(rows, ["files", "safe", "unknown", "cannot_be_judged", "dangerous", "registered", "warned"])
    print(f"{kept} of them loaded by the line that model inspect prints")
    return cases, wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("amlrun", nargs="?", default="target/release/amlrun")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    binary = os.path.abspath(options.amlrun)
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.keep or Path(temporary)).resolve()
        print("hostile files, of which those count that ran their payload")
        executed, wrong = judge(binary, work, options)
        print("\nordinary files")
        cases, more = ordinary_ones(binary, work, options)
        wrong += more
        print("\nthe other ways into the registry")
        names = ["boosting.pkl", "boosting_pickle", "mlp.joblib", "xgb_classifier.pkl", "frame4.pkl", "state.pth", "script.pt"]
        wrong += other_roads(binary, work, executed, [case for case in cases if case.name in names])
        print("\n".join(wrong))
        if not options.only:
            assert len(executed) >= 250, f"only {len(executed)} files ran their payload"
            assert len(cases) >= 60, f"only {len(cases)} ordinary files"
        sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
