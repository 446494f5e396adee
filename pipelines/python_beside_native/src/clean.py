"""Turns a laboratory's export (semicolons, decimal commas, gaps, codes) into a table that can be trained on."""

import csv
import sys

DIAGNOSES = {"B": "benign", "M": "malignant"}
GAPS = {"", "n/a", "-"}


def main(export, table):
    with open(export, newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source, delimiter=";"))
    kept = [row for row in rows if not any(value.strip() in GAPS for value in row.values())]
    columns = [name for name in rows[0] if name not in ("sample", "diagnosis")]
    with open(table, "w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(columns + ["diagnosis"])
        for row in kept:
            writer.writerow([row[name].replace(",", ".") for name in columns] + [DIAGNOSES[row["diagnosis"]]])
    print(f"kept {len(kept)} of {len(rows)} rows, {len(columns)} columns")


if __name__ == "__main__":
    main(*sys.argv[1:])
