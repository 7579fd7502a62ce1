"""Messages that are JSON, and say something that no client would say: one or two places of a valid message hold another
value, a second one, or none. Pure."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]

_DEEP = ["[" * depth + "]" * depth for depth in (150, 1_010, 100_000)] + ['{"a": ' * 5_000 + "1" + "}" * 5_000]
_TEXTS = ["", "x", "\x00", "\ud800", "é", '"', "9" * 400, "base64", "zlib", "utf-16", "application/x-none", "tomorrow"]
_NUMBERS = ["0", "1", "-1", "7.5", "-0.0", "1e308", "1e400", "NaN", "Infinity", "-Infinity", str(2**63), "9" * 5_000]
_PLAIN = ["null", "true", "false", "[]", "{}", "[[]]", "[1, 2]", '["x"]', '{"a": 1}', '{"a": 1, "a": 2}', '{"": null}']
# kombu's marks for what JSON has no word for: each kind with what it takes, and with what it cannot take.
_MARKS = {
    "bytes": '"text"',
    "base64": '"eHk="',
    "datetime": '"2024-05-06T07:08:09"',
    "date": '"2024-05-06"',
    "time": '"07:08:09"',
    "decimal": '"1.50"',
    "uuid": '{"hex": "00000000000040008000000000000000"}',
    "no such kind": "1",
}
_NO_SIGNATURES = [
    '[{"task": 7}]',
    "[[]]",
    '[{"args": []}]',
    '{"task": null}',
    '[{"task": "x", "args": {"a": 1}}]',
    '"x"',
]
_DATES = ["null", '"2020-01-01T00:00:00+00:00"', '"2020-13-45T99:99:99Z"', '"0001-01-01T00:00:00"', '"tomorrow"']
# What might stand there: it goes further than what is refused at once.
_FITTING: Mapping[str | int, Sequence[str]] = {
    "eta": _DATES,
    "expires": _DATES,
    "timelimit": ["null", "[]", "[null]", "[5, 5]", "[-5, null]", "[NaN, null]", "[null, Infinity]", "[1e400, 1e400]"],
    "retries": _NUMBERS,
    "priority": _NUMBERS,
    "group_index": _NUMBERS,
    "ignore_result": ["true", "null"],
    "compression": ['"zlib"', '"bzip2"', '"none"', '""'],
    "stamps": ["{}", '{"a": [[]]}', "null"],
    "stamped_headers": ["[]", '["a", "a"]', "[1]"],
    "callbacks": _NO_SIGNATURES,
    "errbacks": _NO_SIGNATURES,
    "chain": _NO_SIGNATURES,
    "chord": _NO_SIGNATURES,
}
_MORE_HEADERS = ["compression", "get", "args", "headers", "is_eager", "called_directly", "_starts", "replays", "due_at"]
# Expired, and nobody wants its result: nothing is left of it, and that is right. But no verdict can be given.
_TRACELESS = {("headers", "ignore_result"), ("headers", "expires")}


@dataclass(frozen=True)
class _Change:
    path: Path
    fragment: str | None
    """JSON text; None: the place is empty."""
    twice: bool = False


def changed(message: Mapping[str, Any], body: Any, chance: random.Random) -> bytes:
    """The message, with this body, and one or two changes in either."""
    tree = json.loads(json.dumps({**message, "body": body}))
    places = list(_paths(tree))
    changes = [_change(chance, places) for _ in range(chance.randint(1, 2))]
    if {change.path for change in changes} == _TRACELESS:
        changes.pop()
    fragments: dict[str, str] = {}
    for number, change in enumerate(changes):
        mark = f"@{number}@"
        if change.fragment is not None:
            fragments[json.dumps(mark)] = change.fragment
            if change.twice:
                fragments[json.dumps(mark)] += f", {json.dumps(str(change.path[-1]))}: {change.fragment}"
        _apply(tree, change, mark)
    if "body" in tree and not isinstance(tree["body"], str):
        tree["body"] = base64.b64encode(_written(tree["body"], fragments).encode()).decode()
    return _written(tree, fragments).encode()


def _written(tree: object, fragments: Mapping[str, str]) -> str:
    text = json.dumps(tree)
    for mark, fragment in fragments.items():
        text = text.replace(mark, fragment)
    return text


def _change(chance: random.Random, places: Sequence[Path]) -> _Change:
    fitting = [path for path in places if path[-1] in _FITTING]
    how = chance.randrange(8)
    if how < 3:
        path = chance.choice(fitting)
        return _Change(path, chance.choice(_FITTING[path[-1]]))
    if how == 3:
        return _Change(("headers", chance.choice(_MORE_HEADERS)), _fragment(chance))
    path = chance.choice(places)
    return _Change(path, None if how == 4 else _fragment(chance), twice=how == 5 and isinstance(path[-1], str))


def _fragment(chance: random.Random) -> str:
    kind = chance.randrange(5)
    if kind == 0:
        name = chance.choice(list(_MARKS))
        value = _MARKS[name] if chance.random() < 0.3 else chance.choice([*_PLAIN, '"abc"', "5", "NaN"])
        return f'{{"__type__": {json.dumps(name)}, "__value__": {value}}}'
    if kind == 1:
        return chance.choice(_DEEP)
    if kind == 2:
        return chance.choice(_NUMBERS)
    return json.dumps(chance.choice(_TEXTS)) if kind == 3 else chance.choice(_PLAIN)


def _paths(tree: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if path[:1] == ("body",) and len(path) >= 3 and path[1:3] in ((0, 0), ("args", 0)):
        return  # the payload as a whole; what is inside is its contract's
    for step, inner in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from _paths(inner, (*path, step))


def _apply(tree: Any, change: _Change, mark: str) -> None:
    *way, last = change.path
    try:
        for step in way:
            tree = tree[step]
        if change.fragment is None:
            del tree[last]
        else:
            tree[last] = mark
    except (LookupError, TypeError):
        return  # an earlier change took it away
