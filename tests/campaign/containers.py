#!/usr/bin/env python3
"""Kills runners whose steps are in containers, at random moments, and looks for what is left.

    AMLRUN_TEST_IMAGE=IMAGE tests/campaign/containers.py target/release/amlrun [--kills 30] [--seed N]

After each SIGKILL no container of the run may be left, running or not, and no storage that the engine was preparing for
one; 'amlrun run --resume' must end Completed then. Prints its counts; ends with 1 when anything differed.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# A chain of two beside two single steps: at every moment some containers start, run or end.
STEP = """\
  {name}:
    type: command
    environment: {{image: {image}}}
    command: "echo {name} > ${{{{outputs.o}}}}; sleep 0.2{reads}"
    outputs: {{o: {{type: uri_file}}}}
"""
READS = """\
    inputs: {{i: {{type: uri_file, path: "${{{{parent.jobs.{other}.outputs.o}}}}"}}}}
"""
PATIENCE = 30


def step(image, name, other=None):
    text = STEP.format(name=name, image=image, reads="; cat ${{inputs.i}}" if other else "")
    return text + (READS.format(other=other) if other else "")


class Campaign:
    def __init__(self, amlrun, image, folder):
        self.amlrun, self.folder = amlrun, folder
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "AMLRUN_JOBS": "3"}
        self.failures = []
        (folder / "amlrun.toml").write_text('[environments]\ndefault = "container"\nengine = "podman"\n')
        steps = [step(image, "a"), step(image, "b", "a"), step(image, "c"), step(image, "d")]
        (folder / "pipeline.yml").write_text("type: pipeline\njobs:\n" + "".join(steps))

    def start(self, *arguments):
        # Results of earlier rounds would leave nothing to kill.
        return subprocess.Popen([self.amlrun, *arguments], cwd=self.folder, env=self.environment,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def fail(self, what):
        self.failures.append(what)
        print(f"FAILED {what}", flush=True)

    def left(self, name):
        """The containers of a run, and all names of the engine's storage that are ours."""
        folder = self.folder.resolve() / ".amlrun/runs" / name
        own = podman("ps", "--all", "--quiet", "--filter", f"label=amlrun.run={folder}")
        prepared = podman("ps", "--all", "--external", "--format", "{{.Names}}")
        return own + [other for other in prepared if other.startswith("amlrun-")]

    def round(self, number, moment):
        name = f"k{number}"
        runner = self.start("run", "pipeline.yml", "--name", name, "--force-rerun")
        try:
            runner.wait(moment)
        except subprocess.TimeoutExpired:
            pass
        had = bool(self.left(name))
        runner.send_signal(signal.SIGKILL)
        runner.communicate()
        deadline = time.monotonic() + PATIENCE
        while (left := self.left(name)) and time.monotonic() < deadline:
            time.sleep(0.05)
        if left:
            self.fail(f"{name}: killed after {moment:.2f} s, these are left: {', '.join(left)}")
        if runner.returncode == -signal.SIGKILL and (self.folder / ".amlrun/runs" / name / "events.jsonl").exists():
            again = self.start("run", "--resume", name)
            text, _ = again.communicate()
            if again.returncode != 0 and "nothing" not in text:
                self.fail(f"{name}: the resumed run ended with {again.returncode}:\n{text}")
        return had


def podman(*arguments):
    """What podman lists. It fails when a container is removed while it looks."""
    for _ in range(20):
        listed = subprocess.run(["podman", *arguments], capture_output=True, text=True)
        if listed.returncode == 0:
            return listed.stdout.split()
    sys.exit(f"podman {' '.join(arguments)}: {listed.stderr}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("amlrun", type=Path)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(arguments.amlrun.resolve(), os.environ["AMLRUN_TEST_IMAGE"], Path(folder).resolve())
        began = time.monotonic()
        undisturbed = campaign.start("run", "pipeline.yml", "--name", "undisturbed")
        text, _ = undisturbed.communicate()
        if undisturbed.returncode != 0:
            sys.exit(f"the undisturbed run ended with {undisturbed.returncode}:\n{text}")
        length = time.monotonic() - began
        had = sum(campaign.round(number, dice.uniform(0.05, length)) for number in range(arguments.kills))
        print(f"containers: {arguments.kills} kills (seed {arguments.seed}), {had} of them while a container was there: "
              f"{len(campaign.failures)} failures")
    sys.exit(bool(campaign.failures))


if __name__ == "__main__":
    main()
