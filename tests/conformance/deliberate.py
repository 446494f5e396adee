"""Differences from the SDK that we make on purpose: the table of `docs/azure-differences.md`.

A row is `| name | rule | reason |`. The rule says how a case is recognised, in backquotes after one word:

- code `x`: our first error has this code (we refuse, the SDK does not)
- sdk `regex`: the SDK's own words match (the SDK refuses, we do not)
- rest `regex`: the differing place of the REST body matches, as `$.properties.name`
"""

import json
import re
from pathlib import Path

TABLE = Path(__file__).resolve().parents[2] / "docs/azure-differences.md"
ROW = re.compile(r"^\|([^|]*)\|\s*(code|sdk|rest)\s+`(.+?)`\s*\|([^|]*)\|\s*$")


def rules(table=TABLE):
    """`(name, way, pattern)` of each row; a row that cannot be read ends the comparison."""
    found, inside = [], False
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
        if re.match(r"^\|\s*-", line):
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside:
            # A pipe inside a regex is written \| so that the table stays one.
            row = ROW.match(line.replace(r"\|", "\0"))
            if not row:
                raise SystemExit(f"{table.name}:{number}: a row is | name | code, sdk or rest `pattern` | reason |")
            name, way, pattern, _ = (cell.replace("\0", "|").strip() for cell in row.groups())
            found.append((name, way, pattern))
    return found


def of_verdict(found, label, verdict):
    """The name of the row that a difference of verdicts falls under, or None."""
    errors = [one for one in verdict["diagnostics"] if one["severity"] == "error"]
    said = label.get("errors", "")
    said = said if isinstance(said, str) else json.dumps(said)
    for name, way, pattern in found:
        if way == "code" and not verdict["accepted"] and errors and errors[0]["code"] == pattern:
            return name
        if way == "sdk" and verdict["accepted"] and re.search(pattern, said):
            return name
    return None


def of_place(found, difference):
    """The name of the row that a difference of bodies falls under, or None."""
    place = difference.split(": ", 1)[0]
    return next((name for name, way, pattern in found if way == "rest" and re.search(pattern, place)), None)
