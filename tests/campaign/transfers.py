#!/usr/bin/env python3
"""The fault campaign of transfers: `amlrun cp` through a proxy that breaks what it can, to a real Azurite and back.

    tests/campaign/transfers.py target/release/amlrun [--faults 200 | --short] [--seed N]

Each round puts a few files of many sizes and names there and fetches them into a fresh folder. Requests are reset,
stalled, cut off or refused at random; `amlrun cp` is killed and run again; Azurite is killed and started again on its data.
Every byte must be equal in the end, in Azurite (read past the proxy) and in the folder; what has a final name is whole at
any time; nothing that the client heard to be there is uploaded again. Prints its counts; ends with 1 when anything
differed, and keeps the folder then.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from blobs import ACCOUNT, KEY, Azurite, digest, digests
from proxy import HELD, Proxy

MIB = 1 << 20
NAMES = ["a name with spaces.txt", "100% of it.csv", "50%25.txt", "ünïcødé/日本語.bin", "plus+and&more=.dat",
         "hash#mark?.bin", "deep/er/and/deeper/file", "quote'd (1).txt", ".hidden", "deep/er/semi;colon,@home.txt",
         "~tilde/[b]rackets{}.txt"]
LIMIT = 240  # seconds for one transfer: a hang is a failure
CONTAINER = "campaign"
KINDS = ["faults", "kills in the upload", "faults", "kills in the download", "the service is killed"]


class Campaign:
    """The rounds, what they count, and what went wrong."""

    def __init__(self, amlrun, azurite, folder, seed, largest):
        self.amlrun, self.folder, self.dice, self.largest = amlrun, folder, random.Random(seed), largest
        self.azurite = Azurite(azurite, folder / "azurite")
        self.azurite.container(CONTAINER)
        self.azurite.container("marks")
        self.proxy = Proxy(self.azurite.port, seed + 1)
        self.counts, self.failures = collections.Counter(), []
        key = '{ env = "CAMPAIGN_KEY" }'
        endpoint = f"http://127.0.0.1:{self.proxy.port}/{ACCOUNT}"
        (folder / "amlrun.toml").write_text(
            "[transfer]\nstall = 1\nretry_timeout = 60\n"
            f'[accounts.{ACCOUNT}]\nendpoint = "{endpoint}"\naccount_key = {key}\n'
            f'[datastores.rig]\ncontainer = "{endpoint}/{CONTAINER}"\naccount_key = {key}\n')

    def fail(self, where, what):
        self.failures.append(f"{where}: {what}")
        print(f"FAILED {self.failures[-1]}", flush=True)

    def faults(self):
        kills = sum(count for name, count in self.counts.items() if name.startswith("killed"))
        return kills + sum(count for name, count in self.proxy.faults.items() if name != HELD)

    def round(self, number):
        kind, name = KINDS[number % len(KINDS)], f"round {number:03}"
        source, target = self.folder / name / "source", self.folder / name / "target"
        expected = self.files(source, kind.startswith("kills"))
        there = [f"wasbs://{CONTAINER}@{ACCOUNT}.blob.core.windows.net/r{number}/",
                 f"azureml://datastores/rig/paths/r{number}/"][self.dice.randrange(2)]
        self.proxy.rate = self.dice.choice([0.05, 0.15, 0.3])
        up, down = f"{name}, up", f"{name}, down"
        if kind == "kills in the upload":
            self.killed(source, there, up, lambda: self.blobs_are_whole(number, expected, up))
        self.transfer(source, there, up, kind)
        self.blobs_are_whole(number, expected, up, all_there=True)
        target.mkdir()
        if kind == "kills in the download":
            self.killed(there, target, down, lambda: self.files_are_whole(target, expected, down))
        self.transfer(there, target, down, kind)
        self.files_are_whole(target, expected, down, all_there=True)
        for twice in self.proxy.twice():
            self.fail(name, f"uploaded again although the client had heard of it: {twice}")
        self.proxy.call(self.proxy.heard.clear)
        for strange in self.proxy.strange:
            self.fail(name, strange)
        self.proxy.strange.clear()
        self.counts["rounds"] += 1
        self.counts["files that went up and down"] += len(expected)
        if not self.failures:
            shutil.rmtree(self.folder / name)

    def files(self, source, for_kills):
        """A few files of many sizes below a folder, and their digests; larger ones where a kill is to leave a part."""
        sizes = [0, 1, 100 << 10] + [self.dice.randrange(2, 400 << 10) for _ in range(self.dice.randrange(2, 6))]
        sizes.append(self.dice.randrange(5 * MIB, self.largest))
        if for_kills:
            sizes.append(self.dice.randrange(24 * MIB, 40 * MIB))
        for size, name in zip(sizes, self.dice.sample(NAMES, len(sizes))):
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.dice.randbytes(size))
        return digests(source)

    def start(self, source, target):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AMLRUN_")}
        arguments = [f"{one}/" if isinstance(one, Path) else one for one in (source, target)]
        self.output = tempfile.TemporaryFile()
        return subprocess.Popen([self.amlrun, "cp", *arguments], cwd=self.folder, stdin=subprocess.DEVNULL,
                                stdout=self.output, stderr=self.output, env={**environment, "CAMPAIGN_KEY": KEY})

    def ended(self, process, where):
        """The exit code and all that was printed; none when it hung."""
        try:
            code = process.wait(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.fail(where, f"no end after {LIMIT} seconds")
            code = None
        self.output.seek(0)
        text = self.output.read().decode(errors="replace")
        self.output.close()
        # What it asked last must be over before anything is looked at, or before it asks again.
        while self.proxy.open:
            time.sleep(0.01)
        return code, text

    def transfer(self, source, target, where, kind):
        """A transfer that must succeed, whatever happens to its requests and to the service."""
        process = self.start(source, target)
        if kind == "the service is killed":
            self.kill_service(process)
        code, text = self.ended(process, where)
        self.counts["transfers"] += 1
        if code not in (0, None):
            self.fail(where, f"exit code {code}:\n{text}")

    def kill_service(self, process):
        """SIGKILL for Azurite in mid-transfer; it comes back, at its port, with all that it has acknowledged."""
        moment = threading.Event()
        self.proxy.at(self.dice.randrange(1, 12), False, moment.set)
        while not moment.wait(0.02):
            if process.poll() is not None:
                self.proxy.never()
                self.counts["ended before the kill"] += 1
                return
        self.proxy.hold()
        self.azurite.settle()
        self.azurite.kill()
        self.azurite.start()
        self.proxy.release()
        self.counts["killed: Azurite"] += 1

    def killed(self, source, target, where, look):
        """`amlrun cp` is killed up to three times, mostly while it moves much; after each, what is there is looked at."""
        for _ in range(self.dice.randrange(2, 4)):
            process = self.start(source, target)
            large = self.dice.random() < 0.7
            self.proxy.at(self.dice.randrange(1, 6 if large else 16), large, process.kill)
            code, text = self.ended(process, where)
            self.proxy.never()
            if code == -signal.SIGKILL:
                self.counts[f"killed: amlrun cp in the {'download' if isinstance(target, Path) else 'upload'}"] += 1
            elif code == 0:
                self.counts["ended before the kill"] += 1
            elif code is not None:
                self.fail(where, f"exit code {code}:\n{text}")
            look()

    def blobs_are_whole(self, number, expected, where, all_there=False):
        prefix = f"r{number}/"
        names = self.azurite.names(CONTAINER, prefix)
        found = {name[len(prefix):]: digest(self.azurite.read(CONTAINER, name)) for name in names}
        self.whole(found, expected, where, all_there)

    def files_are_whole(self, target, expected, where, all_there=False):
        self.whole(digests(target), expected, where, all_there)
        parts = [path.name for path in target.rglob(".amlrun-*")]
        if all_there and parts:
            self.fail(where, f"left {parts}")

    def whole(self, found, expected, where, all_there):
        for name, content in found.items():
            if name not in expected:
                self.fail(where, f"nobody asked for {name!r}")
            elif content != expected[name]:
                self.fail(where, f"{name!r} has its final name and other bytes")
        if all_there and (missing := sorted(set(expected) - set(found))):
            self.fail(where, f"not there: {missing}")

    def report(self, seconds):
        print(f"{self.faults()} faults in {self.counts['rounds']} rounds, {seconds:.0f} s")
        for counts in (self.counts, self.proxy.faults):
            for name, count in sorted(counts.items()):
                print(f"{count:8} {name}")
        print(f"{self.proxy.requests:8} requests")
        print(f"{len(self.failures):8} violations", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("amlrun", type=Path)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--short", action="store_true", help="30 faults")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--azurite", type=Path, default=Path(__file__).resolve().parents[2] / ".azurite/run")
    asked = parser.parse_args()
    for one in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(one, lambda *_: sys.exit(130))
    if not asked.azurite.exists():
        raise SystemExit("Azurite is not here; run make azurite")
    begin = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="amlrun-transfers-")).resolve()
    largest = (10 if asked.short else 40) * MIB
    campaign = Campaign(asked.amlrun.resolve(), asked.azurite.resolve(), folder, asked.seed, largest)
    try:
        wanted, number = 30 if asked.short else asked.faults, 0
        # Each kind of round at least once, whatever the dice say.
        while (campaign.faults() < wanted or number < len(KINDS)) and len(campaign.failures) < 10:
            campaign.round(number)
            number += 1
    finally:
        campaign.azurite.kill()
    campaign.report(time.monotonic() - begin)
    if campaign.failures:
        print(f"kept: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
