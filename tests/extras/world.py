"""What the tests of tests/extras share: a project in a folder of its own, and the processes that a run leaves."""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

# How long a run may take on a slow machine, and how long its processes may take to end, in seconds.
LONGEST = 300
ENDING = 30


class Project:
    def __init__(self, amlrun, files):
        self.amlrun = Path(amlrun).resolve()
        self.folder = Path(tempfile.mkdtemp(prefix="amlrun-extras-"))
        for name, text in files.items():
            self.write(name, text)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def start(self, *arguments):
        # In a session of its own, so that a signal reaches the runner alone.
        return subprocess.Popen([self.amlrun, *arguments], cwd=self.folder, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, start_new_session=True)

    def run(self, *arguments, code=0):
        process = self.start(*arguments)
        out, _ = process.communicate(timeout=LONGEST)
        assert process.returncode == code, f"amlrun {' '.join(arguments)} ended with {process.returncode}:\n{out}"
        assert not self.left(), f"amlrun {' '.join(arguments)} left processes: {self.left()}"
        return out

    def log(self, run, step):
        return (self.folder / ".amlrun/runs" / run / "steps" / step / "user_logs/std_log.txt").read_text()

    def left(self):
        """The processes whose command line or working directory is in this project, or that its run marked."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                place = os.readlink(entry / "cwd")
            except OSError:
                continue
            if str(self.folder).encode() in text or place.startswith(str(self.folder)):
                found.append(f"{entry.name} {text[:80]!r}")
        return found

    def interrupted(self, job, line, signals):
        """Starts a job, sends the runner signals when the job has printed that line, and waits until all has ended."""
        process = self.start("run", job, "--name", f"interrupted-{signals[0].name.lower()}")
        printed = []
        for text in process.stdout:
            printed.append(text)
            if line in text:
                break
        else:
            raise AssertionError(f"{job} never printed '{line}':\n{''.join(printed)}")
        for number in signals:
            process.send_signal(number)
        process.stdout.close()
        process.wait(timeout=LONGEST)
        deadline = time.monotonic() + ENDING
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not self.left(), f"{job} left processes after {signals}: {self.left()}"
        return process.returncode


def ends(project, job, line):
    """Neither Ctrl-C nor a killed runner leaves a process of the job."""
    assert project.interrupted(job, line, [signal.SIGINT]) == 130
    project.interrupted(job, line, [signal.SIGKILL])


def check(tests):
    for test in tests:
        began = time.monotonic()
        test()
        print(f"ok {test.__name__} ({time.monotonic() - began:.0f} s)", flush=True)
