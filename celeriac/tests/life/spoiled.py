"""Messages that are valid but for a few places: strategies for Hypothesis.

A message is a tree. A change puts a fragment of JSON text, or nothing, or a second value in one place of it; so all
that JSON can say can be said, also what Python's own writer would never write."""

import base64
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

QUEUE = "test"
Path = tuple[str | int, ...]

DATES = ["2020-01-01T00:00:00+00:00", "2099-01-01T00:00:00+00:00", "2099-01-01T00:00:00", "0001-01-01T00:00:00"]
DATES += ["9999-12-31T23:59:59.999999-23:59", "2020-13-45T99:99:99Z", "tomorrow", "2020-01-01"]
NUMBERS = ["0", "1", "-1", "3", "7.5", "-0.0", "-5.5", "1e308", "1e400", "-1e400", "NaN", "Infinity", "-Infinity"]
NUMBERS += [str(2**31), str(2**63), str(-(2**63)), str(10**30), "1" + "0" * 4299, "9" * 4300, "1" + "0" * 5000]
TEXTS = ["", "x", "\x00", "\ud800", "\udfff\ud800", "é", '"', "a\nb", "*", "9" * 400, "test.plain", "base64", "zlib"]
TEXTS += ["application/json", "application/data", "utf-8", "latin-1", "utf-16", "nothing/known", "{}", "[[], {}, {}]"]
FIXED = ["null", "true", "false", *NUMBERS, *map(json.dumps, TEXTS + DATES), "[]", "{}", "[[]]", "[null]", '["x"]']
FIXED += ["[1, 2]", "[null, null]", "[[1], [2]]", '{"a": 1}', '{"a": 1, "a": 2}', '{"": null}', "[NaN]", '{"a": 1e999}']
DEPTHS = [150, 900, 1_010, 5_000, 100_000]
DEEP = ["[" * depth + "]" * depth for depth in DEPTHS] + ['{"a": ' * depth + "1" + "}" * depth for depth in DEPTHS]
# kombu's own marks: what each kind takes, and one that no version knows.
MARKS = {
    "bytes": '"text"',
    "base64": '"eHk="',
    "datetime": '"2024-05-06T07:08:09"',
    "date": '"2024-05-06"',
    "time": '"07:08:09"',
    "decimal": '"1.50"',
    "uuid": '{"hex": "00000000000040008000000000000000"}',
    "complex": '"1j"',
}


def marked(kind: str, value: str) -> str:
    return f'{{"__type__": {json.dumps(kind)}, "__value__": {value}}}'


SIMPLE = st.sampled_from(FIXED)
MARKED = st.one_of(
    st.sampled_from([marked(kind, value) for kind, value in MARKS.items()]),
    st.builds(marked, st.sampled_from(list(MARKS)), SIMPLE),
    st.builds(lambda value: f'{{"__type__": {value}, "__value__": {value}}}', SIMPLE),
)


def _object(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in fields.items()) + "}"


def _signature(fields: dict[str, str]) -> str:
    return _object({**SIGNATURE, **fields})


SIGNATURE = {"task": '"test.plain"', "args": "[]", "kwargs": "{}", "options": "{}", "subtask_type": "null"}
SIGNATURE |= {"immutable": "false"}
KINDS = ['"chain"', '"group"', '"chord"', '"xmap"', '"chunks"', '"celery.chain"', '"no such"', "null", "7", "[]"]
OPTIONS = ["task_id", "queue", "countdown", "eta", "expires", "link", "link_error", "chord", "group_id", "root_id"]
OPTIONS += ["priority", "headers", "stamped_headers", "serializer", "compression", "routing_key", "exchange", "retry"]


def _signatures(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, max_size=3).map(lambda ones: f"[{', '.join(ones)}]")
    options = st.dictionaries(st.sampled_from(OPTIONS), st.one_of(inner, several), max_size=2).map(_object)
    kwargs = st.one_of(
        st.builds(lambda tasks: _object({"tasks": tasks}), st.one_of(inner, several)),
        st.builds(lambda head, body: _object({"header": head, "body": body}), st.one_of(inner, several), inner),
    )
    fields = st.fixed_dictionaries(
        {},
        optional={
            "task": st.one_of(st.sampled_from(['"no.such"', '"celery.chain"', '"celery.chord"', "null"]), SIMPLE),
            "args": st.one_of(several, SIMPLE),
            "kwargs": st.one_of(kwargs, SIMPLE),
            "options": st.one_of(options, SIMPLE),
            "subtask_type": st.one_of(st.sampled_from(KINDS), SIMPLE),
            "immutable": SIMPLE,
            "chord_size": SIMPLE,
        },
    )
    return st.one_of(fields.map(_signature), several)


SIGNATURES = st.recursive(st.one_of(st.just(_signature({})), SIMPLE), _signatures, max_leaves=6)
FRAGMENTS = st.one_of(SIMPLE, MARKED, SIGNATURES, st.sampled_from(DEEP))


