"""Where the one mistake of a mutant may be told.

The original and the mutant are compared as documents, which tells what was done to which entry; the marks of the
mutant's text tell the lines (from 1):

- a value replaced: the line of its key and every line of a scalar; of a collection, the first line
- a key misspelt or added: its line, and the first line of its value
- an entry gone: nothing is there to point at, so the line of the mapping it was in, and the lines around the gap

`exact` holds those. A name that is gone is often missed only where it is used, and the SDK tells it there too: `fair`
holds the lines as well that still bind to it, as `${{inputs.name}}`.
"""

import dataclasses
import re

import yaml


@dataclasses.dataclass(frozen=True)
class Places:
    exact: frozenset
    fair: frozenset


@dataclasses.dataclass(frozen=True)
class Change:
    """What was done in the collection at path `at`: `old` is the name before, `new` the name after."""

    way: str
    at: tuple
    old: object = None
    new: object = None


def of_mutation(original, mutant):
    """The places in the text `mutant`, which differs from the text `original` by one mutation.

    None where `$schema` was mutated: the file is for something else then, and each of its lines may be wrong.
    """
    before = yaml.safe_load(original)
    change = changed(before, yaml.safe_load(mutant))
    if "$schema" in (*change.at, change.old):
        return None
    root = yaml.compose(mutant)
    if change.way == "gone":
        exact = around_gap(yaml.compose(original), root, change)
    else:
        key, value = entry(root, change.at if change.way == "replaced" else (*change.at, change.new))
        exact = {(key or value).start_mark.line + 1, value.start_mark.line + 1}
        if isinstance(value, yaml.ScalarNode):
            exact |= set(range(value.start_mark.line + 1, last_line(value) + 1))
    used = uses(mutant, lost(before, change)) if change.way in ("gone", "misspelt") else set()
    return Places(frozenset(exact), frozenset(exact | used))


def same(one, other):
    return type(one) is type(other) and one == other


def changed(before, after, at=()):
    """The `Change` that leads from one document to the other."""
    if isinstance(before, dict) and isinstance(after, dict):
        gone = [key for key in before if key not in after]
        new = [key for key in after if key not in before]
        others = [key for key in before if key in after and not same(before[key], after[key])]
        match len(gone), len(new), len(others):
            case 1, 1, 0 if same(before[gone[0]], after[new[0]]):
                return Change("misspelt", at, gone[0], new[0])
            case 1, 0, 0:
                return Change("gone", at, gone[0])
            case 0, 1, 0:
                return Change("added", at, None, new[0])
            case 0, 0, 1:
                return changed(before[others[0]], after[others[0]], (*at, others[0]))
    if isinstance(before, list) and isinstance(after, list):
        others = [n for n, (a, b) in enumerate(zip(before, after)) if not same(a, b)]
        if len(before) == len(after) and len(others) == 1:
            return changed(before[others[0]], after[others[0]], (*at, others[0]))
        if len(before) == len(after) + 1:
            return Change("gone", at, others[0] if others else len(after))
    return Change("replaced", at)


def entry(node, path):
    """The nodes of key and value at the path; the root has no key."""
    key = None
    for step in path:
        if isinstance(node, yaml.MappingNode):
            # The last of two equal keys wins, as in the loaded document.
            key, node = [(k, v) for k, v in node.value if loaded(k) == step][-1]
        else:
            node = node.value[step]
            key = node
    return key, node


def loaded(node):
    return yaml.SafeLoader("").construct_object(node, deep=True)


def around_gap(original, mutant, change):
    """The line of the collection, and the lines before and after the entry that is not there any more."""
    key, left = entry(mutant, change.at)
    exact = {(key or left).start_mark.line + 1, left.start_mark.line + 1}
    if not isinstance(left, yaml.CollectionNode):
        return exact
    _, whole = entry(original, change.at)
    number = change.old
    if isinstance(whole, yaml.MappingNode):
        number = [loaded(one) for one, _ in whole.value].index(change.old)
    for position in (number - 1, number):
        if 0 <= position < len(left.value):
            child = left.value[position]
            first, last = child if isinstance(child, tuple) else (child, child)
            exact.add(first.start_mark.line + 1)
            if position < number:
                exact.add(last_line(last))
    return exact


def last_line(node):
    """The last line of a node; the mark of a block scalar or collection stands on the line after it."""
    while isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    mark = node.end_mark
    return mark.line if mark.column == 0 and mark.line > node.start_mark.line else mark.line + 1


def lost(document, change):
    """The names that went with an entry: its own and, of a mapping such as `inputs`, those in it."""
    for step in (*change.at, change.old):
        document = document[step]
    return {change.old, *(document if isinstance(document, dict) else ())}


def uses(text, names):
    """Lines with a binding that names one of them."""
    found = set()
    for number, line in enumerate(text.splitlines(), 1):
        for binding in re.findall(r"\$\{\{(.*?)\}\}", line):
            if names & set(re.split(r"[.\s]+", binding)):
                found.add(number)
    return found
