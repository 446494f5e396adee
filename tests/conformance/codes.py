"""Writes the reader's codes into the first lines of the refused corpus files: `# refused: <code> at line N`.

    codes.py AMLRUN [--lines]

The line stays as a person wrote it, and files where the reader says another one are listed; with `--lines` the reader's
line is written too. Read what git shows of the changes before you keep them.
"""

import re
import sys

from cases import Case
from corpus import CORPUS, names
from reader import Reader

FIRST = re.compile(r"# refused: (?:line (\d+): .*|\S+ at line (\d+))")


def main():
    amlrun, with_lines = sys.argv[1], "--lines" in sys.argv
    cases = [Case(CORPUS / name, CORPUS, {}) for name in names() if name.startswith("refuse")]
    verdicts = Reader(amlrun).validate(cases)
    for case in cases:
        errors = [one for one in verdicts[str(case.path)].get("diagnostics", ()) if one["severity"] == "error"]
        text = case.path.read_text(encoding="utf-8")
        first, rest = text.split("\n", 1)
        line = int(next(filter(None, FIRST.fullmatch(first).groups())))
        if not errors:
            print(f"{case.name}: not refused")
            continue
        told = errors[0]["line"]
        if told != line:
            print(f"{case.name}: line {line} here, line {told} there: {errors[0]['message']}")
            if not with_lines or told is None:
                continue
        case.path.write_text(f"# refused: {errors[0]['code']} at line {told}\n{rest}", encoding="utf-8")


if __name__ == "__main__":
    main()
