"""Reads an entry of the stream `celery-life`: the records of all its messages. `pack.py` says what an entry holds."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from celeriac.broker.lists import NAMES, queue_of
from celeriac.life.pack import AHEAD, REQUEUED, UNKNOWN, Outcomes, Progress, Publishes, Replay, Start
from celeriac.life.record import Kind, Record

T = TypeVar("T")
SENT_BEFORE = "sent before"
"""Why an outcome is refused that was sent again after a lost answer: mostly, because the first one was committed."""


def records(entry_id: bytes | str, fields: Mapping[bytes, bytes]) -> list[Record]:
    """The records of an entry, in the order in which they happened. What cannot be read (of a newer version) gives
    none."""
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    at = int(text.partition("-")[0]) / 1000
    for name, data in fields.items():
        if read := _READERS.get(name):
            try:
                return list(read(at, data, fields))
            except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, LookupError, TypeError):
                return []
        break
    return []


def _publishes(at: float, data: bytes, fields: Mapping[bytes, bytes]) -> Iterator[Record]:
    found = _read(data, Publishes)
    new = _read(fields[b"n"], list[int]) if b"n" in fields else range(1, len(found.ids) + 1)
    due = found.due_us / 1e6
    for number in (one - 1 for one in new):
        more = found.more.get(number, {})
        task_id = found.ids[number]
        yield Record(
            at,
            Kind.PUBLISHED,
            task_id,
            found.tags[number],
            _at(found.tasks, number),
            who=found.who,
            correlation_id=_at(found.correlations, number),
            due_at=due if due > at else None,
            since=at - found.age_us / 1e6 if found.age_us else None,
            via=found.via,
            **_placed(found.list_key),
            **_lineage({"root": found.root or task_id, "parent": found.parent} | more),
        )


def _outcomes(at: float, data: bytes, fields: Mapping[bytes, bytes]) -> Iterator[Record]:
    found = _read(data, Outcomes)
    refused, repeated, left = (
        set(fields.get(name, b"").decode(errors="replace").split("\n")[:-1]) for name in (b"x", b"d", b"l")
    )
    for number, (tag, task_id) in enumerate(zip(found.tags, found.ids, strict=True)):
        more = found.more.get(number, {})
        since, until = found.since[number], found.until[number]
        task = _at(found.tasks, number)
        sent = more.get("sent", [])
        if tag in refused:
            kind: Kind | None = Kind.REFUSED
            sent = []
        elif tag in repeated:
            kind = Kind.REPEATED
            sent = sent[more["apart"] :] if "apart" in more else []
        elif tag in left:
            kind, sent = None, []
        else:
            kind = _kind(more)
        reason = more.get("reason", "")
        if kind is not None:
            yield Record(
                at,
                kind,
                task_id,
                more.get("tag", tag),
                task,
                queue=more.get("queue", ""),
                who=found.who,
                correlation_id=more.get("correlation", ""),
                due_at=next((at + one[4] / 1e6 for one in sent if one[0] == task_id), None)
                if kind is Kind.RETRIED
                else None,
                since=at - (found.now - since) if since else None,
                seconds=max(0.0, until - since) if since and until else None,
                state=_state(more),
                error=more.get("error", ""),
                reason=SENT_BEFORE if kind is Kind.REFUSED and found.again else reason,
                **_lineage(more),
            )
        for one in sent:
            yield _sent(at, one, task_id, more, found.who)


def _sent(at: float, sent: list[Any], by: str, of: Mapping[str, Any], who: str) -> Record:
    """A message that an outcome has published."""
    task_id, tag, task, list_key, wait_us, more = sent
    itself = task_id == by  # a retry
    above = of if itself else {"root": of.get("root") or by, "parent": by, "correlation": of.get("correlation", "")}
    facts = {**above, "attempt": 0, **more}
    return Record(
        at,
        Kind.PUBLISHED,
        task_id,
        tag,
        task,
        who=who,
        correlation_id=facts.get("correlation", ""),
        due_at=at + wait_us / 1e6 if wait_us > 0 else None,
        **_placed(list_key),
        **_lineage(facts),
    )


def _kind(more: Mapping[str, Any]) -> Kind | None:
    state = more.get("state", "")
    if state == AHEAD:
        return None
    if state == REQUEUED:
        return Kind.RETURNED
    if state == "RETRY":
        return Kind.RETRIED
    if more.get("dead"):
        return Kind.DEAD
    return Kind.FAILED if state == "FAILURE" else Kind.COMMITTED


def _state(more: Mapping[str, Any]) -> str:
    state = str(more.get("state", "SUCCESS"))
    return "" if state in (UNKNOWN, REQUEUED) else state


def _claim(at: float, data: bytes, fields: Mapping[bytes, bytes]) -> Iterator[Record]:
    who = data.decode()
    for list_key, tag in _grouped(fields, b"l"):
        yield Record(at, Kind.CLAIMED, tag=tag, who=who, **_placed(list_key))
    words = iter(_tags(fields.get(b"d", b"")))
    for list_key, reason, error, task_id in zip(words, words, words, words, strict=True):
        yield Record(at, Kind.DEAD, task_id, who=who, state="FAILURE", error=error, reason=reason, **_placed(list_key))


def _back(at: float, data: bytes, fields: Mapping[bytes, bytes]) -> Iterator[Record]:
    for reason, tag in _grouped(fields, b"r"):
        yield Record(at, Kind.RETURNED, tag=tag, who=data.decode(), reason=reason)


def _start(at: float, data: bytes, _: Mapping[bytes, bytes]) -> Iterator[Record]:
    found = _read(data, Start)
    note = f"start {found.starts}" if found.starts else ""
    yield Record(
        at,
        Kind.STARTED,
        found.id,
        found.tag,
        found.task,
        who=found.who,
        attempt=found.attempt,
        since=at - found.age_us / 1e6,
        note=note,
    )


def _progress(at: float, data: bytes, _: Mapping[bytes, bytes]) -> Iterator[Record]:
    found = _read(data, Progress)
    yield Record(
        at,
        Kind.PROGRESS,
        found.id,
        found.tag,
        found.task,
        who=found.who,
        progress=found.fraction,
        note=found.note,
    )


def _replay(at: float, data: bytes, _: Mapping[bytes, bytes]) -> Iterator[Record]:
    found = _read(data, Replay)
    yield Record(
        at,
        Kind.REPLAYED,
        found.id,
        found.tag,
        found.task,
        who=found.who,
        correlation_id=found.correlation,
        reason=f"dead letter {found.letter}",
        **_placed(found.list_key),
        **_lineage({"root": found.root or found.id, "parent": found.parent, "traceparent": found.traceparent}),
    )


def _removal(at: float, data: bytes, fields: Mapping[bytes, bytes]) -> Iterator[Record]:
    who, list_key = data.decode(), fields[b"l"].decode()
    if b"t" not in fields:
        yield Record(at, Kind.DROPPED, who=who, reason="purged", note=fields[b"m"].decode(), **_placed(list_key))
        return
    words = iter(_tags(fields[b"t"]))
    for task_id, tag in zip(words, words, strict=True):
        yield Record(at, Kind.DROPPED, task_id, tag, who=who, reason="its dead letter was dropped", queue=list_key)


_READERS = {
    b"p": _publishes,
    b"o": _outcomes,
    b"c": _claim,
    b"b": _back,
    b"s": _start,
    b"g": _progress,
    b"y": _replay,
    b"v": _removal,
}


def _read(data: bytes, kind: type[T]) -> T:
    return msgspec.msgpack.decode(data, type=kind)


def _at(values: list[str], number: int) -> str:
    return values[0] if len(values) == 1 else values[number] if values else ""


def _tags(joined: bytes) -> list[str]:
    return joined.decode(errors="replace").split("\n") if joined else []


def _grouped(fields: Mapping[bytes, bytes], name: bytes) -> Iterator[tuple[str, str]]:
    if name not in fields:
        return
    for group, tags in zip(fields[name].decode().split("\n"), fields[b"t"].split(b"\n\n"), strict=True):
        for tag in _tags(tags):
            yield group, tag


def _placed(list_key: str) -> dict[str, Any]:
    queue = queue_of(list_key)
    step = list_key.removeprefix(queue).removeprefix(NAMES.separator)
    return {"queue": queue, "priority": int(step) if step.isdecimal() else 0}


def _lineage(more: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "root_id": more.get("root") or "",
        "parent_id": more.get("parent") or "",
        "traceparent": more.get("traceparent") or "",
        "attempt": more.get("attempt") or 0,
        "group_id": more.get("group") or "",
        "chord": more.get("chord") or "",
    }
