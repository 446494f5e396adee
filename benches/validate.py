"""`amlrun validate` beside the official SDK, and what files meant to harm cost it.

    python benches/validate.py AMLRUN [--sdk PYTHON] [--labels DIR] [--small] [--target NAME]

PYTHON is one with azure-ai-ml installed; without it only amlrun is measured. The two are run in turns, so that a noisy
machine is noisy for both; medians are compared. Files are those of tests/corpus, or of DIR/cases. With --small, the
hostile files are a hundredth of their size and every number comes from fewer rounds.
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = ROOT / "pipelines/simple_net/pipeline.yml"
LIMIT_S = 60
COLD = """
import logging, sys, warnings
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
from azure.ai.ml import load_job
load_job(sys.argv[1])._validate()
"""
# One process, warmed up on the first file, then the CPU time of each file.
WARM = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import sdk_oracle
from azure.ai import ml
from cases import entity_of
def load(path):
    try:
        thing = getattr(ml, f"load_{entity_of(path)}")(path)
        if hasattr(thing, "_validate"):
            thing._validate()
    except Exception:
        pass
paths = sys.stdin.read().split()
load(paths[0])
spent = []
for path in paths:
    start = time.process_time()
    load(path)
    spent.append(time.process_time() - start)
print(json.dumps(spent))
"""


def run(command, **more):
    """`(wall, cpu, peak, exit code, stdout)` of a command: seconds and bytes, of the child alone."""
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, start_new_session=True, **more)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, child.returncode, out.read()


def in_turns(commands, rounds):
    """The median wall and CPU seconds of each command."""
    measured = {name: [] for name in commands}
    for name, command in commands.items():
        run(command)
    for _ in range(rounds):
        for name, command in commands.items():
            measured[name].append(run(command)[:2])
    return {name: [statistics.median(column) for column in zip(*rows)] for name, rows in measured.items()}


def one_file(validate, sdk, rounds):
    commands = {"amlrun validate": [*validate, str(PIPELINE)]}
    if sdk:
        commands["SDK, cold"] = [sdk, "-c", COLD, str(PIPELINE)]
    print(f"one pipeline of four components, a process of its own (median of {rounds})")
    medians = in_turns(commands, rounds)
    for name, (wall, cpu) in medians.items():
        print(f"  {name:18} {wall * 1000:10.2f} ms wall {cpu * 1000:10.2f} ms CPU")
    if sdk:
        ours, theirs = medians.values()
        print(f"  the SDK takes {theirs[1] / max(ours[1], 1e-6):.0f} times the CPU and {theirs[0] / ours[0]:.0f} times as long")


def all_files(validate, sdk, paths, rounds):
    wall, cpu = in_turns({"all": [*validate, "-o", "json", *paths]}, rounds)["all"]
    print(f"{len(paths)} files in one call (median of {rounds})")
    per_file = cpu / len(paths)
    print(f"  {'amlrun validate':18} {wall * 1000:10.2f} ms wall {cpu * 1000:10.2f} ms CPU, {per_file * 1e6:.0f} us CPU a file")
    if sdk:
        command = [sdk, "-c", WARM, str(ROOT / "tests/conformance")]
        done = subprocess.run(command, input="\n".join(paths), capture_output=True, text=True, check=True)
        spent = json.loads(done.stdout)
        theirs = sum(spent) / len(spent)
        print(f"  {'SDK, warm':18} {sum(spent) * 1000:27.2f} ms CPU, {theirs * 1e6:.0f} us CPU a file")
        print(f"  the SDK takes {theirs / per_file:.0f} times the CPU for a file, its start left out")


def hostile(folder, small):
    """Writes files meant to harm; yields a name and a path."""
    depth = 1_000 if small else 100_000
    size = (2 if small else 200) << 20
    job = "type: command\nenvironment: azureml:small:1\ncommand: echo hello\n"
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    entries = 20_000 if small else 200_000
    # Each is written piece by piece: a child's peak memory counts what its parent held when it was started.
    texts = {
        "alias bomb": [bomb, job],
        f"flow nesting, {depth} deep": [job, "tags: ", "[" * depth, "]" * depth, "\n"],
        f"block nesting, {depth} deep": [job, "tags:\n", "- " * depth, "x\n"],
        f"scalar of {size >> 20} MB": itertools.chain([job, 'description: "'], ("x" * 1024 for _ in range(size >> 10)), ['"\n']),
        f"{entries} entries": itertools.chain([job, "tags:\n"], (f"  k{n}: v\n" for n in range(entries))),
        "NUL bytes": [job, "tags: {a: \0\0\0}\n"],
        "no UTF-8": [job, "tags: {a: \udcff\udcfe}\n"],
        "climbs out": ["type: pipeline\njobs:\n  a: {type: command, component: ../../../../../../../../etc/passwd}\n"],
        "a device as component": ["type: pipeline\njobs:\n  a: {type: command, component: /dev/zero}\n"],
    }
    for number, (name, pieces) in enumerate(texts.items()):
        path = folder / f"hostile{number}.yml"
        with path.open("w", encoding="utf-8", errors="surrogateescape") as sink:
            sink.writelines(pieces)
        yield name, path
    itself = folder / "itself.yml"
    itself.write_text("name: itself\ntype: pipeline\njobs:\n  a: {type: pipeline, component: itself.yml}\n")
    path = folder / "circle.yml"
    path.write_text("type: pipeline\nsettings: {default_compute: azureml:cpu}\njobs:\n  a: {type: pipeline, component: itself.yml}\n")
    yield "component of itself", path


def meant_to_harm(validate, small):
    print("files meant to harm")
    limits = dict(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S)))
    with tempfile.TemporaryDirectory() as temporary:
        for name, path in hostile(Path(temporary), small):
            wall, _, peak, code, out = run([*validate, "-o", "json", str(path)], **limits)
            print(f"  {name:30} {wall:8.3f} s {peak >> 20:6} MiB  {verdict(code, out)}")
            path.unlink()


def verdict(code, out):
    if code not in (0, 1):
        return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
    file = json.loads(out)["files"][0]
    errors = [one for one in file["diagnostics"] if one["severity"] == "error"]
    if file["accepted"] or not errors:
        return "accepted" if file["accepted"] else "refused without a word"
    return f"refused: [{errors[0]['code']}] {errors[0]['message'][:70]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("amlrun")
    parser.add_argument("--sdk", default="", metavar="PYTHON")
    parser.add_argument("--labels", default=os.environ.get("AMLRUN_CONFORMANCE", ""), metavar="DIR")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--target", default="azure", help="empty: leave --target out")
    options = parser.parse_args()
    sdk = options.sdk
    if sdk and subprocess.run([sdk, "-c", "import azure.ai.ml"], capture_output=True).returncode != 0:
        print(f"without the SDK: {sdk} has none")
        sdk = ""
    folder = Path(options.labels) / "cases" if options.labels else ROOT / "tests/corpus"
    found = sorted(str(path) for path in folder.rglob("*") if path.suffix in (".yml", ".yaml") and path.is_file())
    validate = [os.path.abspath(options.amlrun), "validate"] + (["--target", options.target] if options.target else [])
    one_file(validate, sdk, 5 if options.small else 20)
    all_files(validate, sdk, found, 3 if options.small else 10)
    meant_to_harm(validate, options.small)


if __name__ == "__main__":
    sys.exit(main())
