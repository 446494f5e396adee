"""How far `amlrun` and the official SDK agree: on verdicts, on REST bodies, and on where a mistake is.

    compare.py AMLRUN [--labels DIR] [--seed N] [--mutants N] [--work DIR] [--target NAME] [--only REGEX]

With `--labels`, the folder holds `labels.jsonl` and `cases/`, and no SDK is needed. Without, our own corpus and seeded
mutants of it are shown to the SDK (see `corpus.py`). Every difference is printed. Exit 1 when one limit is missed.
"""

import argparse
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import bodies
import cases
import deliberate
from reader import Reader

# What counts as agreement, in percent.
VERDICTS, BODIES_OF_ORIGINALS, BODIES_OF_MUTANTS, PLACES = 99.5, 100.0, 99.0, 95.0
SAID = 200


class Tally:
    """Right out of asked, by kind."""

    def __init__(self, title, limit):
        self.title, self.limit = title, limit
        self.asked, self.right = Counter(), Counter()

    def add(self, kind, right):
        self.asked[kind] += 1
        self.right[kind] += bool(right)

    @property
    def percent(self):
        asked = self.asked.total()
        return 100 * self.right.total() / asked if asked else 100.0

    @property
    def met(self):
        return self.percent >= self.limit

    def summary(self):
        word = "met" if self.met else "MISSED"
        counts = f"{self.right.total()} of {self.asked.total()}"
        limit = f"  (at least {self.limit} %: {word})" if self.limit else ""
        return f"{self.title:30} {counts:>14}  {self.percent:6.2f} %{limit}"


class Comparison:
    """Goes through the cases once for each question and keeps every difference as a line."""

    def __init__(self, reader, rules):
        self.reader, self.rules = reader, rules
        self.verdicts = Tally("verdicts", VERDICTS)
        self.originals = Tally("REST bodies of originals", BODIES_OF_ORIGINALS)
        self.mutants = Tally("REST bodies of mutants", BODIES_OF_MUTANTS)
        self.places = Tally("places of mistakes", PLACES)
        # Told for interest: how often the place is the mutation itself, not a use of the name that went.
        self.exact = Tally("places, the mutation itself", 0)
        self.lines = defaultdict(list)
        self.deliberate = Counter()

    def run(self, found):
        verdicts = self.reader.validate(found)
        for case in found:
            self.judge(case, verdicts[str(case.path)])
        sent = [case for case in found if case.accepted and "rest" in case.label and case.entity in ("job", "component")]
        answers = self.reader.bodies(sent)
        for case in sent:
            self.judge_body(case, answers[str(case.path)])

    def judge(self, case, verdict):
        if "crash" in verdict:
            self.lines["crashes"].append(f"{case.name}: {verdict['crash']}")
            self.verdicts.add(case.kind, False)
            return
        errors = [one for one in verdict["diagnostics"] if one["severity"] == "error"]
        if not verdict["accepted"] and not any(one.get("line") for one in errors):
            self.lines["refused without a line"].append(case.name)
        if verdict["accepted"] == case.accepted:
            self.verdicts.add(case.kind, True)
            if not case.accepted and case.places:
                self.judge_place(case, errors)
            return
        row = deliberate.of_verdict(self.rules, case.label, verdict)
        if row:
            self.deliberate[row] += 1
            return
        self.verdicts.add(case.kind, False)
        if case.accepted:
            said = f"only amlrun refuses: {shown(errors[0]) if errors else 'no error given'}"
        else:
            said = f"only the SDK refuses: {words(case.label.get('errors', ''))}"
        self.lines["verdicts"].append(f"{case.name}: {said}")

    def judge_place(self, case, errors):
        first = errors[0] if errors else None
        line = first.get("line") if first and Path(first["file"] or "").name == case.path.name else None
        self.exact.add(case.kind, line in case.places.exact)
        self.places.add(case.kind, line in case.places.fair)
        if line not in case.places.fair:
            wanted = ", ".join(map(str, sorted(case.places.fair)))
            said = f"the mistake is on line {wanted}; {shown(first) if first else 'no error given'}"
            self.lines["places"].append(f"{case.name}: {said}; the SDK: {words(case.label.get('errors', ''))}")

    def judge_body(self, case, answer):
        tally = self.mutants if case.is_mutant else self.originals
        if "body" not in answer:
            tally.add(case.kind, False)
            kind = "crashes" if "crash" in answer else "REST bodies"
            self.lines[kind].append(f"{case.name}: --dry-run: {words(answer.get('crash') or answer.get('refused'))}")
            return
        root = str(case.root)
        ours, theirs = (bodies.normal(body, root) for body in (answer["body"], case.label["rest"]))
        left = []
        for line in bodies.differences(ours, theirs):
            row = deliberate.of_place(self.rules, line)
            if row:
                self.deliberate[row] += 1
            else:
                left.append(line)
        tally.add(case.kind, not left)
        self.lines["REST bodies"].extend(f"{case.name}: {line}" for line in left)

    def report(self):
        """Prints everything; whether all limits are met."""
        for title, lines in self.lines.items():
            print(f"\n{title}: {len(lines)} differences")
            for line in lines:
                print(f"  {line}")
        tallies = [self.verdicts, self.originals, self.mutants, self.places, self.exact]
        print(f"\n{'by kind':24}" + "".join(f"{tally.title:>29}" for tally in tallies))
        for kind in sorted(self.verdicts.asked | self.originals.asked | self.mutants.asked):
            counts = (f"{t.right[kind]}/{t.asked[kind]}" if t.asked[kind] else "-" for t in tallies)
            print(f"{kind:24}" + "".join(f"{count:>29}" for count in counts))
        print()
        for tally in tallies:
            print(tally.summary())
        for row, count in sorted(self.deliberate.items()):
            print(f"different on purpose: {row}: {count}")
        broken = len(self.lines["crashes"]) + len(self.lines["refused without a line"])
        print(f"crashes: {len(self.lines['crashes'])}; refused without a line: {len(self.lines['refused without a line'])}")
        return broken == 0 and all(tally.met for tally in tallies)


def shown(error):
    place = f"{Path(error['file']).name}:{error.get('line')}" if error.get("file") else "no place"
    return f"[{error['code']}] {words(error['message'])} ({place})"


def words(text):
    text = " ".join(str(text).split())
    return text if len(text) <= SAID else f"{text[:SAID]}…"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("amlrun")
    parser.add_argument("--labels", default="", help="a folder with labels.jsonl and cases/")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutants", type=int, default=4, help="of each file")
    parser.add_argument("--work", type=Path, help="a folder to lay the mutants in")
    parser.add_argument("--target", default="azure", help="empty: leave --target out")
    parser.add_argument("--only", default="", help="only the cases whose name matches")
    options = parser.parse_args()
    if options.labels:
        found = cases.labelled(options.labels)
    else:
        import corpus

        found = corpus.asked(options.work, options.seed, options.mutants)
    found = [case for case in found if re.search(options.only, case.name)]
    refused = sum(not case.accepted for case in found)
    print(f"{len(found)} files, of which the SDK refuses {refused}")
    comparison = Comparison(Reader(options.amlrun, options.target), deliberate.rules())
    comparison.run(found)
    sys.exit(0 if comparison.report() else 1)


if __name__ == "__main__":
    main()
