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

from places import Places, of_mutation

MUTANT = re.compile(r"\.mutant-\d+-\d+(\.ya?ml)$")
# Folders of the corpus whose files need Azure ML's preview features, and the variable that opens them.
PREVIEW_FOLDER = "preview"
PREVIEW_VARIABLE = "AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED"
ASSETS = {"data", "model", "environment"}
# Written as a key, or in a comment for editors; of this generation, or of the one before.
SCHEMA = re.compile(
    r"""^(?:\ufeff?["']?\$schema["']?\s*:\s*["']?|# yaml-language-server: \$schema=)\S*?([A-Za-z0-9]+)(?:\.schema)?\.json""",
    re.MULTILINE,
)
DATASTORE = re.compile(r"azure(Blob|File|DataLakeGen1|DataLakeGen2)|oneLake|hdfs|datastore", re.IGNORECASE)


@dataclasses.dataclass
class Case:
    """One file with its label. `places` is where the first error may stand; None: not measured."""

    path: Path
    root: Path
    label: dict
    places: Places | None = None
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
    found = SCHEMA.search(text)
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
                before = yaml.safe_load((root / original).read_bytes())
                # The form in which the mutants were written.
                dumped = yaml.safe_dump(before, sort_keys=False, width=1000)
                case.places = of_mutation(dumped, path.read_text(encoding="utf-8"))
        cases.append(case)
    return cases
