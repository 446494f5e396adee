"""The world of the fault campaign: a pipeline of 33 steps, runs of it, and what must be true after each."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

# Counts each execution outside of what amlrun keeps, leaves processes behind, and writes what follows from its inputs.
STEP = r"""
set -e
name=$1; kind=$2; pause=$3; out=$4; shift 4
echo run >> "$CAMPAIGN_RUNS/$name"
case $kind in
    child) sleep "$CAMPAIGN_SLEEP" & ;;
    bare) env -i sleep "$CAMPAIGN_SLEEP" & ;;
    daemon) setsid sleep "$CAMPAIGN_SLEEP" > /dev/null 2>&1 & ;;
    deaf) trap '' TERM INT HUP ;;
esac
if [ "$name" = bulk ]; then head -c "$CAMPAIGN_SIZE" /dev/zero > "$out/bulk"; fi
mkdir -p "$out/parts"
{ echo "$name"; for input in "$@"; do cat "$input/value"; done; } | sha256sum > "$out/parts/whole"
sleep "$pause"
for part in 1 2 3; do echo "$name $part" > "$out/parts/$part"; done
cat "$out/parts/whole" > "$out/value"
echo "done $name"
"""

KINDS = ["plain", "child", "plain", "daemon", "plain", "bare", "plain", "deaf"]
# The steps whose outputs become assets.
REGISTERED = {"chain_9": "campaign-chain", "join": "campaign-join"}


def shape():
    """Each step with those that it reads: a chain, two fans, what joins them, some on their own, one that gets a copy of
    a large input, one that writes much, and one that reads that: 33 in all."""
    steps = {"start": []}
    for number in range(10):
        steps[f"chain_{number}"] = [f"chain_{number - 1}" if number else "start"]
    for number in range(8):
        steps[f"fan_{number}"] = ["start"]
    for number in range(4):
        steps[f"pair_{number}"] = [f"fan_{2 * number}", f"fan_{2 * number + 1}"]
    for number in range(4):
        steps[f"alone_{number}"] = []
    steps["join"] = [f"pair_{number}" for number in range(4)] + ["chain_4"]
    steps["tail"] = ["join"]
    steps["end"] = ["tail", "chain_9"]
    steps["copied"] = []
    steps["bulk"] = ["copied"]
    steps["counted"] = ["bulk"]
    assert len(steps) == 33
    return steps


def pipeline():
    """The pipeline file's text."""
    lines = ["type: pipeline", "jobs:"]
    for index, (name, needs) in enumerate(shape().items()):
        words = ["sh step.sh", name, KINDS[index % len(KINDS)], f"0.0{1 + index * 7 % 5}", "${{outputs.o}}"]
        words += [f"${{{{inputs.{need}}}}}" for need in needs]
        lines += [f"  {name}:", "    type: command", "    code: src", "    environment: azureml:any@latest"]
        lines += [f"    command: {' '.join(words)}"]
        if name == "copied":
            lines += ["    inputs: {data: {type: uri_file, path: ./data.bin, mode: download}}"]
        if needs:
            lines += ["    inputs:"] + [f"      {need}: ${{{{parent.jobs.{need}.outputs.o}}}}" for need in needs]
        asset = f", name: {REGISTERED[name]}" if name in REGISTERED else ""
        lines += [f"    outputs: {{o: {{type: {'custom_model' if asset else 'uri_folder'}{asset}}}}}"]
    return "\n".join(lines) + "\n"


