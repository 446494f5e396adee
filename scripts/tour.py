#!/usr/bin/env python3
"""Runs every command of README.md's console blocks and puts what it prints back: the tour is real output.

    make tour

The runs go into a fresh workspace. What would change at every run for no reason (the tracking server's port) stays as
printed; of the long training log the middle is left out.
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PIPELINE = ROOT / "pipelines/simple_net/pipeline.yml"
BROKEN = PIPELINE.with_name("broken.yml")
# A command of the tour adds a comment to it.
SCRIPT = ROOT / "pipelines/python_beside_native/src/clean.py"
# Slips of the finger that people make: (what is right, what is typed).
SLIPS = [
    ("experiment_name:", "experimant_name:"),
    ("${{parent.inputs.epochs}}", "${{parent.inputs.epoch}}"),
    ("seed: 0\n", "seed: zero\n"),
    ("jobs.persist.outputs", "jobs.persits.outputs"),
    ("component: ./evaluate.yml", "component: ./evaluat.yml"),
]


def shortened(lines):
    """Without the middle of a training log."""
    epochs = [number for number, line in enumerate(lines) if re.search(r"epoch +\d+/\d+", line)]
    if len(epochs) > 4:
        prefix = lines[epochs[0]].split("|")[0]
        lines[epochs[2] : epochs[-1]] = [f"{prefix}| …"]
    return lines


def block(match, environment):
    command = match.group(1)
    done = subprocess.run(
        command, shell=True, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    home = environment["AMLRUN_HOME"]
    text = done.stdout.replace(home, ".amlrun").replace(f"{ROOT}/", "").rstrip("\n")
    return "\n".join(["```console", f"$ {command}", *shortened(text.split("\n")), "```"])


def main():
    broken = PIPELINE.read_text()
    for right, typed in SLIPS:
        assert right in broken, right
        broken = broken.replace(right, typed)
    BROKEN.write_text(broken)
    script = SCRIPT.read_text()
    try:
        with tempfile.TemporaryDirectory() as folder:
            environment = dict(os.environ, NO_COLOR="1", AMLRUN_HOME=f"{folder}/.amlrun")
            environment["PATH"] = f"{ROOT}/target/release:{environment['PATH']}"
            text = re.sub(
                r"^```console\n\$ (.*)\n(?:.*\n)*?```$",
                lambda match: block(match, environment),
                README.read_text(),
                flags=re.MULTILINE,
            )
        README.write_text(text)
    finally:
        BROKEN.unlink()
        SCRIPT.write_text(script)


if __name__ == "__main__":
    main()
