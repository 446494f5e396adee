"""One mistake put into the text of a YAML file: what a person does by accident.

The text is edited in place, at the marks of the parsed document, so comments, quotes and flow style stay as they are and
the place of the mistake is known. Everything is drawn from one seed.
"""

import random
import re

import yaml

from places import loaded, of_mutation

# Values of every shape; most are wrong wherever they land.
ODD = ["nonsense", "uri_flder", "7", "-1", "3.5", "true", "null", "[]", "{}", "[a]", "{a: 1}", "1e-3", '""', "2020-01-01"]
TRIES = 30


def mutants(text, seed, count):
    """Up to `count` different `(text, Places)` with one mistake each."""
    rng = random.Random(seed)
    before = yaml.safe_load(text)
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
        return  # one edit would be two mistakes
    seen = {text}
    for _ in range(count):
        for _ in range(TRIES):
            mutant = once(text, rng)
            if mutant is None or mutant in seen:
                continue
            try:
                if yaml.safe_load(mutant) == before:
                    continue
            except yaml.YAMLError:
                continue
            seen.add(mutant)
            places = of_mutation(text, mutant)
            # A key misspelt into one that is there already is more than one change: drawn again.
            if places.exact & first_change(text, mutant):
                yield mutant, places
                break


def first_change(text, mutant):
    """The first line that differs, and the one before it: a collection starts on the line after its key."""
    before, after = text.splitlines(), mutant.splitlines()
    at = next((n for n, (a, b) in enumerate(zip(before, after)) if a != b), min(len(before), len(after)))
    return {at, at + 1}


def once(text, rng):
    """The text with one edit, or None where the drawn one does not fit."""
    root = yaml.compose(text)
    # `$schema` tells the harness what a file is for, as the verb of `az ml` does; the SDK does not read it.
    spot = rng.choice([spot for spot in spots(root) if not (spot.key and spot.key.value == "$schema")])
    ways = [drop, replace]
    if isinstance(spot.parent, yaml.MappingNode):
        ways += [misspell, add]
    if isinstance(spot.value, yaml.ScalarNode) and "${{" in spot.value.value:
        ways += [unbind] * 4
    if "parent.jobs." in text[spot.start : end(text, spot.value)]:
        ways += [tie] * 2
    return rng.choice(ways)(text, spot, rng)


class Spot:
    """An entry: the collection it is in, its number there, its key (of a mapping) and value."""

    def __init__(self, parent, number):
        self.parent, self.number = parent, number
        child = parent.value[number]
        self.key, self.value = child if isinstance(child, tuple) else (None, child)
        self.start = (self.key or self.value).start_mark.index
        self.column = (self.key or self.value).start_mark.column


def spots(node):
    if isinstance(node, yaml.CollectionNode):
        for number in range(len(node.value)):
            spot = Spot(node, number)
            yield spot
            yield from spots(spot.value)


def end(text, node):
    """Where the text of a node ends; the end mark of a block collection stands far behind it."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    stop = node.end_mark.index
    return len(text[:stop].rstrip("\n")) if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">") else stop


def drop(text, spot, rng):
    children = spot.parent.value
    if len(children) == 1:
        empty = "{}" if spot.key else "[]"
        start = spot.parent.start_mark.index
        return text[:start] + empty + text[end(text, spot.parent) :]
    if spot.number + 1 < len(children):
        after = Spot(spot.parent, spot.number + 1)
        return text[: spot.start] + text[after.start :]
    before = end(text, Spot(spot.parent, spot.number - 1).value)
    return text[:before] + text[end(text, spot.value) :]


def replace(text, spot, rng):
    value = rng.choice(ODD)
    if not spot.key:
        return text[: spot.start] + value + text[end(text, spot.value) :]
    colon = text.index(":", spot.key.end_mark.index)
    stop = max(end(text, spot.value), colon + 1)
    return f"{text[: colon + 1]} {value}{text[stop:]}"


def misspell(text, spot, rng):
    stop = spot.key.end_mark.index
    key = list(text[spot.start : stop])
    way = rng.choice(["swap", "change", "lose", "double"])
    at = rng.randrange(len(key))
    if way == "swap" and at + 1 < len(key):
        key[at], key[at + 1] = key[at + 1], key[at]
    elif way == "lose" and len(key) > 2:
        del key[at]
    elif way == "double":
        key.insert(at, key[at])
    else:
        key[at] = rng.choice("aeioxyz_")
    return text[: spot.start] + "".join(key) + text[stop:]


def add(text, spot, rng):
    joint = ", " if spot.parent.flow_style else "\n" + " " * spot.column
    entry = f"unexpected_{rng.choice('abc')}: {rng.choice(ODD)}"
    return text[: spot.start] + entry + joint + text[spot.start :]


def unbind(text, spot, rng):
    start, stop = spot.value.start_mark.index, spot.value.end_mark.index
    names = list(re.finditer(r"(?<=\.)[A-Za-z0-9_]+(?=[.}\s])", text[start:stop]))
    if not names:
        return None
    name = rng.choice(names)
    other = rng.choice(["nowhere", "inputs", "outputs", "jobs"])
    return text[: start + name.start()] + other + text[start + name.end() :]


def tie(text, spot, rng):
    """Lets a node wait for another one, itself included: most often a circle."""
    start, stop = spot.value.start_mark.index, end(text, spot.value)
    jobs = next((v for k, v in yaml.compose(text).value if loaded(k) == "jobs"), None)
    if not isinstance(jobs, yaml.MappingNode):
        return None
    job = rng.choice([loaded(key) for key, _ in jobs.value])
    bound = re.sub(r"(?<=parent\.jobs\.)[a-z0-9_]+", str(job), text[start:stop], count=1)
    return text[:start] + bound + text[stop:]