class World:
    """A project folder with the pipeline, and the amlrun that runs it."""

    def __init__(self, binary, folder, home=None, large=64 << 20):
        self.binary, self.folder, self.large = binary, folder, large
        self.home = home or folder / ".amlrun"
        self.runs = folder / "executions"
        self.mark = f"{os.getpid()}-{folder.name}"
        # A number of seconds that nobody else sleeps: it tells those that hide their environment.
        self.sleep = f"{2000 + os.getpid() % 1000}.{time.time_ns() % 10**9}"
        (folder / "src").mkdir(parents=True)
        self.runs.mkdir()
        (folder / "src/step.sh").write_text(STEP)
        (folder / "pipeline.yml").write_text(pipeline())
        (folder / "data.bin").write_bytes(b"campaign" * (large // 8))
        passed = ["CAMPAIGN_MARK", "CAMPAIGN_RUNS", "CAMPAIGN_SLEEP", "CAMPAIGN_SIZE"]
        (folder / "amlrun.toml").write_text(f"pass_variables = {json.dumps(passed)}\n")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AMLRUN_")}
        own = {"CAMPAIGN_MARK": self.mark, "CAMPAIGN_RUNS": str(self.runs), "CAMPAIGN_SLEEP": self.sleep,
               "CAMPAIGN_SIZE": str(large)}
        self.environment = clean | own | {"AMLRUN_HOME": str(self.home), "AMLRUN_GRACE": "2", "NO_COLOR": "1"}

    def start(self, *arguments):
        """amlrun, started; what it prints goes into a file, since nobody reads a pipe here."""
        said = open(self.folder / "said.txt", "w+")
        command = [str(self.binary), *arguments]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            start_new_session=True,
        )
        process.said = said
        return process

    def amlrun(self, *arguments):
        """amlrun, run to its end: its exit code and what it printed."""
        return self.ended(self.start(*arguments))

    def ended(self, process):
        """The exit code of a process (as a shell tells it) and what it printed."""
        try:
            code = process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            code = "hangs"
        process.said.seek(0)
        text = process.said.read()
        process.said.close()
        return (128 - code if isinstance(code, int) and code < 0 else code), text

    def query(self, *arguments):
        """What a command of amlrun answers, as JSON."""
        done = subprocess.run(
            [str(self.binary), *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        if done.returncode:
            raise AssertionError(f"amlrun {' '.join(arguments)}: {done.stderr}")
        return json.loads(done.stdout)

    def events(self, run):
        """The whole lines of a run's record; none where there is no record."""
        path = self.home / "runs" / run / "events.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1] if line]

    def finished(self, run):
        """The outputs of the steps that the record has as completed, by step."""
        done = {}
        for event in self.events(run):
            if event["event"] in ("run_resumed", "step_preparing"):
                for step in event["steps"] if event["event"] == "run_resumed" else [event["step"]]:
                    done.pop(step, None)
            elif event["event"] == "step_reused" or event["event"] == "step_finished" and event["outcome"] == "completed":
                if event["event"] == "step_reused" or event["step"] not in done:
                    done[event["step"]] = event["outputs"]
        return done

    def executions(self):
        """How often each step was executed so far."""
        return {step: self.count(step) for step in shape()}

    def count(self, step):
        path = self.runs / step
        return path.read_text().count("\n") if path.exists() else 0

    def outputs(self, run):
        """The digest of each step's output."""
        finished = self.finished(run)
        return {
            f"{step}.{output['name']}": digest(self.home / output["path"]) for step in finished for output in finished[step]
        }

    def assets(self):
        """Every registered version, each with the digest of what lies at its path."""
        found = []
        for name in REGISTERED.values():
            for asset in self.query("model", "list", "-n", name):
                found.append((name, asset["version"], digest(asset["path"])))
        return found

    def left(self, patience=10.0):
        """The processes that carry the mark and do not go away."""
        end = time.monotonic() + patience
        while (alive := self.marked()) and time.monotonic() < end:
            time.sleep(0.01)
        return alive

    def marked(self):
        marks = [f"CAMPAIGN_MARK={self.mark}\0".encode(), f"sleep\0{self.sleep}\0".encode()]
        found = []
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                line = (process / "cmdline").read_bytes()
                if line and any(mark in text for mark in marks for text in ((process / "environ").read_bytes(), line)):
                    found.append((int(process.name), line.replace(b"\0", b" ").decode(errors="replace")))
            except OSError:
                continue
        return found

    def forget(self, run):
        """Removes the folder of a run and its large output; its other outputs stay for those that reuse them."""
        shutil.rmtree(self.home / "runs" / run, ignore_errors=True)
        for tree in (self.home / "store/v1").glob(f"{run}.bulk.*"):
            shutil.rmtree(tree, ignore_errors=True)

    def is_copying(self, run):
        """Whether a copy of the large input is being made."""
        return any((self.home / "runs" / run / "steps/copied/inputs/data").glob(".amlrun-part-*"))

    def is_reading(self, run):
        """Whether the large output is there, and nobody reads it yet: its digest is being found out."""
        ended = {event["step"]: event["event"] for event in self.events(run) if "step" in event}
        return ended.get("bulk") == "step_finished" and "counted" not in ended


def digest(path):
    """The digest of a folder's files, names and bytes; a word where it is not there."""
    root = Path(path)
    if not root.is_dir():
        return "missing"
    whole = hashlib.sha256()
    for file in sorted(p for p in root.rglob("*") if p.is_file()):
        whole.update(f"{file.relative_to(root)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()
