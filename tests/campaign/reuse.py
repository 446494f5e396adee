#!/usr/bin/env python3
"""The reuse campaign: a pipeline whose steps say all that they can see, edited at random, against an oracle that runs
everything.

    tests/campaign/reuse.py target/release/amlrun [--rounds 2000 | --short] [--seed N]

Each round edits the project (content with the same size and time, execute bits, links, names, folders, code, programs,
packages, interpreters, variables, outputs in the store), half of the time while a run goes on that reads it. Then one run
that may reuse what it likes is compared with one that may reuse nothing: every step must have the same output. Prints
how many reuses were wrong, and how many reruns were needless: a step that ran though an earlier run had the same result
for the same things. Ends with 1 when a reuse was wrong, and keeps the folder then.
"""

import argparse
import collections
import json
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

# Says of a tree all that a step can see: names, kinds, who may execute what, where links point, and the bytes.
SEE = r"""
import os, stat, sys
root = os.fsencode(sys.argv[1])
def see(path, shown):
    info = os.lstat(path)
    if stat.S_ISLNK(info.st_mode) and not shown.startswith(b"-"):
        print(shown, "->", os.readlink(path) if sys.argv[2] == "links" else "")
        info = os.stat(path)
    if stat.S_ISDIR(info.st_mode):
        names = sorted(os.listdir(path))
        if names or sys.argv[2] == "links":
            print(shown, "folder", len(names))
        for name in names:
            see(os.path.join(path, name), shown + b"/" + name)
    else:
        print(shown, oct(info.st_mode & 0o111), open(path, "rb").read())
see(root, b"")
"""

NODE = """  {name}:
    type: command
    environment: azureml:any@latest
    command: {command}
{more}    outputs: {{o: {{type: uri_file}}}}
"""

NAMES = [b"a", b"b.txt", b"sub/c", b"sub/d", b"x\\y", b"\xff\xfe", b"z z"]
WORDS = [b"one", b"two", b"six", b"ten and more\n", b""]


def pipeline(project):
    see = project / "see.py"
    system = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    nodes = [
        ("mounted", f"{system} {see} ${{{{inputs.d}}}} links > ${{{{outputs.o}}}}",
         "    inputs: {d: {type: uri_folder, path: ./data}}\n"),
        ("copied", f"sleep 0.05; {system} {see} ${{{{inputs.d}}}} copies > ${{{{outputs.o}}}}",
         "    inputs: {d: {type: uri_folder, path: ./plain, mode: download}}\n"),
        ("code", f"{system} {see} . copies > ${{{{outputs.o}}}}", "    code: ./src\n"),
        ("reads", "cat ${{inputs.m}} > ${{outputs.o}}; tool >> ${{outputs.o}}; "
                  "echo $TZ $SEED $DROPPED $NODE >> ${{outputs.o}}",
         "    inputs: {m: '${{parent.jobs.mounted.outputs.o}}'}\n    environment_variables: {NODE: fixed}\n"),
        ("python", "bash main.sh > ${{outputs.o}}", "    code: ./runs\n"),
        ("last", "cat ${{inputs.c}} ${{inputs.p}} > ${{outputs.o}}",
         "    inputs: {c: '${{parent.jobs.copied.outputs.o}}', p: '${{parent.jobs.python.outputs.o}}'}\n"),
    ]
    text = "type: pipeline\njobs:\n"
    return text + "".join(NODE.format(name=n, command=json.dumps(c), more=m) for n, c, m in nodes)


STEPS = ["mounted", "copied", "code", "reads", "python", "last"]


