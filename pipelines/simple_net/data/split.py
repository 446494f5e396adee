#!/usr/bin/env python3
"""Makes train.csv and test.csv from the Wisconsin diagnostic breast cancer data inside a scikit-learn wheel.

    pip download --no-deps --only-binary=:all: scikit-learn
    python3 split.py scikit_learn-*.whl

Every fifth row of each class, after a shuffle with a fixed seed, is for testing. Standard library only, so that the
same wheel gives the same files everywhere.
"""

import csv
import io
import random
import sys
import zipfile
from pathlib import Path

MEMBER = "sklearn/datasets/data/breast_cancer.csv"
MEASURES = ["radius", "texture", "perimeter", "area", "smoothness"]
MEASURES += ["compactness", "concavity", "concave points", "symmetry", "fractal dimension"]
SEED = 2026
TEST_SHARE = 0.2


def main(wheel):
    with zipfile.ZipFile(wheel) as archive:
        lines = list(csv.reader(io.StringIO(archive.read(MEMBER).decode())))
    classes = lines[0][2:]  # the first line is: rows, columns, the classes' names
    # The first ten of the thirty columns are the means; the text of each number is kept as it is.
    rows = [line[: len(MEASURES)] + [classes[int(line[-1])]] for line in lines[1:]]
    chosen = random.Random(SEED)
    test = set()
    for name in sorted(classes):
        places = [place for place, row in enumerate(rows) if row[-1] == name]
        chosen.shuffle(places)
        test.update(places[: round(len(places) * TEST_SHARE)])
    here = Path(__file__).parent
    for file, wanted in (("train.csv", False), ("test.csv", True)):
        with open(here / file, "w", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow([f"mean {measure}" for measure in MEASURES] + ["diagnosis"])
            writer.writerows(row for place, row in enumerate(rows) if (place in test) == wanted)


if __name__ == "__main__":
    main(sys.argv[1])
