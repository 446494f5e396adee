"""What `amlrun cp` costs beside Python's azure-storage-blob, against the same blob service.

    python3 benches/transfer.py target/release/amlrun target/sink --peers VENV [--small] [--server NAME] [--only CASE]

Once the service is Azurite, which is real and slow; once it is the sink of benches/sink.rs, which forgets all it is told,
so that what is left is the client. 1 GiB in one file, and 2,000 files of 16 KiB, up and down; the two tools take turns,
and every round has a place of its own, so that nothing is skipped. Only ratios of one run count: machines are noisy.
"""

import argparse
import filecmp
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engine import ratio

HERE = Path(__file__).resolve().parent
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
ROUNDS = 3
MIB, GIB = 1 << 20, 1 << 30


def run(command, cwd):
    """Wall seconds, CPU seconds and peak memory in MiB of one command, its own alone."""
    # A child starts with its parent's peak, so this process stays small: it holds no file as a whole.
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        child = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if child.returncode != 0:
        sys.exit(f"{command} ended with {child.returncode}: {text[-2000:]}")
    return (wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024), text


class Service:
    """A blob service in a child process."""

    def __init__(self, name, command, folder):
        self.name, self.command, self.folder, self.child = name, command, folder, None

    def fresh(self):
        """Ends the one that runs, forgets its data, and starts another."""
        self.stop()
        self.folder.mkdir()
        self.child = subprocess.Popen(self.command, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        for line in self.child.stdout:
            if "listening on" in line or "successfully listens" in line:
                self.endpoint = f"http://127.0.0.1:{line.rsplit(':', 1)[1].strip()}/{ACCOUNT}"
                return
        sys.exit(f"{self.name} did not start")

    def stop(self):
        if self.child:
            self.child.kill()
            self.child.wait()
            self.child = None
        shutil.rmtree(self.folder, ignore_errors=True)


class Bench:
    def __init__(self, amlrun, python, root):
        self.amlrun, self.python, self.root, self.number = amlrun, python, root, 0
        os.environ["TRANSFER_BENCH_KEY"] = KEY

    def peer(self, what, service, prefix, folder):
        return [self.python, HERE / "transfer_peer.py", what, service.endpoint, "bench", prefix, folder]

    def cp(self, what, service, prefix, folder):
        # The file's words are the same for both services: an account whose key is in the environment.
        (self.root / "amlrun.toml").write_text(f'[accounts.{ACCOUNT}]\nendpoint = "{service.endpoint}"\n'
                                               'account_key = { env = "TRANSFER_BENCH_KEY" }\n')
        there = f"wasbs://bench@{ACCOUNT}.blob.core.windows.net/{prefix}/"
        return [self.amlrun, "cp"] + ([folder, there] if what == "up" else [there, folder])

    def case(self, service, title, data, files, size):
        """Both tools, both ways, in turns."""
        tools = {"amlrun cp": self.cp, "azure-storage-blob": self.peer}
        for way in ["up", "down"]:
            measured = {tool: [] for tool in tools}
            if way == "down":
                service.fresh()
                run(self.peer("up", service, "data", data), self.root)
            for _ in range(ROUNDS):
                for tool, command in tools.items():
                    self.number += 1
                    here = self.root / f"got{self.number}"
                    if way == "up":
                        service.fresh()
                        # The container and the connection to it are nobody's to pay.
                        run(self.peer("up", service, "warm", HERE / "sink"), self.root)
                        measured[tool].append(run(command("up", service, f"r{self.number}", data), self.root)[0])
                        _, found = run(self.peer("check", service, f"r{self.number}", data), self.root)
                        if found.split() != [str(files), str(size)]:
                            sys.exit(f"{tool} put {found.strip()} files and bytes there, not {files} and {size}")
                    else:
                        measured[tool].append(run(command("down", service, "data", here), self.root)[0])
                        compare(data, here, same=service.name == "Azurite")
                        shutil.rmtree(here)
            report(f"{title} {way}, {service.name}", measured, files, size)

    def imports(self):
        walls = [run([self.python, HERE / "transfer_peer.py", "import"], self.root)[0][0] for _ in range(ROUNDS)]
        median = statistics.median(walls) * 1000
        print(f"note: of every figure of azure-storage-blob, {median:.0f} ms are Python and its imports")


def compare(data, here, same):
    """What was downloaded is what lies there; the sink has zeros of the same size."""
    for path in data.rglob("*"):
        if path.is_file():
            other = here / path.relative_to(data)
            if not other.is_file() or other.stat().st_size != path.stat().st_size:
                sys.exit(f"{other} is not there as a whole")
            if same and not filecmp.cmp(path, other, shallow=False):
                sys.exit(f"{other} has other bytes than {path}")


def report(title, measured, files, size):
    print(f"\n{title}")
    medians = {}
    for tool, values in measured.items():
        wall, cpu, peak = (statistics.median(v[i] for v in values) for i in range(3))
        medians[tool] = (wall, cpu)
        each = (f"{wall * GIB / size:6.2f} s/GiB, CPU {cpu * GIB / size:6.2f} s/GiB" if files == 1 else
                f"{wall * 1000 / files:6.2f} ms/file, CPU {cpu * 1000 / files:6.2f} ms/file")
        print(f"  {tool:20} wall {wall * 1000:9.1f} ms   CPU {cpu * 1000:9.1f} ms   peak {peak:6.1f} MiB   {each}   "
              f"({len(values)} runs)")
    for index, what in enumerate(["wall", "CPU"]):
        ratio(f"{what} of amlrun to azure-storage-blob", medians["amlrun cp"][index], medians["azure-storage-blob"][index])
    sys.stdout.flush()


def make(folder, count, size):
    """So many files of that size, of random bytes, in folders of 100."""
    for number in range(count):
        path = folder / f"{number // 100:03}" / f"{number:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for begin in range(0, size, MIB):
                file.write(os.urandom(min(MIB, size - begin)))
    return folder


def place(need):
    """In memory when there is room: a disk's moods are not what is measured."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > need:
        lines = Path("/proc/meminfo").read_text().splitlines()
        if any(line.startswith("MemAvailable") and int(line.split()[1]) << 10 > need for line in lines):
            return memory
    return Path(tempfile.gettempdir())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("amlrun", type=Path)
    parser.add_argument("sink", type=Path)
    parser.add_argument("--peers", type=Path, required=True, help="a virtual environment with azure-storage-blob")
    parser.add_argument("--azurite", type=Path, default=HERE.parent / ".azurite/run")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--server", choices=["azurite", "sink"], action="append")
    parser.add_argument("--only", choices=["large", "many"], action="append")
    asked = parser.parse_args()
    large = 64 * MIB if asked.small else GIB
    cases = {"large": (1, large), "many": (200 if asked.small else 2000, 16 << 10)}
    folder = place(6 * large)
    root = Path(tempfile.mkdtemp(prefix="amlrun-transfer-", dir=folder))
    azurite = [asked.azurite.absolute(), "--blobPort", "0", "--location", root / "service",
               "--disableTelemetry", "--skipApiVersionCheck", "--silent"]
    services = {"azurite": Service("Azurite", azurite, root / "service"),
                "sink": Service("the sink", [asked.sink.absolute(), "serve"], root / "service")}
    bench = Bench(asked.amlrun.absolute(), (asked.peers / "bin/python").absolute(), root)
    try:
        print(f"amlrun cp beside azure-storage-blob, in {folder}, {os.cpu_count()} cores, of which the service has its part")
        bench.imports()
        for case in asked.only or cases:
            count, size = cases[case]
            data = make(root / case, count, size)
            title = f"one file of {size // MIB} MiB" if count == 1 else f"{count} files of {size >> 10} KiB"
            for name in asked.server or services:
                bench.case(services[name], title, data, count, count * size)
            shutil.rmtree(data)
    finally:
        for service in services.values():
            service.stop()
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
