"""Writes the reader's codes into the first lines of the refused corpus files: `# refused: <code> at line N: <words>`.

    codes.py AMLRUN [--lines]

The line stays as a person wrote it, and files where the reader says another one are listed; with `--lines` the reader's
line is written too. Read what git shows of the changes before you keep them.
"""

import re
import sys
from pathlib import Path

from cases import Case
from corpus import CORPUS, names
from reader import Reader

FIRST = re.compile(r"# refused: (?:\S+ at )?line (\d+): (.*)")


def main():
    amlrun, with_lines = sys.argv[1], "--lines" in sys.argv
    cases = [Case(CORPUS / name, CORPUS, {}) for name in names() if name.startswith("refuse")]
    verdicts = Reader(amlrun).validate(cases)
    for case in cases:
        errors = [one for one in verdicts[str(case.path)].get("diagnostics", ()) if one["severity"] == "error"]
        text = case.path.read_text(encoding="utf-8")
        first, rest = text.split("\n", 1)
        line, words = FIRST.fullmatch(first).groups()
        if not errors:
            print(f"{case.name}: not refused")
            continue
        error = errors[0]
        # Shown from the working directory on, where it lies below that.
        if Path(error["file"]).resolve() != case.path:
            print(f"{case.name}: told of {error['file']}: {error['message']}")
            continue
        if str(error["line"]) != line:
            print(f"{case.name}: line {line} here, line {error['line']} there: {error['message']}")
            if not with_lines:
                continue
        case.path.write_text(f"# refused: {error['code']} at line {error['line']}: {words}\n{rest}", encoding="utf-8")


if __name__ == "__main__":
    main()
