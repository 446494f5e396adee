"""Asks the official SDK about files: a verdict, its words, and the REST body it would send.

    sdk_oracle.py ROOT OUT.jsonl < names     (one per line, relative to ROOT)

Offline: no workspace, no account. A file is loaded as what its `$schema` says, else as a job. It is refused when loading
raises or `_validate()` does not pass; which words the SDK finds for that is kept as it says it.
"""

import json
import logging
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

from azure.ai import ml  # noqa: E402
from azure.ai.ml.entities._builders import BaseNode  # noqa: E402
from cases import entity_of  # noqa: E402

LONGEST = 4000


def words(error):
    return f"{type(error).__name__}: {error}"[:LONGEST]


def ask(path):
    """The label of one file, in the form of `labels.jsonl`."""
    try:
        thing = getattr(ml, f"load_{entity_of(path)}")(str(path))
    except Exception as error:  # the SDK raises many kinds, and its own crash is a refusal too
        return {"load": "fail", "errors": words(error)}
    label = {"load": "ok", "kind": type(thing).__name__, "valid": None}
    if hasattr(thing, "_validate"):
        try:
            verdict = thing._validate()
            label["valid"] = verdict.passed
            if not verdict.passed:
                label["errors"] = verdict.error_messages
        except Exception as error:
            label.update(valid=False, errors=words(error))
    try:
        # A command or spark job is loaded as the node of a pipeline; the client turns it into a job before it sends.
        rest = (thing._to_job() if isinstance(thing, BaseNode) else thing)._to_rest_object()
        label["rest"] = rest.serialize() if hasattr(rest, "serialize") else rest.as_dict()
    except Exception as error:
        label["rest_error"] = words(error)
    return label


def main():
    root, out = Path(sys.argv[1]).resolve(), sys.argv[2]
    with open(out, "w", encoding="utf-8") as sink:
        for name in filter(None, map(str.strip, sys.stdin)):
            row = json.dumps({"path": name, **ask(root / name)}, sort_keys=True, default=str)
            sink.write(row.replace(str(root), "<root>") + "\n")


if __name__ == "__main__":
    main()
