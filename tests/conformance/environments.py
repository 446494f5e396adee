"""Prints what becomes of every environment in a folder of documents: one row for each way of writing one.

usage: environments.py AMLRUN FOLDER

Fails if a curated name or a conda file is neither built nor refused with a reason.
"""

import json
import subprocess
import sys
from collections import Counter, defaultdict


def rows(amlrun, folder):
    """Every environment of every document, once for each step that names it."""
    command = [amlrun, "validate", folder, "-o", "json"]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    for file in answer["files"]:
        for found in file["environments"]:
            yield from [found] * len(found["steps"])


def form(written):
    """How it was written."""
    if "curated" in written or "AzureML-" in written or "registries/azureml/" in written:
        return "curated name"
    if written.startswith("image built from"):
        return "build context"
    if "with a conda file" in written:
        return "image and conda file"
    if written.startswith("image "):
        return "image"
    if written.startswith("azureml:"):
        return "registered environment"
    return "other"


def main(amlrun, folder):
    becomes, examples, lost = defaultdict(Counter), {}, []
    for found in rows(amlrun, folder):
        kind = form(found["written"])
        what = {"managed": f"built: {found['why']}", "refused": "refused", "host": "this machine"}[found["becomes"]]
        becomes[kind][what] += 1
        examples.setdefault((kind, what), found["written"])
        unreadable = found["why"].endswith("cannot be read")
        if kind in ("curated name", "image and conda file") and found["becomes"] == "host" and not unreadable:
            lost.append(found["written"])
    print("| written as | becomes | steps | such as |\n| --- | --- | --- | --- |")
    for kind, counts in sorted(becomes.items()):
        for what, count in counts.most_common():
            print(f"| {kind} | {what} | {count} | `{examples[kind, what]}` |")
    total = sum(sum(counts.values()) for counts in becomes.values())
    host = sum(counts["this machine"] for counts in becomes.values())
    print(f"\n{total} environments: {total - host} become something other than this machine, {host} this machine")
    for written in sorted(set(lost)):
        print(f"lost: {written}")
    return 1 if lost or not total else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
