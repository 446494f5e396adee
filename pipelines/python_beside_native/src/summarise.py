"""Reads what the native steps left, with the standard library alone: JSON, JSON lines, and the safetensors header."""

import json
import struct
import sys
from pathlib import Path


def shapes(path):
    """Name and shape of every tensor: eight bytes of length, then that much JSON."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return {name: entry["shape"] for name, entry in sorted(header.items()) if name != "__metadata__"}


def main(checkpoint, model, summary):
    epochs = [json.loads(line) for line in (Path(checkpoint) / "metrics.jsonl").read_text().splitlines()]
    architecture = json.loads((Path(model) / "architecture.json").read_text())
    best = min(epochs, key=lambda epoch: epoch["validation_loss"])
    lines = [
        f"# {architecture['kind']} on {len(architecture['features'])} columns",
        "",
        f"Classes: {', '.join(architecture['classes'])}.",
        f"{len(epochs)} epochs; training loss {epochs[0]['train_loss']:.3f} to {epochs[-1]['train_loss']:.3f}.",
        f"Best validation loss {best['validation_loss']:.3f} (accuracy {best['validation_accuracy']:.3f})"
        f" in epoch {best['epoch']}.",
        "",
        "| Tensor | Shape |",
        "|---|---|",
    ]
    lines += [f"| {name} | {shape} |" for name, shape in shapes(Path(model) / "model.safetensors").items()]
    text = "\n".join(lines) + "\n"
    Path(summary).write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
