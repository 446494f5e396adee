"""Whether two REST bodies are the same, and where they are not."""

import json
import re

import yaml

# Hashed over a folder's name, so another one on each machine.
RANDOM = {"client_component_hash"}
# A name that the SDK draws where the file gives none.
DRAWN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Offline the SDK prints the object itself where the id would be that the service gives it.
UNKNOWN_TO_THE_SDK = ("Environment({", "FlowComponent({")


def normal(value, root, key=None):
    """A body in the form that is compared: our root for the label's, random keys masked, YAML text parsed."""
    if isinstance(value, dict):
        return {name: "<random>" if name in RANDOM else normal(one, root, name) for name, one in value.items()}
    if isinstance(value, list):
        return [normal(one, root) for one in value]
    if isinstance(value, str):
        if DRAWN.fullmatch(value):
            return "<drawn>"
        value = value.replace("<root>", root)
        # An anonymous component travels as YAML text, and one inside it as text in that text.
        if key == "componentId" and "\n" in value:
            try:
                return normal(yaml.safe_load(value), root)
            except yaml.YAMLError:
                return value
    return value


def differences(ours, theirs, at="$"):
    """Lines `place: ours, theirs`; to JSON `1` and `1.0` are one number, `true` is none."""
    if isinstance(theirs, str) and theirs.startswith(UNKNOWN_TO_THE_SDK):
        return
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(ours.keys() | theirs.keys(), key=str):
            if name not in theirs:
                yield f"{at}.{name}: {short(ours[name])}, the SDK sends none"
            elif name not in ours:
                yield f"{at}.{name}: missing, the SDK sends {short(theirs[name])}"
            else:
                yield from differences(ours[name], theirs[name], f"{at}.{name}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs)):
            yield from differences(one, other, f"{at}[{number}]")
    elif ours != theirs or isinstance(ours, bool) != isinstance(theirs, bool):
        yield f"{at}: {short(ours)}, the SDK sends {short(theirs)}"


def short(value):
    text = json.dumps(value, default=str)
    return text if len(text) <= 160 else f"{text[:157]}…"
