#!/usr/bin/env python3
"""Runs every command of README.md's console blocks in a fresh clone of this repository.

    tour.py            puts what the commands print back into README.md: the tour is real output
    tour.py --check    compares it with README.md and fails when something differs
    tour.py --bin DIR  where the programs are (default: target/release)

The clone is of the last commit, with README.md as it is here. The `export` lines of the README's shell blocks hold for all
commands. Paths in the clone are printed relative to it, and of the long training log the middle is left out. What no two
runs have in common (times, ports, digests, what training computes) is masked before texts are
compared; a block that says the same is left as it is.
"""

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"^```console\n\$ (.*)\n(?:.*\n)*?```$", re.MULTILINE)
SHELL = re.compile(r"^```sh\n((?:.*\n)*?)```$", re.MULTILINE)
# What differs from run to run, or from processor to processor, and what is then compared.
MASKS = [
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+Z?"), "<moment>"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:<port>"),
    (re.compile(r"\b\d+\.\d+s\b"), "<seconds>"),
    (re.compile(r"\b\d+\.\d+\b"), "<number>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
    (re.compile(r"-{2,}"), "--"),
    (re.compile(r"[ \t]+"), " "),
]


def shortened(lines):
    """Without the middle of a training log."""
    epochs = [number for number, line in enumerate(lines) if re.search(r"epoch +\d+/\d+", line)]
    if len(epochs) > 4:
        prefix = lines[epochs[0]].split("|")[0]
        lines[epochs[2] : epochs[-1]] = [f"{prefix}| …"]
    return lines


def replayed(text, clone):
    """The README with what its commands print now."""
    exports = [line for block in SHELL.findall(text) for line in block.splitlines() if line.startswith("export ")]
    kept_out = ("AMLRUN_", "AZURE_", "MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(kept_out)}
    environment["NO_COLOR"] = "1"

    def block(match):
        command = match.group(1)
        script = "\n".join([*exports, command])
        done = subprocess.run(
            ["bash", "-c", script], cwd=clone, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        printed = done.stdout.replace(f"{clone}/", "").replace(str(clone), ".").rstrip("\n")
        now = "\n".join(["```console", f"$ {command}", *shortened(printed.split("\n")), "```"])
        # What says the same keeps its times and ports.
        return match.group(0) if masked(now) == masked(match.group(0)) else now

    return BLOCK.sub(block, text)


def masked(text):
    for pattern, word in MASKS:
        text = pattern.sub(word, text)
    return [line.rstrip() for line in text.splitlines()]


def cloned(folder, programs):
    """A clone as a reader has it once the programs are built."""
    clone = Path(folder).resolve() / "amlrun"
    subprocess.run(["git", "clone", "--quiet", "--local", str(ROOT), str(clone)], check=True)
    (clone / "target").mkdir()
    (clone / "target/release").symlink_to(programs.resolve())
    return clone


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--bin", type=Path, default=ROOT / "target/release")
    options = arguments.parse_args()
    written = README.read_text()
    with tempfile.TemporaryDirectory() as folder:
        clone = cloned(folder, options.bin)
        text = replayed(written, clone)
        status = ["git", "-C", str(clone), "status", "--porcelain"]
        dirt = subprocess.run(status, check=True, text=True, stdout=subprocess.PIPE).stdout
    if dirt:
        sys.exit(f"the commands of README.md change the clone:\n{dirt}")
    if not options.check:
        README.write_text(text)
        return
    differences = list(difflib.unified_diff(masked(written), masked(text), "README.md", "what is printed", lineterm=""))
    if differences:
        sys.exit("\n".join([*differences, "", "make tour writes what the commands print into README.md"]))


if __name__ == "__main__":
    main()
