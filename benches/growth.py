#!/usr/bin/env python3
"""What steps cost that are added while a run goes on, beside the same number of steps of a plan.

    benches/growth.py target/release/amlrun [--small]

Prints, as medians of pairs: the time of a sweep with 200 trials of `true` over that of a pipeline with 200 steps of `true`,
and the most memory that the runner needs for a loop over 10,000 items.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENVIRONMENT = dict(os.environ, AMLRUN_ENVIRONMENT="host", AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED="true")
HEAD = "type: pipeline\nsettings: {default_compute: azureml:cpu}\njobs:\n"


def plain(count):
    node = "  s{}: {{command: 'true', environment: 'azureml:e:1', inputs: {{x: {}}}}}\n"
    return HEAD + "".join(node.format(number, number) for number in range(count))


def sweep(count):
    return (
        "type: sweep\ntrial: {command: 'true', environment: 'azureml:e:1'}\nsampling_algorithm: grid\n"
        f"search_space: {{x: {{type: choice, values: {list(range(count))}}}}}\n"
        f"objective: {{goal: minimize, primary_metric: m}}\nlimits: {{max_total_trials: {count}}}\n"
    )


def loop(count):
    items = json.dumps([{"x": number} for number in range(count)])
    return HEAD + (
        "  one: {type: command, component: ./one.yml, inputs: {x: 0}}\n"
        f"  all:\n    type: parallel_for\n    body: ${{{{parent.jobs.one}}}}\n    items: '{items}'\n"
    )


def run(amlrun, file, folder):
    """Seconds and the largest resident size in MB of a run in a fresh workspace."""
    home = tempfile.mkdtemp(dir=folder)
    begin = time.monotonic()
    process = subprocess.Popen(
        [amlrun, "--home", home, "run", file], cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{file} ends with {status}")
    return time.monotonic() - begin, usage.ru_maxrss / 1024


def main():
    amlrun, small = str(Path(sys.argv[1]).resolve()), "--small" in sys.argv
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plain.yml").write_text(plain(200))
        (folder / "sweep.yml").write_text(sweep(200))
        (folder / "loop.yml").write_text(loop(10_000))
        (folder / "one.yml").write_text(
            "name: one\ntype: command\ninputs: {x: {type: integer}}\nenvironment: azureml:e:1\ncommand: 'true'\n"
        )
        ratios, seconds = [], []
        for _ in range(3 if small else 11):
            steps, trials = (run(amlrun, file, folder)[0] for file in ("plain.yml", "sweep.yml"))
            ratios.append(trials / steps)
            seconds.append((steps, trials))
        steps, trials = (statistics.median(column) for column in zip(*seconds))
        print(f"200 plain steps {steps:.2f} s, 200 trials {trials:.2f} s, ratio {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} pairs)")
        seconds, memory = run(amlrun, "loop.yml", folder)
        print(f"10,000 items of a loop: {seconds:.1f} s, at most {memory:.0f} MB")


if __name__ == "__main__":
    main()
