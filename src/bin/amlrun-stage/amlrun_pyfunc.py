"""Loads a model that amlrun-stage persisted, for mlflow.pyfunc.load_model: TorchScript and its architecture.json."""

import json
from pathlib import Path

import numpy
import pandas
import torch


class Classifier:
    """Standardises the columns, computes, and names the classes."""

    def __init__(self, folder):
        folder = Path(folder)
        self.architecture = json.loads((folder / "architecture.json").read_text(encoding="utf-8"))
        self.module = torch.jit.load(str(folder / "model.pt"), map_location="cpu").eval()

    def predict(self, model_input, params=None):
        """A table with the model's columns in; the class and each class's probability out."""
        features = self.architecture["features"]
        classes = self.architecture["classes"]
        if isinstance(model_input, pandas.DataFrame):
            index = model_input.index
            values = model_input[[feature["name"] for feature in features]].to_numpy(dtype=numpy.float64)
        else:
            values = numpy.asarray(model_input, dtype=numpy.float64)
            index = pandas.RangeIndex(len(values))
        mean = numpy.array([feature["mean"] for feature in features])
        std = numpy.array([feature["std"] for feature in features])
        rows = torch.from_numpy(((values - mean) / std).astype(numpy.float32))
        with torch.no_grad():
            logits = self.module(rows)
        probabilities = torch.softmax(logits.double(), dim=-1).numpy()
        table = pandas.DataFrame({"prediction": [classes[i] for i in logits.argmax(dim=-1).tolist()]}, index=index)
        for number, name in enumerate(classes):
            table[f"probability_{name}"] = probabilities[:, number]
        return table


def _load_pyfunc(path):
    """What mlflow.pyfunc calls with the data folder."""
    return Classifier(path)
