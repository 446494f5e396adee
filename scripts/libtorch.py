#!/usr/bin/env python3
"""Finds libtorch 2.13 for the native stages, or fetches it, so that `cargo build --features torch` works.

In this order:
  1. $LIBTORCH, when set: used as it is, nothing is fetched;
  2. a Python that has torch 2.13 (the python3 on PATH, or the one in $AMLRUN_PYTHON): linked to, nothing is fetched;
  3. the official wheels, by name, through pip: only the libraries and headers are unpacked, into `.libtorch/`.

`.cargo/config.toml` points LIBTORCH at `.libtorch`, which git ignores. The folder appears whole or not at all, every
fetched byte is checked against the sizes and SHA-256 digests below, and a second run does nothing.
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

VERSION = "2.13"
ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".libtorch"
# Wheels that were fetched and checked wait here until all are there: a fetch that broke off goes on with the rest.
FETCH = ROOT / ".libtorch.fetch"
ATTEMPTS = 3
VERSION_HEADER = Path("include/torch/headeronly/version.h")


@dataclass(frozen=True)
class Wheel:
    """One pinned wheel and what of it is wanted: (prefix in the wheel, folder under .libtorch)."""

    requirement: str
    file: str
    platform: str
    size: int
    sha256: str
    python: str  # the wheel's interpreter tag: it is unpacked, never imported, so any one will do
    wanted: tuple


INCLUDE = ("torch/include/", "include/")


def part_of_torch(*libraries):
    """The headers, and the libraries whose names start so; the rest of the wheel (CUDA, Python) stays behind."""
    return tuple((f"torch/lib/{library}", "lib/") for library in libraries) + (INCLUDE,)


def torch(file, tag, size, sha256, wanted):
    return Wheel("torch==2.13.0", f"torch-2.13.0-cp312-{file}", tag, size, sha256, "cp312", wanted)


def cuda(requirement, file, tag, size, sha256, library):
    return Wheel(requirement, file, tag, size, sha256, "py3", ((f"nvidia/cu13/lib/{library}", "lib/"),))


# The Linux wheels are CUDA builds. Their CPU half stands alone, save for two small CUDA libraries it is linked to.
# The macOS wheel is CPU only and whole.
WHEELS = {
    ("Linux", "x86_64"): (
        torch(
            "cp312-manylinux_2_28_x86_64.whl",
            "manylinux_2_28_x86_64",
            526605292,
            "796633c4cdf0fe2cdced72d8f88f22e73dbcfce83132763162f6d4bff13b820b",
            part_of_torch("libtorch_cpu.so", "libc10.so", "libgomp"),
        ),
        cuda(
            "nvidia-cuda-runtime==13.0.96",
            "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            "manylinux2014_x86_64",
            2243632,
            "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
            "libcudart.so",
        ),
        cuda(
            "nvidia-cuda-cupti==13.0.85",
            "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
            "manylinux_2_25_x86_64",
            10715597,
            "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
            "libcupti.so",
        ),
    ),
    ("Linux", "aarch64"): (
        torch(
            "cp312-manylinux_2_28_aarch64.whl",
            "manylinux_2_28_aarch64",
            427210998,
            "572df8be8ffb4599c88cbd6a0726f1f854f4da65d2e3c09f0e2c2283333cd6d4",
            part_of_torch("libtorch_cpu.so", "libc10.so", "libgomp", "libarm_compute", "libnvpl_", "libgfortran"),
        ),
        cuda(
            "nvidia-cuda-runtime==13.0.96",
            "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
            "manylinux2014_aarch64",
            2261060,
            "ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55",
            "libcudart.so",
        ),
        cuda(
            "nvidia-cuda-cupti==13.0.85",
            "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_aarch64.whl",
            "manylinux_2_25_aarch64",
            10310827,
            "796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151",
            "libcupti.so",
        ),
    ),
    ("Darwin", "arm64"): (
        torch(
            "cp312-macosx_14_0_arm64.whl",
            "macosx_14_0_arm64",
            111213045,
            "2fe228aba290d14b9f31b049be550dbd469c3fd3013d7a19705b30454da97027",
            part_of_torch("libtorch.dylib", "libtorch_cpu.dylib", "libc10.dylib", "libomp", "libtorch_global_deps"),
        ),
    ),
}


class Trouble(Exception):
    """What went wrong and what to do, in one message."""


def say(text):
    print(f"libtorch: {text}", flush=True)


def suffix():
    return "dylib" if platform.system() == "Darwin" else "so"


def has_libtorch(folder):
    """Whether a folder is a libtorch as `tch` wants it: lib/ and include/ side by side."""
    lib = folder / "lib"
    libraries = (lib / f"{name}.{suffix()}" for name in ("libtorch", "libtorch_cpu", "libc10"))
    return (folder / VERSION_HEADER).exists() and all(library.exists() for library in libraries)


def version_of(folder):
    """The version that the headers tell, such as '2.13.0', or None."""
    numbers = {}
    for line in (folder / VERSION_HEADER).read_text(errors="replace").splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "#define" and words[1].startswith("TORCH_VERSION_"):
            numbers[words[1].removeprefix("TORCH_VERSION_")] = words[2]
    parts = [numbers.get(part) for part in ("MAJOR", "MINOR", "PATCH")]
    return ".".join(parts) if all(parts) else None


def from_variable():
    """1: the user's own libtorch."""
    given = os.environ.get("LIBTORCH")
    if not given:
        return False
    folder = Path(given)
    if not has_libtorch(folder):
        raise Trouble(
            f"LIBTORCH is set to {folder}, but there is no lib/libtorch.{suffix()} with {VERSION_HEADER} in it; "
            "correct it, or unset it to let this script find or fetch one"
        )
    version = version_of(folder)
    if not (version or "").startswith(VERSION + "."):
        raise Trouble(f"LIBTORCH is set to {folder}, which is libtorch {version}; {VERSION} is needed")
    say(f"using LIBTORCH={folder} (version {version})")
    return True