class Project:
    """The project, its two workspaces, and what can be edited of it."""

    def __init__(self, binary, folder, dice):
        self.binary, self.folder, self.dice = binary, folder, dice
        self.variables = {"TZ": "UTC", "SEED": "1", "DROPPED": "1"}
        self.venv = "venv0"
        for name in ("data/sub", "plain/sub", "src", "runs", "bin"):
            (folder / name).mkdir(parents=True)
        (folder / "see.py").write_text(SEE)
        (folder / "pipeline.yml").write_text(pipeline(folder))
        (folder / "amlrun.toml").write_text('pass_variables = ["SEED"]\n')
        for tree in ("data", "plain", "src"):
            (folder / tree / "a").write_bytes(b"one")
        (folder / "runs/main.sh").write_text("python -c 'import pkg; print(pkg.V)'\n")
        self.tool(b"v1")
        for number in range(2):
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / f"venv{number}"], check=True)
            self.package(number, "1.0", f"{number}a")
        self.runs = 0

    def environment(self):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AMLRUN_")}
        path = f"{self.folder / self.venv / 'bin'}:{self.folder / 'bin'}:{os.environ['PATH']}"
        # Byte code is taken for that of a newer source of the same second and size, whoever imports it.
        return clean | self.variables | {"PATH": path, "NO_COLOR": "1", "XDG_CACHE_HOME": str(self.folder / "cache")}

    def start(self, home, name, *arguments):
        command = [self.binary, "--home", self.folder / home, "run", "pipeline.yml", "--name", name, "--quiet"]
        return subprocess.Popen(
            [*map(str, command), *arguments], cwd=self.folder, env=self.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )

    def run(self, home, *arguments):
        """A run to its end: by step whether it was reused, and what its output holds."""
        self.runs += 1
        name = f"r{self.runs}"
        process = self.start(home, name, *arguments)
        text, _ = process.communicate()
        if process.returncode:
            raise AssertionError(f"the run {name} in {self.folder} failed:\n{text.decode(errors='replace')}")
        return self.outcome(home, name)

    def outcome(self, home, name):
        found = {}
        self.reasons = {}
        for line in (self.folder / home / "runs" / name / "events.jsonl").read_bytes().splitlines():
            event = json.loads(line)
            if event["event"] == "step_preparing":
                because = event.get("because", [{"what": "reason", "name": "none is said"}])[0]
                self.reasons[event["step"]] = because["name"] if because["what"] == "reason" else because["what"]
            if event["event"] in ("step_reused", "step_finished"):
                path = self.folder / home / event["outputs"][0]["path"]
                found[event["step"]] = (event["event"] == "step_reused", path.read_bytes())
        return found

    def tidy(self):
        """Removes links to what is gone: with these no step begins."""
        for tree in ("data", "plain", "src"):
            for file in self.files(tree):
                if os.path.islink(file) and not os.path.exists(file):
                    os.remove(file)

    # What can be edited.

    def file(self, tree):
        return os.path.join(os.fsencode(self.folder / tree), self.dice.choice(NAMES))

    def files(self, tree):
        root = os.fsencode(self.folder / tree)
        return [os.path.join(at, name) for at, _, names in os.walk(root) for name in names]

    def existing(self, tree):
        files = [file for file in self.files(tree) if not os.path.islink(file)]
        return self.dice.choice(files) if files else None

    def tool(self, text):
        place = self.folder / "bin/tool"
        place.write_bytes(b"#!/bin/sh\necho " + text + b"\n")
        place.chmod(0o755)

    def package(self, number, version, value):
        (site,) = (self.folder / f"venv{number}/lib").glob("python3*/site-packages")
        for info in site.glob("pkg-*.dist-info"):
            shutil.rmtree(info)
        (site / f"pkg-{version}.dist-info").mkdir()
        text = f"Metadata-Version: 2.1\nName: pkg\nVersion: {version}\n"
        (site / f"pkg-{version}.dist-info/METADATA").write_text(text)
        self.module(number, value)

    def module(self, number, value):
        (site,) = (self.folder / f"venv{number}/lib").glob("python3*/site-packages")
        (site / "pkg.py").write_text(f"V = {value!r}\n")
        shutil.rmtree(site / "__pycache__", ignore_errors=True)

    def edit(self):
        """One edit; its name."""
        tree = self.dice.choice(["data", "plain", "src"])
        kind = self.dice.choice(EDITS)
        try:
            getattr(self, f"edit_{kind}")(tree)
        except OSError:
            # What is a folder or a link by now, or has gone.
            return f"{kind} (not possible)"
        return kind

    def edit_write(self, tree):
        file = self.file(tree)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "wb") as out:
            out.write(self.dice.choice(WORDS))

    def edit_unseen(self, tree):
        """Other bytes of the same size, and the times put back."""
        if file := self.existing(tree):
            info = os.stat(file)
            with open(file, "r+b") as out:
                out.write(bytes(self.dice.choice(b"onetwsix") for _ in range(info.st_size)))
            os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))

    def edit_mode(self, tree):
        if file := self.existing(tree):
            os.chmod(file, self.dice.choice([0o644, 0o755, 0o744, 0o645]))

    def edit_touch(self, tree):
        if file := self.existing(tree):
            os.utime(file)

    def edit_remove(self, tree):
        if file := self.existing(tree):
            os.remove(file)

    def edit_rename(self, tree):
        if file := self.existing(tree):
            to = self.file(tree)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            os.rename(file, to)

    def edit_replace(self, tree):
        """Another file under the same name, with the size and the times of the one before."""
        if file := self.existing(tree):
            info = os.stat(file)
            other = os.fsencode(self.folder / "other")
            with open(other, "wb") as out:
                out.write(bytes(self.dice.choice(b"onetwsix") for _ in range(info.st_size)))
            os.utime(other, ns=(info.st_atime_ns, info.st_mtime_ns))
            os.rename(other, file)

    def edit_folder(self, tree):
        place = self.folder / tree / self.dice.choice(["empty", "sub/empty"])
        place.rmdir() if place.is_dir() else place.mkdir(parents=True)

    def edit_link(self, tree):
        place = self.folder / tree / "link"
        if place.is_symlink() and self.dice.random() < 0.4:
            return place.unlink()
        if files := [file for file in self.files(tree) if not os.path.islink(file)]:
            target = os.path.relpath(self.dice.choice(files), os.fsencode(place.parent))
            place.unlink(missing_ok=True)
            os.symlink(target, place)

    def edit_tool(self, _):
        self.tool(self.dice.choice([b"v1", b"v2", b"v3"]))

    def edit_package(self, _):
        number, version = self.dice.randrange(2), self.dice.choice(["1.0", "2.0"])
        self.package(number, version, f"{number} of {version} {self.dice.choice('ab')}")

    def edit_module(self, _):
        self.module(self.dice.randrange(2), self.dice.choice(["edited", "in place"]))

    def edit_interpreter(self, _):
        self.venv = self.dice.choice(["venv0", "venv1"])

    def edit_variable(self, _):
        name = self.dice.choice(["TZ", "SEED", "DROPPED"])
        self.variables[name] = self.dice.choice({"TZ": ["UTC", "CET"]}.get(name, ["1", "2"]))

    def edit_output(self, _):
        """Other bytes in a sealed output. One that can still be written to is being written by its step: what others put
        there is what the step made, as far as anybody can tell."""
        outputs = sorted((self.folder / "reusing/store/v1").glob("*/*"))
        sealed = [output for output in outputs[-12:] if not output.stat().st_mode & 0o222]
        if sealed:
            place = self.dice.choice(sealed)
            place.chmod(0o644)
            place.write_bytes(self.dice.choice(WORDS))
            place.chmod(0o444)

    def edit_nothing(self, _):
        pass


