#!/usr/bin/env python3
"""Measures what a step in a container costs beside `podman run` of the same command.

    AMLRUN_TEST_IMAGE=IMAGE benches/containers.py target/release/amlrun [--steps 20] [--rounds 3]

A chain of steps, one at a time, against the same number of `podman run --rm` with the same command, network and mounts of
one folder. The rounds alternate; the round with the median ratio is printed.
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

COMMAND = "echo done"


def pipeline(image, steps):
    node = "  s{number:02}:\n    type: command\n    environment: {{image: {image}}}\n    command: {command}\n"
    nodes = "".join(node.format(number=number, image=image, command=COMMAND) for number in range(steps))
    return f"type: pipeline\njobs:\n{nodes}"


def timed(*command, **options):
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)
    return time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("amlrun", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    image, steps = os.environ["AMLRUN_TEST_IMAGE"], arguments.steps
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "amlrun.toml").write_text('[environments]\ndefault = "container"\nengine = "podman"\n')
        (folder / "pipeline.yml").write_text(pipeline(image, steps))
        amlrun = [arguments.amlrun.resolve(), "run", "pipeline.yml", "--force-rerun", "--jobs", "1", "--quiet"]
        bare = ["podman", "run", "--rm", "--network=host", f"--volume={folder}:{folder}", image, "bash", "-c", COMMAND]
        # Once for the caches of both.
        timed(*amlrun, cwd=folder)
        timed(*bare)
        rounds = []
        for _ in range(arguments.rounds):
            ours = timed(*amlrun, cwd=folder) / steps
            theirs = sum(timed(*bare) for _ in range(steps)) / steps
            rounds.append((ours / theirs, ours, theirs))
    ratio, ours, theirs = sorted(rounds)[len(rounds) // 2]
    spread = f"{min(rounds)[0]:.2f} to {max(rounds)[0]:.2f}"
    print(f"containers: {steps} steps, per step {ours * 1000:.0f} ms, podman run {theirs * 1000:.0f} ms: "
          f"ratio {ratio:.2f} ({spread} in {arguments.rounds} rounds)")


if __name__ == "__main__":
    main()