@dataclass(frozen=True)
class Change:
    """`fragment`: JSON text; None: the place is empty. `twice`: the first value stays, and the name stands twice."""

    path: Path
    fragment: str | None
    twice: bool = False


@dataclass(frozen=True)
class Spoiled:
    kind: str
    changes: tuple[Change, ...]

    def raw(self, task_id: str, tag: str) -> bytes:
        return written(KINDS_OF_MESSAGES[self.kind](task_id, tag), self.changes)


class _Twice(dict[str, Any]):
    """An object in which a name stands twice: json.dumps asks for its items."""

    def __init__(self, fields: dict[str, Any], name: str, second: Any) -> None:
        super().__init__(fields)
        self._more = (name, second)

    def items(self) -> Any:
        return [*super().items(), self._more]


def written(tree: dict[str, Any], changes: tuple[Change, ...]) -> bytes:
    """The message as its bytes. The body, under the name `body`, is a tree as well."""
    tree = deepcopy(tree)
    fragments: dict[str, str] = {}
    for number, change in enumerate(changes):
        mark = f"@@{number}@@"
        if change.fragment is not None:
            fragments[json.dumps(mark)] = change.fragment
        _apply(tree, change, mark)

    def text(value: Any) -> str:
        found = json.dumps(value)
        for mark, fragment in fragments.items():
            found = found.replace(mark, fragment)
        return found

    if not isinstance(tree.get("body"), str):
        body = text(tree["body"]) if "body" in tree else ""
        if "body" in tree:
            tree["body"] = base64.b64encode(body.encode()).decode()
    return text(tree).encode()


def _apply(tree: Any, change: Change, mark: str) -> None:
    *way, last = change.path
    above: list[tuple[Any, Any]] = []
    for step in way:
        above.append((tree, step))
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return  # an earlier change took it away
    try:
        if change.fragment is None:
            tree.pop(last) if isinstance(tree, dict) else tree.__delitem__(last)
        elif change.twice and isinstance(tree, dict) and isinstance(last, str) and above:
            holder, step = above[-1]
            holder[step] = _Twice(tree, last, mark)
        else:
            tree[last] = mark
    except (KeyError, IndexError, TypeError, AttributeError):
        return


def _envelope(headers: dict[str, Any], body: Any, task_id: str, tag: str) -> dict[str, Any]:
    return {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": task_id,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": tag,
        },
    }


def protocol_2(task: str, args: list[Any], task_id: str, tag: str, **embed: Any) -> dict[str, Any]:
    links = {"callbacks": None, "errbacks": None, "chain": None, "chord": None, **embed}
    headers = {
        "lang": "py",
        "task": task,
        "id": task_id,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": task_id,
        "parent_id": None,
        "argsrepr": "()",
        "kwargsrepr": "{}",
        "origin": "fuzz",
        "ignore_result": False,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
        "x_correlation_id": "c",
        "published_at": 1.0,
    }
    return _envelope(headers, [args, {}, links], task_id, tag)


def protocol_1(task: str, args: list[Any], task_id: str, tag: str) -> dict[str, Any]:
    body = {
        "task": task,
        "id": task_id,
        "args": args,
        "kwargs": {},
        "group": None,
        "retries": 0,
        "eta": None,
        "expires": None,
        "utc": True,
        "callbacks": None,
        "errbacks": None,
        "timelimit": [None, None],
        "taskset": None,
        "chord": None,
    }
    return _envelope({}, body, task_id, tag)


def upper(task_id: str) -> dict[str, Any]:
    return {"source_service": "test", "task_id": task_id, "text": "a"}


def plan(task_id: str, **more: Any) -> dict[str, Any]:
    return {"source_service": "test", "task_id": task_id, **more}