EDITS = [name.removeprefix("edit_") for name in dir(Project) if name.startswith("edit_")]


def campaign(binary, folder, seed, rounds, say):
    dice = random.Random(seed)
    project = Project(binary, folder, dice)
    counts, wrong, seen = collections.Counter(), [], collections.defaultdict(set)
    length = 0.3
    for number in range(rounds):
        edits = []
        if dice.random() < 0.5:
            # While a run goes on: what it made of that is of no interest, what it filed under what is.
            project.runs += 1
            before = time.monotonic()
            process = project.start("reusing", f"r{project.runs}", *(["--force-rerun"] if dice.random() < 0.5 else []))
            reader = threading.Thread(target=process.stdout.read)
            reader.start()
            time.sleep(dice.uniform(0, length))
            edits += [f"while it ran: {project.edit()}" for _ in range(dice.randint(1, 2))]
            reader.join()
            process.wait()
            length = 0.8 * length + 0.2 * min(time.monotonic() - before, 2.0)
            counts["runs with edits in their middle"] += 1
        edits += [project.edit() for _ in range(dice.choice([0, 1, 1, 2]))]
        project.tidy()
        counts.update(edit.split(": ")[-1] for edit in edits)
        found = project.run("reusing")
        reasons = project.reasons
        # What is given is what was given: nothing is edited between the two.
        truth = project.run("oracle", "--force-rerun")
        shutil.rmtree(folder / "oracle", ignore_errors=True)
        for step in STEPS:
            (reused, text), (_, true) = found[step], truth[step]
            counts["steps reused" if reused else "steps run"] += 1
            if text != true:
                wrong.append((number, step, reused, edits))
                say(f"WRONG round {number} of {folder}: {step} {'was reused' if reused else 'ran'}, after {edits}\n"
                    f"  has   {text[:300]}\n  truth {true[:300]}")
            elif not reused and true in seen[step]:
                counts["steps run needlessly"] += 1
                counts[f"  needlessly: {reasons.get(step)}"] += 1
            seen[step].add(true)
        if wrong:
            break
    return counts, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("amlrun", type=Path)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--short", action="store_true", help="100 rounds")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    rounds, lanes = 100 if asked.short else asked.rounds, 2
    folder = Path(tempfile.mkdtemp(prefix="amlrun-reuse-"))
    results = []

    def lane(number):
        results.append(campaign(asked.amlrun.resolve(), folder / f"lane{number}", asked.seed * 100 + number,
                                rounds // lanes, lambda text: print(text, flush=True)))

    threads = [threading.Thread(target=lane, args=(number,)) for number in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = sum((counts for counts, _ in results), collections.Counter())
    wrong = [one for _, more in results for one in more]
    if len(results) < lanes:
        raise SystemExit(f"a lane broke off; kept: {folder}")
    print(f"{rounds} rounds against an oracle that runs everything")
    for name, count in sorted(counts.items()):
        print(f"{count:8} {name}")
    share = counts["steps run needlessly"] / max(1, counts["steps run"])
    print(f"{len(wrong):8} wrong reuses; {share:.1%} of the steps that ran need not have run")
    if wrong:
        print(f"kept: {folder}")
        sys.exit(1)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
