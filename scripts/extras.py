#!/usr/bin/env python3
"""Makes Spark, Java, Open MPI and Ray available, for the tests in tests/extras.

    scripts/extras.py VENV

pyspark and ray come from PyPI into VENV; Java and Open MPI from Debian, where root may install them. A second run does
nothing. What cannot be had is named, and the exit code is 1: a missing program must not look like a passed test.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "tests/extras/requirements.txt"
# Programs with the packages of Debian that have them.
PROGRAMS = {"java": "default-jre-headless", "mpirun": "openmpi-bin", "mpicc": "libopenmpi-dev"}


def packages(venv):
    ready, wanted = venv / "ready", REQUIREMENTS.read_text()
    if ready.exists() and ready.read_text() == wanted:
        return
    if not (venv / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    print("extras: fetching pyspark and ray (600 MB)", flush=True)
    subprocess.run([venv / "bin/python", "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True)
    ready.write_text(wanted)


def programs():
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], check=True, **quiet)
        subprocess.run(["apt-get", "install", "-qq", "--yes", *missing], check=True, **quiet)
    return [package for program, package in PROGRAMS.items() if shutil.which(program) is None]


def main():
    missing = programs()
    if missing:
        sys.exit(f"extras: not installed here: apt install {' '.join(missing)}")
    packages(Path(sys.argv[1]).resolve())


main()
