"""The steps of the example with conditions and loops. Standard library only."""
import csv
import json
import pathlib
import sys


def read(points):
    with open(points, newline="") as file:
        return [(row["region"], float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]


def regions(points, output):
    names = sorted({region for region, _, _ in read(points)})
    pathlib.Path(output).write_text(json.dumps([{"region": name} for name in names]))


def fit(points, region, folder):
    """Least squares for the points of one region."""
    rows = [(x, y) for name, x, y in read(points) if name == region]
    mean_x, mean_y = (sum(values) / len(rows) for values in zip(*rows))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in rows) / sum((x - mean_x) ** 2 for x, _ in rows)
    line = {"region": region, "slope": slope, "offset": mean_y - slope * mean_x}
    pathlib.Path(folder, "line.json").write_text(json.dumps(line))
    print(f"{region}: y = {slope:.2f} x + {line['offset']:.2f}")


def train(points, fits, wanted, folder, goes_on, earlier=None):
    """A few steps of gradient descent on one weight for each region's line."""
    lines = {}
    for file in sorted(pathlib.Path(fits).glob("*/line.json")):
        line = json.loads(file.read_text())
        lines[line["region"]] = line
    weights = {name: 0.5 for name in lines}
    if earlier:
        weights = json.loads(pathlib.Path(earlier, "model.json").read_text())["weights"]
    rows = read(points)
    for _ in range(3):
        for name, line in lines.items():
            own = [(line["slope"] * x + line["offset"], y) for region, x, y in rows if region == name]
            step = sum((weights[name] * guess - y) * guess for guess, y in own) / sum(guess**2 for guess, _ in own)
            weights[name] -= 0.2 * step
    errors = [(weights[name] * (lines[name]["slope"] * x + lines[name]["offset"]) - y) ** 2 for name, x, y in rows]
    loss = sum(errors) / len(errors)
    pathlib.Path(folder, "model.json").write_text(json.dumps({"weights": weights, "loss": loss}))
    pathlib.Path(goes_on).write_text(str(loss > float(wanted)))
    print(f"loss {loss:.4f}")


def check(model, wanted, output):
    loss = json.loads(pathlib.Path(model, "model.json").read_text())["loss"]
    pathlib.Path(output).write_text(str(loss <= float(wanted)))


def report(model, text, output):
    loss = json.loads(pathlib.Path(model, "model.json").read_text())["loss"]
    pathlib.Path(output).write_text(f"{text}: loss {loss:.4f}\n")
    print(f"{text}: loss {loss:.4f}")


if __name__ == "__main__":
    step, *arguments = sys.argv[1:]
    {"regions": regions, "fit": fit, "train": train, "check": check, "report": report}[step](*arguments)
