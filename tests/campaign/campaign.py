#!/usr/bin/env python3
"""The fault campaign: a pipeline of 33 steps whose runner is killed at random moments, and gone on with.

    tests/campaign/campaign.py target/release/amlrun [--kills 300 | --short] [--seed N]

After each kill 'amlrun run --resume' must end Completed, with the outputs of an undisturbed run; no process may be left,
no step that the record has as completed may be executed again, and no registered version may be half there. Then the
same with a full disk and a workspace that cannot be written. Prints its counts; ends with 1 when anything differed, and
keeps the folder then.
"""

import argparse
import collections
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import disks
from world import REGISTERED, World, shape

SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
CODES = {signal.SIGKILL: 137, signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}


class Campaign:
    """The rounds, what they count, and what went wrong."""

    def __init__(self, world, seed):
        self.world, self.large, self.dice = world, world.large, random.Random(seed)
        self.counts = collections.Counter()
        self.failures = []
        self.expected, self.length, self.reusing = {}, 0.0, 0.0

    def fail(self, where, what):
        self.failures.append(f"{where}: {what}")
        print(f"FAILED {self.failures[-1]}", flush=True)

    def undisturbed(self):
        """One run that nobody disturbs: its outputs."""
        code, text = self.world.amlrun("run", "pipeline.yml", "--name", "undisturbed")
        self.expected = self.world.outputs("undisturbed")
        if code != 0 or len(self.expected) != len(shape()):
            raise SystemExit(f"the undisturbed run failed:\n{text}")
        self.whole("undisturbed", "undisturbed")
        self.measure("measured")

    def measure(self, run):
        """How long a run takes now, on a machine that others use as well: one that does all, one that reuses all."""
        lengths = []
        for name, forced in ((f"{run}-forced", ["--force-rerun"]), (f"{run}-reusing", [])):
            begin = time.monotonic()
            self.world.amlrun("run", "pipeline.yml", "--name", name, *forced)
            lengths.append(time.monotonic() - begin)
            self.whole(name, name)
            self.world.forget(name)
        self.length, self.reusing = lengths

    def kill(self, process, length, where, is_now=None):
        """A signal at a random moment of that many seconds, or a little after `is_now` says so, and the runner's end."""
        one = self.dice.choice(SIGNALS)
        moment = self.dice.uniform(0, length)
        end = time.monotonic() + (3 * length if is_now else moment)
        while time.monotonic() < end and process.poll() is None:
            if is_now and is_now():
                moment = self.dice.uniform(0, 0.05)
                end, is_now = time.monotonic() + moment, None
                self.counts["signals in a chosen moment"] += 1
            time.sleep(0.001)
        ended_before = process.poll() is not None
        if not ended_before:
            process.send_signal(one)
        self.counts["ended before the signal" if ended_before else f"kills by {one.name}"] += 1
        code, text = self.world.ended(process)
        if not ended_before and code not in (0, CODES[one]):
            self.fail(where, f"{one.name} after {moment:.3f}s: exit code {code}:\n{text}")
        if left := self.world.left():
            self.fail(where, f"{one.name} after {moment:.3f}s left {left}")

    def round(self, number):
        run, where = f"r{number}", f"round {number}"
        # Without --force-rerun most steps are reused: another mixture of moments.
        forced = [] if number % 5 == 4 else ["--force-rerun"]
        before = self.world.executions()
        length = self.length if forced else self.reusing
        chosen = {1: self.world.is_copying, 2: self.world.is_reading, 4: self.world.is_reading}.get(number % 5)
        is_now = chosen and (lambda: chosen(run))
        self.kill(self.world.start("run", "pipeline.yml", "--name", run, *forced), length, where, is_now)
        if not self.began(run):
            run = self.again(run, where, forced)
        elif number % 10 == 3 and not self.is_complete(run):
            self.kept_by(where, run, lambda: self.kill(self.world.start("run", "--resume", run, *forced), length / 2, where))
            self.counts["runs whose resume was to be killed too"] += 1
        if not self.is_complete(run):
            self.kept_by(where, run, lambda: self.resume(run, where, forced if number % 2 else []))
        self.whole(run, where)
        if left := self.world.left():
            self.fail(where, f"left {left}")
        after = self.world.executions()
        self.counts["steps executed"] += sum(after[step] - before[step] for step in after)
        if not self.failures:
            self.world.forget(run)

    def began(self, run):
        return any(event["event"] == "run_started" for event in self.world.events(run))

    def is_complete(self, run):
        return len(self.world.finished(run)) == len(shape()) and self.over(run)

    def over(self, run):
        last = [event for event in self.world.events(run) if event["event"] in ("run_finished", "run_resumed")]
        return bool(last) and last[-1]["event"] == "run_finished" and last[-1]["status"] == "Completed"

    def again(self, run, where, forced):
        """A run that never began: going on with it is refused in words, and the job file is run again."""
        self.counts["runs that never began"] += 1
        self.world.query("job", "list")
        code, text = self.world.amlrun("run", "--resume", run)
        if code not in (1, 3) or "never started" not in text and "was not found" not in text:
            self.fail(where, f"the resume of a run that never began ends with {code}:\n{text}")
        code, text = self.world.amlrun("run", "pipeline.yml", "--name", f"{run}-again", *forced)
        if code != 0:
            self.fail(where, f"run again: exit code {code}:\n{text}")
        return f"{run}-again"

    def kept_by(self, where, run, act):
        """Goes on with a run in some way: no step that is completed in its record may be executed again."""
        done, before = self.world.finished(run), self.world.executions()
        act()
        after = self.world.executions()
        twice = [step for step in done if after[step] != before[step]]
        if twice:
            self.fail(where, f"finished steps were executed again: {', '.join(twice)}")
        self.counts["steps kept"] += len(done) - len(twice)

    def resume(self, run, where, forced):
        self.counts["resumes"] += 1
        code, text = self.world.amlrun("run", "--resume", run, *forced)
        if code != 0:
            self.fail(where, f"the resume ends with {code}:\n{text}")

    def whole(self, run, where):
        """The run is complete, its outputs are the undisturbed run's, and so is every registered version."""
        status = self.world.query("job", "show", "-n", run)["status"]
        if status != "Completed":
            self.fail(where, f"the status of {run} is {status}")
        outputs = self.world.outputs(run)
        # On a small disk less is written.
        same = [name for name in self.expected if name != "bulk.o" or self.world.large == self.large]
        differ = [name for name in same if outputs.get(name) != self.expected[name]]
        if differ:
            self.fail(where, f"outputs differ: {', '.join(differ)}")
        content = {asset: self.expected[f"{step}.o"] for step, asset in REGISTERED.items()}
        for name, version, found in self.world.assets():
            if found != content[name]:
                self.fail(where, f"the version {name}:{version} is not whole: {found}")

    def kills(self):
        return sum(count for name, count in self.counts.items() if name.startswith("kills by"))

    def report(self, rounds):
        assets = self.world.assets()
        self.counts["registered versions, all whole"] = len(assets)
        print(f"{self.kills()} kills of the runner in {rounds} rounds, at moments over a whole run ({self.length:.2f}s at last)")
        for name, count in sorted(self.counts.items()):
            print(f"{count:8} {name}")
        print(f"{len(self.failures):8} failures")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("amlrun", type=Path)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--short", action="store_true", help="30 kills")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    # Whoever starts this in the background or under nohup has signals ignored, and amlrun would heed that.
    for one in (signal.SIGINT, signal.SIGHUP):
        signal.signal(one, lambda *_: sys.exit(130))
    folder = Path(tempfile.mkdtemp(prefix="amlrun-campaign-"))
    campaign = Campaign(World(asked.amlrun.resolve(), folder / "kills"), asked.seed)
    campaign.undisturbed()
    wanted, number = 30 if asked.short else asked.kills, 0
    while campaign.kills() < wanted and len(campaign.failures) < 10:
        if number % 50 == 49:
            campaign.measure(f"measured{number}")
        campaign.round(number)
        number += 1
    disks.full(campaign, asked.amlrun.resolve(), folder)
    disks.read_only(campaign, asked.amlrun.resolve(), folder)
    campaign.report(number)
    if campaign.failures:
        print(f"kept: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