def from_python():
    """2: the libtorch inside an installed Python torch, linked to and not copied."""
    python = os.environ.get("AMLRUN_PYTHON") or shutil.which("python3") or sys.executable
    # find_spec does not import torch, which would take seconds.
    question = (
        "import importlib.util as u, importlib.metadata as m, os\n"
        "s = u.find_spec('torch')\n"
        "print(m.version('torch') if s else '', os.path.dirname(s.origin) if s else '', sep='\\n')"
    )
    answer = subprocess.run([python, "-c", question], capture_output=True, text=True)
    version, _, place = answer.stdout.strip().partition("\n")
    if answer.returncode != 0 or not version.startswith(VERSION + ".") or not has_libtorch(Path(place)):
        return False
    with staging() as stage:
        for name in ("lib", "include"):
            (stage / name).symlink_to(Path(place) / name)
        settle(stage)
    say(f"linked .libtorch to the torch {version} of {python}")
    return True


def from_wheels():
    """3: the pinned wheels."""
    machine = (platform.system(), platform.machine())
    wheels = WHEELS.get(machine)
    if wheels is None:
        raise Trouble(
            f"no libtorch {VERSION} is known for {' '.join(machine)}: get one (the download page of PyTorch, or "
            f"`pip install 'torch=={VERSION}.*'`), and set LIBTORCH to the folder that holds its lib/ and include/. "
            "Without it the runner still builds: `cargo build`"
        )
    total = sum(wheel.size for wheel in wheels) / 1e6
    say(f"fetching {total:.0f} MB of wheels with pip, once; 15 seconds to a few minutes, by your line")
    FETCH.mkdir(exist_ok=True)
    started = time.monotonic()
    with staging() as stage:
        for wheel in wheels:
            unpack(fetch(wheel), wheel, stage)
        # `tch` links to `torch`, which on its own is an empty shell around torch_cpu.
        whole = stage / "lib" / f"libtorch.{suffix()}"
        if not whole.exists():
            whole.symlink_to(f"libtorch_cpu.{suffix()}")
        if not has_libtorch(stage):
            raise Trouble("the wheels did not hold what was expected; please report this")
        settle(stage)
    shutil.rmtree(FETCH, ignore_errors=True)
    say(f"ready in .libtorch after {time.monotonic() - started:.0f} s")


