#!/usr/bin/env python3
"""Prepares this machine for real containers without an image registry, and runs a command there.

    scripts/containers.py COMMAND …            with podman, and the image that AMLRUN_TEST_IMAGE names
    scripts/containers.py --build COMMAND …    and with IMAGE_BUILD_OPTIONS, with which docker/Dockerfile can be built

podman is installed from Debian where root may do so. The image is a small Debian with Python, made by debootstrap; the
one for building is the same with this machine's Rust. Both stay in podman's storage, and a second run does nothing. Where
there can be no containers, the command is skipped, and `target/tmp/skipped` says why.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BASE = "localhost/amlrun-test/base:1"
BUILD = "localhost/amlrun-test/build:1"
RELEASE = "bookworm"
PACKAGES = ["python3", "python3-venv", "ca-certificates"]
CONFIGURATION = Path("/etc/containers/containers.conf")
# Inside of some virtual machines crun cannot use the control groups, and the default limits are above the machine's own.
LIMITED = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=1000:1000"]

[engine]
runtime = "runc"
"""
ROOT = Path(__file__).resolve().parent.parent
SKIPPED = ROOT / "target/tmp/skipped"


class Impossible(Exception):
    """Why there can be no containers here."""


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


def succeeds(*command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def install(*packages):
    """Debian's packages, as root."""
    missing = [package for package in packages if not succeeds("dpkg", "--status", package)]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Impossible(f"{', '.join(missing)} cannot be installed: only root on Debian can")
    quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    run("apt-get", "update", "-qq", **quiet)
    run("apt-get", "install", "-qq", "--yes", *missing, **quiet)


def exists(image):
    return succeeds("podman", "image", "exists", image)


def works():
    return succeeds("podman", "run", "--rm", "--network=host", BASE, "true")


def make_base():
    if exists(BASE):
        return
    install("debootstrap")
    if os.geteuid() != 0:
        raise Impossible("the base image is made by debootstrap, which needs root")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", RELEASE, root, stdout=subprocess.DEVNULL)
        shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
        with subprocess.Popen(["tar", "--directory", root, "--create", "."], stdout=subprocess.PIPE) as tar:
            run("podman", "import", "--quiet", "-", BASE, stdin=tar.stdout, stdout=subprocess.DEVNULL)


def configure():
    """Gives podman a runtime that works here, where the default one does not."""
    if works():
        return
    if os.geteuid() == 0 and not CONFIGURATION.exists():
        install("runc")
        CONFIGURATION.write_text(LIMITED)
        if works():
            return
        CONFIGURATION.unlink()
    shown = subprocess.run(["podman", "run", "--rm", "--network=host", BASE, "true"], capture_output=True, text=True)
    raise Impossible(f"podman cannot run a container: {shown.stderr.strip()}")


def make_build():
    """The base with this machine's Rust: like the image `rust`, which comes from a registry."""
    if exists(BUILD):
        return
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "Dockerfile"
        file.write_text(f"FROM {BASE}\nRUN cp -r /rust/bin /rust/lib /usr/local/\nCMD [\"bash\"]\n")
        run("podman", "build", "--quiet", f"--volume={sysroot}:/rust:ro", f"--tag={BUILD}", folder, stdout=subprocess.DEVNULL)


def build_options():
    """What a build needs here: our images, this machine's network, certificates and registry, and what is built already."""
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "registry"
    results = ROOT / "target/image"
    cargo.mkdir(parents=True, exist_ok=True)
    if not results.exists():
        results.mkdir(parents=True)
        # The same compiler, and dependencies at the same places: they need not be built again.
        if (ROOT / "target/release").is_dir():
            run("cp", "--archive", ROOT / "target/release", results)
    options = ["--network=host", f"--build-arg=BUILD_IMAGE={BUILD}", f"--build-arg=BASE_IMAGE={BASE}",
               "--volume=/etc/ssl/certs:/etc/ssl/certs:ro", f"--volume={cargo}:/root/.cargo/registry",
               f"--volume={results}:/src/target"]
    if (ROOT / ".libtorch").is_dir():
        options.append(f"--volume={ROOT / '.libtorch'}:/src/.libtorch:ro")
    return " ".join(options)


def prepare(build):
    install("podman")
    make_base()
    configure()
    variables = {"AMLRUN_CONTAINER_ENGINE": "podman", "AMLRUN_TEST_IMAGE": BASE}
    if build:
        make_build()
        variables["IMAGE_BUILD_OPTIONS"] = build_options()
    return variables


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", action="store_true", help="prepare builds of docker/Dockerfile, too")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    try:
        variables = prepare(arguments.build)
    except Impossible as impossible:
        skip(arguments.command, str(impossible))
    except subprocess.CalledProcessError as error:
        skip(arguments.command, f"{' '.join(map(str, error.cmd))} failed")
    else:
        ran = subprocess.run(arguments.command, env={**os.environ, **variables})
        # The images that tests built.
        succeeds("podman", "image", "prune", "--all", "--force", "--filter", "label=amlrun.test=yes")
        sys.exit(ran.returncode)


def skip(command, why):
    """Says that nothing was run; `make` lists it at its end."""
    SKIPPED.parent.mkdir(parents=True, exist_ok=True)
    with SKIPPED.open("a") as file:
        file.write(f"{' '.join(command)}: no containers: {why}\n")


if __name__ == "__main__":
    main()
