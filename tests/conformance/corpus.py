"""Our own corpus, and mutants of what it accepts, labelled by the SDK at the moment.

A case is a file `{accept,refuse}/<topic>/<case>.yml`; what lies deeper is a part that cases refer to. Labels are not
kept: the SDK is asked each time, so that they can be of no other version.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import cases
from cases import Case
from mutate import mutants

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
ORACLE = Path(__file__).with_name("sdk_oracle.py")
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def names(corpus=CORPUS):
    """The cases of the corpus, relative to it."""
    found = (path for verdict in ("accept", "later", "refuse") for path in corpus.glob(f"{verdict}/*/*.yml"))
    return sorted(str(path.relative_to(corpus)) for path in found)


def asked(work, seed, count):
    """The corpus and `count` mutants of each accepted file, copied to a folder and labelled."""
    wanted = f"azure-ai-ml=={version('azure-ai-ml')}"
    if wanted not in REQUIREMENTS.read_text().split():
        raise SystemExit(f"{wanted} is installed, and {REQUIREMENTS.name} names another one")
    work = Path(work or tempfile.mkdtemp(prefix="conformance-")).resolve()
    root = work / "corpus"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(CORPUS, root, symlinks=True)
    found = [Case(root / name, root, {}) for name in names(root)]
    for case in list(found):
        if case.name.startswith("accept"):
            found += mutated(case, seed, count)
    label(root, found)
    return found


def mutated(case, seed, count):
    text = case.path.read_text(encoding="utf-8")
    for number, (mutant, places) in enumerate(mutants(text, f"{seed}:{case.name}", count)):
        path = case.path.with_suffix(f".mutant-{seed}-{number:02d}.yml")
        path.write_text(mutant, encoding="utf-8")
        yield Case(path, case.root, {}, places, is_mutant=True)


def label(root, found):
    """Fills in the labels: as many SDK processes as there are cores, the preview files in one of their own."""
    plain = [case for case in found if not case.is_preview]
    cores = os.cpu_count() or 1
    shares = [(plain[n::cores], False) for n in range(cores)]
    shares.append(([case for case in found if case.is_preview], True))
    running = []
    for number, (share, preview) in enumerate(shares):
        out = root.parent / f"labels-{number}.jsonl"
        environment = dict(os.environ, PYTHONWARNINGS="ignore")
        environment.pop(cases.PREVIEW_VARIABLE, None)
        if preview:
            environment[cases.PREVIEW_VARIABLE] = "true"
        command = [sys.executable, str(ORACLE), str(root), str(out)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment)
        running.append((share, out, process))
        # The oracle reads a name when it has answered the one before; the pipe holds the rest.
        process.stdin.write("".join(f"{case.name}\n" for case in share))
        process.stdin.close()
    for share, out, process in running:
        if process.wait() != 0:
            raise SystemExit(f"the oracle ended with exit code {process.returncode}")
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        for case, row in zip(share, rows, strict=True):
            assert case.name == row["path"]
            case.label = row