LINK = json.loads(_signature({}))
KINDS_OF_MESSAGES: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "contract": lambda id_, tag: protocol_2("test.upper", [upper(id_)], id_, tag),
    "contract that is retried": lambda id_, tag: protocol_2(
        "test.misbehave", [plan(id_, how="transient", failures=1)], id_, tag
    ),
    "contract that fails": lambda id_, tag: protocol_2(
        "test.misbehave", [plan(id_, how="permanent", failures=9)], id_, tag, errbacks=[LINK]
    ),
    "contract with links": lambda id_, tag: protocol_2(
        "test.upper", [upper(id_)], id_, tag, callbacks=[LINK], errbacks=[LINK], chain=[LINK]
    ),
    "plain": lambda id_, tag: protocol_2("test.plain", ["a"], id_, tag),
    "plain that fails": lambda id_, tag: protocol_2("test.plain", [], id_, tag, errbacks=[LINK]),
    "plain with links": lambda id_, tag: protocol_2(
        "test.plain", ["a"], id_, tag, callbacks=[LINK], errbacks=[LINK], chain=[LINK]
    ),
    "on Celery's own way": lambda id_, tag: protocol_2("test.celerys", ["a"], id_, tag),
    "on Celery's own way, with links": lambda id_, tag: protocol_2(
        "test.celerys", ["a"], id_, tag, callbacks=[LINK], errbacks=[LINK], chain=[LINK]
    ),
    "on Celery's own way, that fails": lambda id_, tag: protocol_2("test.celerys", [], id_, tag, errbacks=[LINK]),
    "protocol 1": lambda id_, tag: protocol_1("test.plain", ["a"], id_, tag),
    "contract in protocol 1": lambda id_, tag: protocol_1("test.upper", [upper(id_)], id_, tag),
}
HEADERS = ["compression", "redelivered", "due_at", "fingerprint", "replays", "bench_run", "_starts", "callbacks"]
HEADERS += ["chord", "chain", "errbacks", "is_eager", "called_directly", "get", "update", "clear", "children", "utc"]
HEADERS += ["_children", "as_execution_options", "args", "kwargs", "hostname", "task_id", "delivery_info", "headers"]
HEADERS += ["properties", "_protected", "taskset", "soft_time_limit", "time_limit", "__dict__", "__class__", "abc", ""]
TYPICAL: dict[str | int, list[str]] = {
    "eta": ["null", *map(json.dumps, DATES)],
    "expires": ["null", *map(json.dumps, DATES)],
    "timelimit": ["null", "[]", "[null]", *(f"[{one}, {one}]" for one in NUMBERS), "[1, null]", "[null, 1]"],
    "retries": NUMBERS,
    "priority": ["null", *NUMBERS],
    "group_index": ["null", *NUMBERS],
    "replaced_task_nesting": ["null", *NUMBERS],
    "ignore_result": ["true", "null"],
    "compression": ["null", '""', *map(json.dumps, ["zlib", "gzip", "bzip2", "lzma", "application/x-gzip", "none"])],
    "stamps": ["null", "{}", '{"a": 1}', '{"a": [[]]}', '{"id": "x", "get": null}'],
    "stamped_headers": ["null", "[]", '["a"]', '["a", "a"]', '["id", "get"]'],
    "task": [
        json.dumps(name) for name in ["test.plain", "test.upper", "no.such", "celery.chord", "celery.backend_cleanup"]
    ],
    "content-encoding": [
        "null",
        *map(json.dumps, ["binary", "ascii", "UTF-8", "utf-16", "latin-1", "rot13", "zlib_codec"]),
    ],
}
LINKS: list[Path] = [("body", 2, name) for name in ("callbacks", "errbacks", "chain", "chord")]
LINKS += [("body", 2, name, 0) for name in ("callbacks", "errbacks", "chain")]
LINKS += [("body", name) for name in ("callbacks", "errbacks", "chord")]


def paths(tree: Any, path: Path = ()) -> Iterator[Path]:
    """Every place of it."""
    if path:
        yield path
    for step, inner in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from paths(inner, (*path, step))


def _fitting(path: Path, value: Any) -> st.SearchStrategy[str]:
    """What might stand there, by its name and its type: it goes further than what is refused at once."""
    name = path[-1]
    if name in TYPICAL:
        return st.sampled_from(TYPICAL[name])
    if name in ("callbacks", "errbacks", "chain", "chord") or "callbacks" in path or "errbacks" in path:
        return SIGNATURES
    if isinstance(value, str):
        return st.sampled_from([json.dumps(text) for text in TEXTS])
    if isinstance(value, int):
        return st.sampled_from(["true", "false", *NUMBERS])
    return FRAGMENTS


def _changes(kind: str) -> st.SearchStrategy[Spoiled]:
    tree = KINDS_OF_MESSAGES[kind]("id", "tag")
    places = [(path, _at(tree, path)) for path in paths(tree)]
    anywhere = st.sampled_from([path for path, _ in places])
    more = st.sampled_from([("headers", name) for name in HEADERS])
    fitting = st.one_of(
        st.one_of(
            [st.builds(Change, st.just(path), _fitting(path, value)) for path, value in places if path[-1] in TYPICAL]
        ),
        st.one_of([st.builds(Change, st.just(path), _fitting(path, value)) for path, value in places]),
    )
    one = st.one_of(
        fitting,
        st.builds(Change, st.sampled_from(LINKS), SIGNATURES),
        st.builds(Change, more, FRAGMENTS),
        st.builds(Change, anywhere, FRAGMENTS),
        st.builds(Change, anywhere, FRAGMENTS, twice=st.just(True)),
        st.builds(Change, anywhere, st.none()),
    )
    return st.builds(Spoiled, st.just(kind), st.lists(one, min_size=1, max_size=2).map(tuple))


def _at(tree: Any, path: Path) -> Any:
    for step in path:
        tree = tree[step]
    return tree


SPOILED = st.one_of([_changes(kind) for kind in KINDS_OF_MESSAGES])
