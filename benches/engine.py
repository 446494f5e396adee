"""What a run costs beside GNU make, ninja, Snakemake and DVC, and beside a bare loop that starts the same commands.

    python3 benches/engine.py target/release/amlrun SPAWN [--small] [--peers VENV] [--folder DIR ...]

SPAWN is built from benches/spawn.rs. For each folder (default: /dev/shm and the
temporary folder) every case is run with all tools in turns, and medians of wall and CPU seconds are printed with ratios.
All records of amlrun are on: journal, logs, keys. Only ratios of one run count: machines are noisy.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run(command, cwd, env=None):
    """Wall seconds, CPU seconds (children included), and the peak memory in MiB of one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             env={**os.environ, **(env or {})})
    _, error = child.communicate()
    wall = time.perf_counter() - start
    if child.returncode != 0:
        sys.exit(f"{command} failed in {cwd}: {error.decode(errors='replace')[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


class Table:
    """Medians of several tools, run in turns."""

    def __init__(self, title, rounds):
        self.title, self.rounds, self.tools = title, rounds, []

    def add(self, name, command, before=None, rounds=None):
        self.tools.append((name, command, before, rounds or self.rounds))

    def measure(self, cwd):
        times = {name: [] for name, *_ in self.tools}
        for number in range(self.rounds):
            for name, command, before, rounds in self.tools:
                if number < rounds:
                    if before:
                        before()
                    times[name].append(run(command, cwd))
        print(f"\n{self.title}")
        medians = {}
        for name, values in times.items():
            wall = statistics.median(v[0] for v in values)
            cpu = statistics.median(v[1] for v in values)
            medians[name] = (wall, cpu)
            print(f"  {name:34} wall {wall * 1000:9.1f} ms   CPU {cpu * 1000:9.1f} ms   ({len(values)} runs)")
        return medians


def ratio(what, a, b, most=None):
    value = a / b if b else float("inf")
    aim = "" if most is None else f"   (aim: at most {most})" + ("" if value <= most else "  MISSED")
    print(f"  -> {what}: {value:.2f}{aim}")


def at_most(what, value, most):
    print(f"  -> {what}: {value * 1000:.1f} ms   (aim: at most {most * 1000:.0f} ms)" + ("" if value <= most else "  MISSED"))


def pipeline(nodes):
    return "type: pipeline\nsettings: {default_compute: azureml:cpu}\njobs:\n" + "".join(nodes)


def node(name, command, inputs="", outputs="      o: {type: uri_file}\n"):
    inputs = f"    inputs:\n{inputs}" if inputs else ""
    return (f"  {name}:\n    type: command\n    environment: azureml:any@latest\n    command: {command}\n"
            f"{inputs}    outputs:\n{outputs}")


def after(step):
    return f"      i: {{type: uri_file, path: \"${{{{parent.jobs.{step}.outputs.o}}}}\"}}\n"


def clear(folder, *names):
    for name in names:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()


def wide(folder, tools, count, rounds):
    """Independent steps: `echo x > file`, two at once."""
    here = folder / "wide"
    here.mkdir()
    (here / "amlrun.toml").write_text("")
    (here / "job.yml").write_text(pipeline(node(f"s{i}", "echo x > ${{outputs.o}}") for i in range(count)))
    (here / "commands").write_text("".join(f"echo x > out/{i}\n" for i in range(count)))
    (here / "Makefile").write_text("SHELL := /bin/bash\nall: " + " ".join(f"out/{i}" for i in range(count)) +
                                   "\nout/%:\n\t@echo x > $@\n")
    # ninja starts commands with sh: here with bash, as the others do.
    (here / "build.ninja").write_text("rule e\n  command = bash -c 'echo x > $out'\n" +
                                      "".join(f"build out/{i}: e\n" for i in range(count)))

    def fresh():
        clear(here, ".amlrun", "out", ".ninja_log", ".ninja_deps", "commands.folders")
        (here / "out").mkdir()

    amlrun = [tools.amlrun, "run", "job.yml", "--jobs", "2", "--quiet"]
    make = ["make", "-j2", "-s"]
    table = Table(f"{count} independent steps, two at once, in {folder.parent}", rounds)
    table.add("bare loop", [tools.spawn, "2", "commands"], fresh)
    table.add("bare loop, as many folders", [tools.spawn, "2", "commands", "--folders"], fresh)
    table.add("amlrun", amlrun, fresh)
    table.add("make", make, fresh)
    if tools.ninja:
        table.add("ninja", [tools.ninja, "-j2"], fresh)
    if tools.snakemake:
        (here / "Snakefile").write_text(
            f"rule all:\n  input: expand('out/{{i}}', i=range({count}))\nrule e:\n  output: 'out/{{i}}'\n"
            "  shell: 'echo x > {output}'\n")
        table.add("snakemake", [tools.snakemake, "-j2", "-q"], fresh, rounds=1)
    m = table.measure(here)
    # On a disk a folder can cost as much as a process: there the floor is the loop that makes as many.
    in_memory = str(folder).startswith("/dev/shm")
    ratio("CPU of amlrun to the bare loop", m["amlrun"][1], m["bare loop"][1], 1.5 if in_memory else None)
    ratio("CPU of amlrun to the bare loop with as many folders", m["amlrun"][1], m["bare loop, as many folders"][1],
          None if in_memory else 1.5)
    ratio("wall of amlrun to make", m["amlrun"][0], m["make"][0], 1.0)

    # Nothing to do, and one leaf changed. Each tool finds its own results.
    fresh()
    for name in ["amlrun", "make", "ninja", "snakemake"]:
        for tool, command, *_ in table.tools:
            if tool == name:
                run(command, here)
    run(amlrun, here)
    table = Table(f"nothing to do, {count} steps, in {folder.parent}", rounds * 3)
    table.add("amlrun", amlrun)
    table.add("make", make)
    if tools.ninja:
        table.add("ninja", [tools.ninja, "-j2"])
    if tools.snakemake:
        table.add("snakemake", [tools.snakemake, "-j2", "-q"], rounds=1)
    m = table.measure(here)
    at_most("amlrun, nothing to do", m["amlrun"][0], 0.040)

    text = (here / "job.yml").read_text()
    turn = [0]

    def edit():
        turn[0] += 1
        (here / "job.yml").write_text(text.replace("command: echo x", f"command: echo y{turn[0]}", 1))
        (here / "out/0").unlink(missing_ok=True)

    table = Table(f"one of {count} changed, in {folder.parent}", rounds * 3)
    table.add("amlrun", amlrun, edit)
    table.add("make", make, edit)
    if tools.ninja:
        table.add("ninja", [tools.ninja, "-j2"], edit)
    m = table.measure(here)
    at_most("amlrun, one leaf changed", m["amlrun"][0], 0.060)


def chain(folder, tools, count, rounds):
    here = folder / "chain"
    here.mkdir()
    (here / "amlrun.toml").write_text("")
    steps = [node("s0", "echo x > ${{outputs.o}}")]
    steps += [node(f"s{i}", "cat ${{inputs.i}} > ${{outputs.o}}", after(f"s{i - 1}")) for i in range(1, count)]
    (here / "job.yml").write_text(pipeline(steps))
    rules = ["build out/0: first\n"] + [f"build out/{i}: copy out/{i - 1}\n" for i in range(1, count)]
    (here / "build.ninja").write_text("rule first\n  command = bash -c 'echo x > $out'\n"
                                      "rule copy\n  command = bash -c 'cat $in > $out'\n" + "".join(rules))
    (here / "Makefile").write_text(f"SHELL := /bin/bash\nall: out/{count - 1}\nout/0:\n\t@echo x > $@\n" + "".join(
        f"out/{i}: out/{i - 1}\n\t@cat $< > $@\n" for i in range(1, count)))

    def fresh():
        clear(here, ".amlrun", "out", ".ninja_log", ".ninja_deps")
        (here / "out").mkdir()

    table = Table(f"a chain of {count}, in {folder.parent}", rounds)
    table.add("amlrun", [tools.amlrun, "run", "job.yml", "--jobs", "2", "--quiet"], fresh)
    table.add("make", ["make", "-j2", "-s"], fresh)
    if tools.ninja:
        table.add("ninja", [tools.ninja, "-j2"], fresh)
    m = table.measure(here)
    if tools.ninja:
        ratio("wall of amlrun to ninja", m["amlrun"][0], m["ninja"][0], 1.5)


def large(folder, tools, size, rounds):
    """One step writes a large file, the next reads it."""
    here = folder / "large"
    here.mkdir()
    (here / "amlrun.toml").write_text("")
    blocks = size >> 20
    write = f"head -c {size} /dev/zero | tr '\\\\0' 'x' >"
    write_sh = f"head -c {size} /dev/zero | tr '\\0' 'x' >"
    (here / "job.yml").write_text(pipeline([
        node("write", f"\"{write} ${{{{outputs.o}}}}\""),
        node("read", "cat ${{inputs.i}} | wc -c > ${{outputs.o}}; date +%s.%N > " + str(here / "ended"), after("write")),
    ]))
    (here / "bare.sh").write_text(f"bash -c \"{write_sh} big\"\nbash -c 'cat big | wc -c > small; date +%s.%N > ended'\n")
    (here / "dvc.yaml").write_text(
        f"stages:\n  write:\n    cmd: {write_sh} big\n    outs: [big]\n"
        "  read:\n    cmd: cat big | wc -c > small\n    deps: [big]\n    outs: [small]\n")
    (here / "Snakefile").write_text(
        "rule all:\n  input: 'small'\n"
        f"rule write:\n  output: 'big'\n  shell: r\"{write_sh} {{output}}\"\n"
        "rule read:\n  input: 'big'\n  output: 'small'\n  shell: 'cat {input} | wc -c > {output}'\n")

    def until_ended(command):
        clear(here, ".amlrun", "big", "small", "ended")
        start = time.time()
        run(command, here)
        return float((here / "ended").read_text()) - start

    amlrun = [tools.amlrun, "run", "job.yml", "--quiet"]
    first = {"bare commands": [], "amlrun": []}
    for _ in range(rounds):
        first["bare commands"].append(until_ended(["bash", "bare.sh"]))
        first["amlrun"].append(until_ended(amlrun))
    print(f"\n{blocks} MiB written by a step and read by the next, until the second ends, in {folder.parent}")
    for name, values in first.items():
        print(f"  {name:34} wall {statistics.median(values) * 1000:9.1f} ms   ({len(values)} runs)")
    pairs = [a / b for a, b in zip(first["amlrun"], first["bare commands"])]
    ratio("amlrun to the bare commands, median of pairs", statistics.median(pairs), 1, 1.05)
    table = Table(f"{blocks} MiB: nothing to do, in {folder.parent}", rounds * 3)
    table.add("amlrun", amlrun)
    m = table.measure(here)
    at_most("amlrun, nothing to do", m["amlrun"][0], 0.020)
    if tools.dvc:
        clear(here, "big", "small", ".dvc", ".git")
        for command in (["git", "init", "-q"], [tools.dvc, "init", "-q"]):
            run(command, here)
        wall, _ = run([tools.dvc, "repro", "-q"], here)
        again, _ = run([tools.dvc, "repro", "-q"], here)
        print(f"  dvc: first {wall * 1000:.0f} ms, nothing to do {again * 1000:.0f} ms")
        clear(here, ".dvc", ".git", "dvc.lock")
    if tools.snakemake:
        clear(here, "big", "small", ".snakemake")
        wall, _ = run([tools.snakemake, "-j2", "-q"], here)
        again, _ = run([tools.snakemake, "-j2", "-q"], here)
        print(f"  snakemake: first {wall * 1000:.0f} ms, nothing to do {again * 1000:.0f} ms")
    clear(here, ".amlrun", "big")


WALK = """
import os, sys
def walk(folder):
    for entry in os.scandir(folder):
        if entry.is_dir(): walk(entry.path)
        else: entry.stat()
walk(sys.argv[1])
"""


def many(folder, tools, count, rounds):
    """A folder of many small files as an input."""
    here = folder / "many"
    (here / "data").mkdir(parents=True)
    (here / "amlrun.toml").write_text("")
    for i in range(count):
        place = here / "data" / f"{i // 500}"
        if i % 500 == 0:
            place.mkdir()
        (place / f"{i}").write_bytes(os.urandom(16) * 256)
    (here / "job.yml").write_text(pipeline([
        node("look", "ls ${{inputs.d}} > ${{outputs.o}}", "      d: {type: uri_folder, path: ./data}\n")]))
    # A file that has just been written is read again the next time, as by git.
    time.sleep(0.2)
    amlrun = [tools.amlrun, "run", "job.yml", "--quiet"]

    def fresh():
        clear(here, ".amlrun")

    table = Table(f"an input of {count} files of 4 KiB, in {folder.parent}", rounds)
    table.add("amlrun, first run", amlrun, fresh)
    b3sum = tools.b3sum
    if b3sum:
        table.add("b3sum of all files", ["bash", "-c", f"find data -type f -print0 | xargs -0 -n 100000 {b3sum} --no-names"])
    table.add("cat of all files", ["bash", "-c", "find data -type f -print0 | xargs -0 cat"])
    m = table.measure(here)
    if b3sum:
        ratio("first run to b3sum", m["amlrun, first run"][0], m["b3sum of all files"][0], 1.3)
    run(amlrun, here)
    table = Table(f"an input of {count} files: nothing to do, in {folder.parent}", rounds * 3)
    table.add("amlrun", amlrun)
    table.add("find -newer (stat of all files)", ["find", "data", "-type", "f", "-newer", "job.yml"])
    m = table.measure(here)
    ratio("nothing to do to a bare stat walk", m["amlrun"][0], m["find -newer (stat of all files)"][0], 1.3)
    clear(here, "data", ".amlrun")


def huge(folder, tools, count):
    """Ten thousand steps, and a chain of as many: memory."""
    here = folder / "huge"
    here.mkdir()
    (here / "amlrun.toml").write_text("")
    steps = [node("s0", "'true'", outputs="      o:\n")]
    (here / "wide.yml").write_text(pipeline(
        node(f"s{i}", "'true'", outputs="      o:\n") for i in range(count)))
    steps += [node(f"s{i}", "'true'", f"      i: \"${{{{parent.jobs.s{i - 1}.outputs.o}}}}\"\n", "      o:\n")
              for i in range(1, count)]
    (here / "chain.yml").write_text(pipeline(steps))
    print(f"\n{count} steps: time and peak memory of the runner, in {folder.parent}")
    for name in ["wide", "chain"]:
        for what in ["first run", "nothing to do"]:
            start = time.perf_counter()
            child = subprocess.Popen([tools.amlrun, "run", f"{name}.yml", "--quiet"], cwd=here,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            peak = 0
            while child.poll() is None:
                try:
                    status = Path(f"/proc/{child.pid}/status").read_text()
                    peak = max(peak, *(int(l.split()[1]) for l in status.splitlines() if l.startswith("VmHWM")), 0)
                except (OSError, ValueError):
                    pass
                time.sleep(0.005)
            if child.returncode != 0:
                sys.exit(child.stderr.read().decode())
            print(f"  {name:6} {what:14} {time.perf_counter() - start:7.2f} s   {peak / 1024:6.1f} MiB"
                  + ("" if peak < 150 << 10 else "   MISSED (aim: under 150 MiB)"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("amlrun")
    parser.add_argument("spawn")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--peers", help="a virtual environment with ninja, snakemake, dvc")
    parser.add_argument("--folder", action="append")
    parser.add_argument("--only", action="append")
    arguments = parser.parse_args()
    tools = argparse.Namespace(amlrun=str(Path(arguments.amlrun).absolute()), spawn=str(Path(arguments.spawn).absolute()))
    peers = Path(arguments.peers).absolute() / "bin" if arguments.peers else None
    for name in ["ninja", "snakemake", "dvc", "b3sum"]:
        own = peers / name if peers else None
        setattr(tools, name, str(own) if own and own.exists() else shutil.which(name))
    if peers:
        os.environ["PATH"] = f"{peers}:{os.environ['PATH']}"
    small = arguments.small
    cases = {
        "wide": lambda f: wide(f, tools, 100 if small else 1000, 2 if small else 5),
        "chain": lambda f: chain(f, tools, 20 if small else 200, 2 if small else 5),
        "large": lambda f: large(f, tools, (32 << 20) if small else (2 << 30), 2 if small else 5),
        "many": lambda f: many(f, tools, 1000 if small else 50_000, 2 if small else 5),
        "huge": lambda f: huge(f, tools, 200 if small else 10_000),
    }
    folders = arguments.folder or [f for f in ["/dev/shm", tempfile.gettempdir()] if os.access(f, os.W_OK)]
    for folder in folders:
        root = Path(tempfile.mkdtemp(prefix="amlrun-bench-", dir=folder))
        try:
            for name, case in cases.items():
                if not arguments.only or name in arguments.only:
                    case(root)
        finally:
            shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
