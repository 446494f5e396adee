"""Side by side: `amlrun model inspect` and `convert` against Python's torch and `cp`.

    python benches/model_files.py AMLRUN [FOLDER] [--small]

AMLRUN is a release build. Needs torch==2.13.0 and safetensors, and about 11 GB in FOLDER (a temporary one by default);
with --small a hundredth of that. Prints a table; every time is the best of three (of one for Python's large ones).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INSPECT = """
import torch, sys
state = torch.load(sys.argv[1], mmap=True, weights_only=True)
for name, tensor in state.items():
    print(name, tuple(tensor.shape), tensor.dtype)
"""
CONVERT = """
import torch, sys
from safetensors.torch import save_file
save_file(torch.load(sys.argv[1], mmap=True, weights_only=True), sys.argv[2])
"""
MAKE = """
import torch, sys
path, size = sys.argv[1], int(sys.argv[2])
layer = 16 << 20  # bytes
state = {f"layers.{i}.weight": torch.full((4, layer // 16), float(i)) for i in range(size // layer)}
torch.save(state, path)
"""


def best(command, times=3, remove=None):
    seconds = []
    for _ in range(times):
        if remove and remove.exists():
            remove.unlink()
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def python(code, *arguments):
    return [sys.executable, "-c", code, *map(str, arguments)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("amlrun")
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    unit = (1 << 30) // (100 if options.small else 1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        big, middle = folder / "big.pth", folder / "middle.pth"
        for path, size in ((big, 4 * unit), (middle, 2 * unit)):
            if not path.exists():
                subprocess.run(python(MAKE, path, size), check=True)
        ours = best([options.amlrun, "model", "inspect", str(big), "--all"])
        theirs = best(python(INSPECT, big))
        print(f"inspect {big.stat().st_size / 1e9:.1f} GB      amlrun {ours * 1e3:9.1f} ms   python {theirs * 1e3:9.1f} ms   {theirs / ours:6.1f} times faster")
        copy, out, slow = folder / "copy", folder / "out.safetensors", folder / "python.safetensors"
        cp = best(["cp", str(middle), str(copy)], remove=copy)
        ours = best([options.amlrun, "model", "convert", str(middle), str(out), "--force"], remove=out)
        theirs = best(python(CONVERT, middle, slow), times=1, remove=slow)
        same = subprocess.run([options.amlrun, "model", "diff", str(out), str(slow)], capture_output=True).returncode == 0
        size = f"{middle.stat().st_size / 1e9:.1f} GB"
        print(f"convert {size}      amlrun {ours * 1e3:9.1f} ms   python {theirs * 1e3:9.1f} ms   cp {cp * 1e3:9.1f} ms   {ours / cp:.2f} times cp")
        back = folder / "back.pth"
        ours = best([options.amlrun, "model", "convert", str(out), str(back), "--force"], remove=back)
        print(f"and back to .pth    amlrun {ours * 1e3:9.1f} ms   {ours / cp:.2f} times cp")
        print(f"both conversions hold the same tensors: {same}")
        for path in (copy, out, slow, back):
            path.unlink(missing_ok=True)
        if options.folder is None:
            os.sync()


if __name__ == "__main__":
    main()
