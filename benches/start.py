"""How long `amlrun --help` takes beside `/bin/true`, which is the cost of starting any process at all.

    python3 benches/start.py target/release/amlrun

The two are started in turns, so that a noisy machine is noisy for both; medians are compared.
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 200
LIMIT_MS = 10.0


def once(command):
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - start) * 1000


def main():
    amlrun = sys.argv[1]
    commands = {"/bin/true": ["/bin/true"], "amlrun --help": [amlrun, "--help"]}
    times = {name: [] for name in commands}
    for command in commands.values():
        once(command)
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(once(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:14} {median:6.2f} ms (median of {ROUNDS})")
    more = medians["amlrun --help"] - medians["/bin/true"]
    print(f"amlrun --help takes {more:.2f} ms more than /bin/true; the aim is under {LIMIT_MS:.0f} ms")


if __name__ == "__main__":
    main()
