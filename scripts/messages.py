#!/usr/bin/env python3
"""Writes docs/messages.md: what `amlrun validate` and the official SDK say of the same ten mistakes.

    make messages

Needs azure-ai-ml (see tests/conformance/requirements.txt). Both texts are real output; only the folder's name is left out,
and of a very long one the end.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests/corpus"
PAGE = ROOT / "docs/messages.md"
sys.path.insert(0, str(ROOT / "tests/conformance"))

from sdk_oracle import ask  # noqa: E402

# Mistakes that people make, each of another kind.
FILES = [
    "command/unknown_field",
    "environments/bare_name",
    "pipeline/inline_unknown_field",
    "pipeline/missing_component",
    "pipeline/required_input",
    "bindings/unknown_node_output",
    "components/unknown_binding",
    "components/port_type",
    "sweep/distribution",
    "automl/metric",
]
LONGEST = 1600
HEAD = """# Messages for common mistakes

This page shows ten files of `tests/corpus/refuse`, with the message of `amlrun validate --target azure` and the message of
the official SDK (azure-ai-ml {version}) for each. `make messages` writes it.
"""


def ours(amlrun, name, target):
    command = [amlrun, "validate", name, *(["--target", target] if target else [])]
    done = subprocess.run(command, cwd=CORPUS, capture_output=True, text=True, env=dict(os.environ, NO_COLOR="1"))
    return done.stderr.rstrip()


def theirs(name):
    errors = ask(CORPUS / name)["errors"]
    text = errors if isinstance(errors, str) else json.dumps(errors, indent=2)
    text = "\n".join(line.rstrip() for line in text.replace(f"{CORPUS}/", "").splitlines())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def block(text):
    return f"```text\n{text}\n```"


def main():
    from azure.ai.ml import VERSION

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("amlrun")
    parser.add_argument("--target", default="azure", help="empty: leave --target out")
    options = parser.parse_args()
    amlrun = os.path.abspath(options.amlrun)
    parts = [HEAD.format(version=VERSION)]
    for file in FILES:
        name = f"refuse/{file}.yml"
        words = (CORPUS / name).read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        parts.append(f"## {file}\n\n`{words}`\n\namlrun:\n\n{block(ours(amlrun, name, options.target))}\n")
        parts.append(f"The SDK:\n\n{block(theirs(name))}\n")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(FILES)} mistakes")


if __name__ == "__main__":
    main()
