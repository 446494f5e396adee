#!/usr/bin/env python3
"""Kills runs that add steps while they go on (conditions, loops, a sweep) at random moments, and goes on with them.

    tests/campaign/growth.py target/release/amlrun [--kills 50 | --short] [--seed N]

After each kill 'amlrun run --resume' must end with the steps, outputs and best trial of an undisturbed run, no step that
the record has as completed may be executed again, and no process may be left. Prints its counts; ends with 1 when anything
differed, and keeps the folder then.
"""

import argparse
import collections
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SIGNALS = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
SWEEP = """\
type: pipeline
settings: {default_compute: azureml:cpu}
outputs: {best: {type: uri_folder}}
jobs:
  tune:
    type: sweep
    trial: ./trial.yml
    outputs: {o: "${{parent.outputs.best}}"}
    sampling_algorithm: {type: random, seed: 3}
    search_space: {x: {type: uniform, min_value: -2, max_value: 2}, k: {type: choice, values: [1, 2, 3]}}
    objective: {goal: minimize, primary_metric: loss}
    limits: {max_total_trials: 12, max_concurrent_trials: 3}
"""
TRIAL = """\
name: trial
type: command
inputs: {x: {type: number}, k: {type: integer}}
outputs: {o: {type: uri_folder}}
environment: azureml:small:1
command: >-
  echo ${{inputs.x}} ${{inputs.k}} > ${{outputs.o}}/v; loss=$(python3 -c 'print((${{inputs.x}})**2 + ${{inputs.k}})');
  bash LOG loss $loss
"""


class Growth:
    """One pipeline, its undisturbed end, and what went wrong."""

    def __init__(self, amlrun, project, seed):
        self.amlrun, self.project, self.dice = amlrun, project, random.Random(seed)
        self.marker = f"growth-{os.getpid()}-{project.name}"
        self.environment = dict(
            os.environ, AMLRUN_ENVIRONMENT="host", AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED="true", GROWTH_MARKER=self.marker
        )
        (project / "amlrun.toml").write_text('pass_variables = ["GROWTH_MARKER"]\n')
        self.counts, self.failures = collections.Counter(), []
        begin = time.monotonic()
        code, text = self.ended(self.start("run", "pipeline.yml", "--name", "undisturbed", "--force-rerun"))
        self.length = time.monotonic() - begin
        if code != 0:
            raise SystemExit(f"the undisturbed run failed:\n{text}")
        self.expected = self.end("undisturbed")

    def start(self, *arguments):
        return subprocess.Popen(
            [self.amlrun, *arguments], cwd=self.project, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )

    @staticmethod
    def ended(process):
        text, _ = process.communicate(timeout=300)
        return process.returncode if process.returncode >= 0 else 128 - process.returncode, text

    def events(self, run):
        record = self.project / ".amlrun/runs" / run / "events.jsonl"
        lines = record.read_text().splitlines() if record.exists() else []
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                pass
        return found

    def is_complete(self, run):
        """Whether the runner recorded the end before the signal reached it."""
        ends = [event for event in self.events(run) if event["event"] in ("run_finished", "run_resumed")]
        return bool(ends) and ends[-1]["event"] == "run_finished" and ends[-1]["status"] == "Completed"

    def end(self, run):
        """The last outcome of each step, the content of the run's outputs, and the best trial."""
        steps, outputs, best = {}, {}, None
        for event in self.events(run):
            if event["event"] == "step_finished":
                steps[event["step"]] = event["outcome"]
            elif event["event"] == "step_reused":
                steps[event["step"]] = "completed"
            elif event["event"] == "step_scored" and event.get("best"):
                best = event["step"]
            elif event["event"] == "run_finished":
                outputs = {o["name"]: self.digest(self.project / ".amlrun" / o["path"]) for o in event["outputs"]}
        return steps, outputs, best

    @staticmethod
    def digest(path):
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

    def left(self):
        marked = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"GROWTH_MARKER={self.marker}".encode() in (folder / "environ").read_bytes():
                    marked.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                pass
        return marked

    def fail(self, what):
        self.failures.append(what)
        print(f"FAILED {what}", flush=True)

    def round(self, number):
        run = f"r{number}"
        forced = ["--force-rerun"] if number % 4 else []
        process = self.start("run", "pipeline.yml", "--name", run, *forced)
        while True:
            moment = self.dice.uniform(0, self.length)
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                process.send_signal(self.dice.choice(SIGNALS))
                self.counts["kills"] += 1
            code, text = self.ended(process)
            if not any(event["event"] == "run_started" for event in self.events(run)):
                return
            if code == 0 or self.is_complete(run):
                break
            if code not in (137, 143, 130, 129):
                return self.fail(f"round {number}: exit code {code}:\n{text}")
            done = {step for step, outcome in self.end(run)[0].items() if outcome == "completed"}
            before = len(self.events(run))
            self.counts["resumes"] += 1
            process = self.start("run", "--resume", run)
            if self.dice.random() < 0.6:
                code, text = self.ended(process)
                self.kept(number, run, done, before)
                if code != 0:
                    return self.fail(f"round {number}: the resume ends with {code}:\n{text}")
                break
        if self.end(run) != self.expected:
            self.fail(f"round {number}: {run} ended otherwise:\n  {self.end(run)}\n  {self.expected}")
        for _ in range(200):
            if not (left := self.left()):
                break
            time.sleep(0.05)
        else:
            self.fail(f"round {number}: left {left}")

    def kept(self, number, run, done, before):
        """What was completed when the run was resumed is not executed again. Conditions are evaluated again."""
        started = {event["step"] for event in self.events(run)[before:] if event["event"] == "step_started"}
        self.counts["steps kept"] += len(done)
        if again := started & done:
            self.fail(f"round {number}: executed again: {', '.join(sorted(again))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("amlrun", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--short", action="store_true", help="12 kills")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for one in (signal.SIGINT, signal.SIGHUP):
        signal.signal(one, lambda *_: sys.exit(130))
    folder = Path(tempfile.mkdtemp(prefix="amlrun-growth-"))
    shutil.copytree(ROOT / "pipelines/control_flow", folder / "flow")
    (folder / "sweep").mkdir()
    (folder / "sweep/pipeline.yml").write_text(SWEEP)
    log = ROOT / "tests/corpus/parts/log_metric.sh"
    (folder / "sweep/trial.yml").write_text(TRIAL.replace("LOG", str(log)))
    projects = [Growth(asked.amlrun.resolve(), folder / name, asked.seed) for name in ("flow", "sweep")]
    wanted, number = 12 if asked.short else asked.kills, 0
    while min(project.counts["kills"] for project in projects) < wanted and number < 10 * wanted:
        for project in projects:
            if len(project.failures) < 5:
                project.round(number)
        number += 1
    for project in projects:
        kills, counts = project.counts["kills"], project.counts
        print(f"{project.project.name}: {kills} kills, {counts['resumes']} resumes, {counts['steps kept']} steps kept, "
              f"{len(project.failures)} failures")
    if any(project.failures for project in projects):
        print(f"kept: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
