"""The other side of the comparison: `amlrun`, as a user calls it."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

from cases import PREVIEW_VARIABLE

# Exit codes of the contract: all accepted, one refused, one not there. Anything else is our mistake.
UNDERSTOOD = {0, 1, 3}
BATCH = 2000


class Reader:
    """`amlrun` with the target whose verdict is compared; an empty target leaves the option out."""

    def __init__(self, binary, target="azure"):
        self.binary = os.path.abspath(binary)
        self.options = ["--target", target] if target else []

    def environment(self, preview):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AMLRUN_")}
        kept.pop(PREVIEW_VARIABLE, None)
        return kept | ({PREVIEW_VARIABLE: "true"} if preview else {})

    def validate(self, cases):
        """Path to what `validate` says of the file, all files in one call; a crash is `{"crash": words}`."""
        verdicts = {}
        for preview in (False, True):
            paths = [str(case.path) for case in cases if case.is_preview == preview]
            for start in range(0, len(paths), BATCH):
                verdicts |= self.validate_batch(paths[start : start + BATCH], preview)
        return verdicts

    def validate_batch(self, paths, preview):
        command = [self.binary, "validate", *self.options, "-o", "json", "--", *paths]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment(preview))
        problem = f"exit code {done.returncode}: {done.stderr.strip()[-300:]}"
        if done.returncode in UNDERSTOOD:
            try:
                found = json.loads(done.stdout)["files"]
                if [one["path"] for one in found] == paths:
                    return dict(zip(paths, found))
                problem = "not one answer for each file, in order"
            except (ValueError, KeyError) as error:
                problem = f"no JSON of the contract: {error!r}"
        if len(paths) == 1:
            return {paths[0]: {"crash": problem}}
        if done.returncode == 2:
            raise SystemExit(f"amlrun does not understand the call: {done.stderr.strip()[:300]}")
        # One file took the others down with it: the halves tell which.
        half = len(paths) // 2
        return self.validate_batch(paths[:half], preview) | self.validate_batch(paths[half:], preview)

    def bodies(self, cases):
        """Path to the REST body that would be sent, or `{"crash": …}`, or `{"refused": …}`."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return dict(zip((str(case.path) for case in cases), pool.map(self.body, cases)))

    def body(self, case):
        verb = "component" if case.entity == "component" else "job"
        command = [self.binary, verb, "create", "-f", str(case.path), "--dry-run"]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment(case.is_preview))
        said = done.stderr.strip()[-300:]
        if done.returncode == 0:
            try:
                return {"body": json.loads(done.stdout)}
            except ValueError as error:
                return {"crash": f"no JSON: {error}"}
        return {"refused" if done.returncode in UNDERSTOOD | {2} else "crash": f"exit code {done.returncode}: {said}"}