def fetch(wheel):
    """The path of a checked wheel; fetched again when it is missing, short or altered."""
    path = FETCH / wheel.file
    if path.exists() and fault(path, wheel) is None:
        say(f"{wheel.file} is here already")
        return path
    pip = [sys.executable, "-m", "pip"]
    command = pip + ["download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]
    command += ["--only-binary", ":all:", "--platform", wheel.platform, "--dest", str(FETCH)]
    if wheel.python.startswith("cp"):
        command += ["--implementation", "cp", "--abi", wheel.python, "--python-version", "3.12"]
    if "--resume-retries" in subprocess.run(pip + ["download", "--help"], capture_output=True, text=True).stdout:
        command += ["--resume-retries", "5"]
    why = "pip did not fetch it"
    for attempt in range(1, ATTEMPTS + 1):
        path.unlink(missing_ok=True)
        say(f"{wheel.requirement} ({wheel.size / 1e6:.0f} MB)" + (f", attempt {attempt}" if attempt > 1 else ""))
        code = subprocess.run(command + [wheel.requirement]).returncode
        why = fault(path, wheel) if path.exists() else f"pip did not fetch it (exit {code})"
        if why is None:
            return path
        say(f"{wheel.file}: {why}")
    path.unlink(missing_ok=True)
    raise Trouble(
        f"{wheel.requirement}: {why}. Check the network and pip's settings (`pip config list`) and run this again: "
        "what is already fetched is kept. Or set LIBTORCH to a libtorch of your own"
    )


def fault(path, wheel):
    """What is wrong with a fetched file, or None."""
    size = path.stat().st_size
    if size != wheel.size:
        return f"has {size} bytes instead of {wheel.size}"
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != wheel.sha256:
        return f"has SHA-256 {digest.hexdigest()} instead of {wheel.sha256}"
    return None


def unpack(path, wheel, stage):
    """Writes the wanted members, streamed: the largest is several hundred megabytes."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            for prefix, folder in wheel.wanted:
                if member.is_dir() or not member.filename.startswith(prefix):
                    continue
                inside = member.filename[len(prefix) :] if prefix.endswith("/") else member.filename.rsplit("/", 1)[1]
                target = (stage / folder / inside).resolve()
                if not target.is_relative_to(stage.resolve()):
                    raise Trouble(f"{path.name} holds a path that leads outside: {member.filename}")
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)


class staging:
    """A temporary folder beside .libtorch, so that the last rename is atomic; gone afterwards whatever happens."""

    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix=".libtorch.new.", dir=ROOT))
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def settle(stage):
    """Puts a finished folder in its place."""
    stage.chmod(0o755)
    if HOME.is_symlink() or HOME.is_file():
        HOME.unlink()
    elif HOME.exists():
        shutil.rmtree(HOME)
    stage.rename(HOME)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--force", action="store_true", help="replace a .libtorch that is already there")
    arguments = parser.parse_args()
    try:
        if from_variable():
            return 0
        if not arguments.force and has_libtorch(HOME) and (version_of(HOME) or "").startswith(VERSION + "."):
            say(f".libtorch is in place (version {version_of(HOME)})")
            return 0
        if not from_python():
            from_wheels()
        return 0
    except Trouble as trouble:
        print(f"libtorch: {trouble}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"libtorch: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("libtorch: stopped; run it again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
