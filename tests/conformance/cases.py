"""What a case is: a YAML file, what the SDK said about it, and where its mistake is.

Cases come from two places. `labelled` reads a folder that somebody labelled before (`labels.jsonl` beside `cases/`) and
needs no SDK. The corpus road (`corpus.py`) copies our own corpus, mutates it and asks the SDK.
"""

import dataclasses
import functools
import json
import os
import re
from pathlib import Path

import yaml

MUTANT = re.compile(r"\.mutant-\d+-\d+(\.ya?ml)$")
# Folders of the corpus whose files need Azure ML's preview features, and the variable that opens them.
PREVIEW_FOLDER = "preview"
PREVIEW_VARIABLE = "AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED"
ASSETS = {"data", "model", "environment"}
DATASTORE = re.compile(r"azure(Blob|File|DataLakeGen1|DataLakeGen2)|oneLake|hdfs|datastore", re.IGNORECASE)


@dataclasses.dataclass
class Case:
    """One file with its label. `lines` is where the first error may stand; empty: not measured."""

    path: Path
    root: Path
    label: dict
    lines: frozenset = frozenset()
    is_mutant: bool = False

    @property
    def accepted(self):
        """The SDK's verdict: it loads, and `_validate()` does not say no."""
        return self.label["load"] == "ok" and self.label.get("valid") is not False

    @property
    def name(self):
        return os.path.relpath(self.path, self.root)

    @property
    def is_preview(self):
        return is_preview(self.name)

    @functools.cached_property
    def entity(self):
        return entity_of(self.path)

    @functools.cached_property
    def kind(self):
        """A word or two for the tables, from the text: a file that the SDK refuses has no class."""
        entity = self.entity
        if entity in ("job", "component"):
            try:
                kind = yaml.safe_load(self.path.read_bytes()).get("type", "command")
            except (yaml.YAMLError, AttributeError, ValueError):
                return f"unreadable {entity}"
            known = isinstance(kind, str) and re.fullmatch(r"[a-z_]+", kind)
            return f"{kind if known else 'odd'} {entity}"
        return entity


def is_preview(name):
    return any(part.startswith(PREVIEW_FOLDER) for part in Path(name).parts)


def entity_of(path):
    """What `az ml ENTITY create` the file is for: the last word of its `$schema`; a job without one."""
    text = Path(path).read_bytes().decode("utf-8", "replace")
    found = re.search(r"""^\ufeff?["']?\$schema["']?\s*:\s*["']?\S*?([A-Za-z0-9]+)\.schema\.json""", text, re.MULTILINE)
    word = found.group(1) if found else ""
    if word.lower().endswith("component") or "Component.schema.json" in text:
        return "component"
    if word.lower() in ASSETS:
        return word.lower()
    return "datastore" if DATASTORE.fullmatch(word) else "job"


def labelled(folder):
    """The cases of a folder with `labels.jsonl` and `cases/`."""
    folder = Path(folder).resolve()
    root = folder / "cases"
    rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines() if line]
    refused = {row["path"] for row in rows if row["load"] != "ok" or row.get("valid") is False}
    cases = []
    for row in rows:
        path = root / row["path"]
        case = Case(path, root, row)
        original = MUTANT.sub(r"\1", row["path"])
        if original != row["path"]:
            case.is_mutant = True
            # Where the original has a mistake of its own, its place is as right as that of the mutation.
            if original not in refused:
                case.lines = mutated_lines(root / original, path)
        cases.append(case)
    return cases


def mutated_lines(original, mutant):
    """Lines of the mutant on which its one mistake may be told.

    A mutant was written by `yaml.safe_dump(document, sort_keys=False, width=1000)`. The original is dumped the same
    way, so the first line that differs is the mutation. Where a scalar runs over several lines, all of its lines up to
    that one are right: a diagnostic stands at the start of a value. Where a line is gone, nothing is there to point at:
    the lines on both sides and the line of the mapping that it was in are right.
    """
    dumped = yaml.safe_dump(yaml.safe_load(original.read_bytes()), sort_keys=False, width=1000).splitlines()
    text = mutant.read_text(encoding="utf-8")
    lines = text.splitlines()
    at = next((n for n, (a, b) in enumerate(zip(dumped, lines)) if a != b), min(len(dumped), len(lines)))
    accepted = {at + 1} | scalar_lines(text, at)
    rest = lines[at:]
    was_dropped = len(lines) < len(dumped) and any(rest == dumped[at + n :] for n in range(1, len(dumped) - at + 1))
    if was_dropped:
        accepted |= {at, at + 2} | parents(dumped, at)
    return frozenset(n for n in accepted if 1 <= n <= max(len(lines), 1))


def scalar_lines(text, line):
    """The lines (from 1) of a scalar up to `line` (from 0), when it is one that began further up."""
    for node in leaves(yaml.compose(text)):
        if node.start_mark.line < line <= node.end_mark.line and node.end_mark.column > 0:
            return set(range(node.start_mark.line + 1, line + 2))
    return set()


def leaves(node):
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield from leaves(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from leaves(value)


def parents(lines, at):
    """The line (from 1) of the key that line `at` (from 0) stands under."""

    def indent(line):
        # A list stands on the indent of its key in this style, so its items count half a step further in.
        bare = len(line) - len(line.lstrip(" "))
        return bare + 0.5 if line.lstrip(" ").startswith("- ") else bare

    own = indent(lines[at])
    for n in range(at - 1, -1, -1):
        if indent(lines[n]) < own and lines[n].strip():
            return {n + 1}
    return {1}
