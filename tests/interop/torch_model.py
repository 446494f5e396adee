"""Loads a model directory of `amlrun-stage persist` with Python's own torch and checks what a user would rely on.

    pip install 'torch==2.13.*' safetensors numpy
    python torch_model.py MODEL_DIR

Exit code 0 when all holds. Not part of `make test`: Python's torch is several gigabytes.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file


def rebuilt(architecture, state):
    """The network from its description and its weights alone."""
    sizes = [len(architecture["features"]), *architecture["hidden"], len(architecture["classes"])]
    layers = {}
    for number, (inputs, outputs) in enumerate(zip(sizes, sizes[1:]), 1):
        layers[f"fc{number}"] = torch.nn.Linear(inputs, outputs)
    net = torch.nn.ModuleDict(layers)
    net.load_state_dict(state)

    def forward(rows):
        for number, layer in enumerate(net.values(), 1):
            rows = layer(rows)
            if number < len(net):
                rows = torch.relu(rows)
        return rows

    return forward


def main(folder):
    folder = Path(folder)
    module = torch.jit.load(folder / "model.pt")  # no class definition anywhere
    state = load_file(folder / "model.safetensors")
    architecture = json.loads((folder / "architecture.json").read_text())

    found = module.state_dict()
    assert set(found) == set(state), (set(found), set(state))
    assert all(torch.equal(found[name], state[name]) for name in state), "values differ"
    assert [name for name, _ in module.named_parameters()] == list(found), "parameters are named as in the state_dict"
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert not module.training, "saved as it is used: in evaluation mode"

    rows = torch.randn(64, len(architecture["features"]), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(module(rows), rebuilt(architecture, state)(rows)), "the two forms disagree"
    module.train()
    assert all(child.training for child in module.children())
    with torch.no_grad():
        differs = not torch.equal(module(rows), module(rows))
    assert differs == (architecture["dropout"] > 0), "dropout honours train()"
    module.eval()

    before = found["fc1.weight"].clone()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(rows).square().mean().backward()
    optimizer.step()
    assert not torch.equal(module.state_dict()["fc1.weight"], before), "it can be trained further"
    torch.jit.freeze(torch.jit.load(folder / "model.pt"))
    print(f"torch {torch.__version__} agrees on {', '.join(found)}")


if __name__ == "__main__":
    main(sys.argv[1])
