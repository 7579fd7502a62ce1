"""Makes a trace of records. Pure: records in, spans out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from celeriac.life.record import Kind, Record
from devctl.trace.model import BAD, GOES_ON, Attempt, Span, State, Trace

_ENDS: dict[str, State] = {
    "SUCCESS": "succeeded",
    "FAILURE": "failed",
    "REVOKED": "revoked",
    "IGNORED": "ignored",
    "REJECTED": "rejected",
}


def build(records: Iterable[Record], asked: str, now: float) -> Trace:
    """The tree of all tasks that these records, in the order of the stream, are about."""
    ordered = sorted(records, key=lambda one: one.at)
    tasks = _by_task(ordered)
    spans = {task_id: task.span() for task_id, task in tasks.items()}
    roots = _tree(tasks, spans)
    correlation_id = next((one.correlation_id for one in ordered if one.correlation_id), "")
    return Trace(asked, correlation_id, roots, now, _gaps(tasks.values()))


@dataclass
class _Message:
    """An attempt on its way."""

    at: Attempt
    open: bool = True


@dataclass
class _Task:
    """What is known of one task, taken together record by record."""

    task_id: str
    name: str = ""
    queue: str = ""
    root_id: str = ""
    parent_id: str = ""
    group_id: str = ""
    chord: str = ""
    via: tuple[str, str, float] | None = None
    """Service, method with path, begin of the request that published it."""
    publisher: str = ""
    published: float | None = None
    messages: list[_Message] = field(default_factory=list)

    def add(self, record: Record) -> None:
        self.name = self.name or record.task
        self.queue = record.queue or self.queue
        self.root_id = self.root_id or record.root_id
        if record.parent_id != self.task_id:  # Celery's of a retry
            self.parent_id = self.parent_id or record.parent_id
        self.group_id = self.group_id or record.group_id
        self.chord = self.chord or record.chord
        _STEPS[record.kind](self, record)

    def published_by(self, record: Record) -> None:
        last = self.messages[-1] if self.messages else None
        if last is not None and last.open and not last.at.tag and last.at.queued == record.at:  # the message of a retry
            due = record.due_at if record.due_at is not None else last.at.due
            last.at = replace(last.at, tag=record.tag, due=due)
            return
        if self.published is None:
            self.published, self.publisher = record.at, record.who
            if record.via:
                self.via = (record.who, record.via, record.since if record.since is not None else record.at)
        self._queue(record)

    def replayed(self, record: Record) -> None:
        self._queue(record, replay=True)

    def claimed(self, record: Record) -> None:
        message = self._message(record)
        if message.at.claimed is not None:  # and nobody wrote that it came back
            message.open = False
            message = self._queue(record, at=None)
        self._set(message, state="claimed", claimed=record.at, worker=record.who)

    def started(self, record: Record) -> None:
        began = record.since if record.since is not None else record.at
        self._set(self._message(record), state="running", began=began, worker=record.who)

    def progress(self, record: Record) -> None:
        message = self._message(record)
        began = message.at.began if message.at.began is not None else record.since
        self._set(message, state="running", began=began, progress=record.progress, note=record.note, worker=record.who)

    def retried(self, record: Record) -> None:
        self._end(record, "retried")
        self._queue(record.but(tag=""))

    def returned(self, record: Record) -> None:
        self._end(record, "returned")
        self._queue(record)

    def committed(self, record: Record) -> None:
        self._end(record, _ENDS.get(record.state, "succeeded"))

    def failed(self, record: Record) -> None:
        self._end(record, "failed")

    def dead(self, record: Record) -> None:
        self._end(record, "dead")

    def dropped(self, record: Record) -> None:
        if self.messages and (last := self.messages[-1]).at.state == "dead":
            last.at = replace(last.at, reason=_joined(last.at.reason, "dropped"))
        else:
            self._end(record, "dropped")

    def refused(self, record: Record) -> None:
        """The message had gone to another worker: what this one did is an attempt of its own."""
        for message in self.messages:
            one = message.at
            if one.worker == record.who and one.state == "returned" and (not record.tag or one.tag == record.tag):
                message.at = self._outcome(one, record, "refused")
                return
        self.messages.insert(
            max(0, len(self.messages) - 1), _Message(self._outcome(Attempt("refused"), record, "refused"), False)
        )

    def repeated(self, record: Record) -> None:
        self._end(record, "repeated")

    def _queue(self, record: Record, *, replay: bool = False, at: float | None = -1.0) -> _Message:
        queued = record.at if at == -1.0 else at
        later = record.due_at is not None and record.due_at > record.at
        message = _Message(Attempt("due" if later else "waiting", record.tag, queued, record.due_at, replay=replay))
        self.messages.append(message)
        return message

    def _message(self, record: Record) -> _Message:
        """The open attempt with this tag; else the last open one whose tag is not recorded; else a new one."""
        for message in reversed(self.messages):
            if message.open and message.at.tag == record.tag != "":
                return message
        for message in reversed(self.messages):
            if message.open and "" in (message.at.tag, record.tag):
                message.at = replace(message.at, tag=message.at.tag or record.tag)
                return message
        return self._queue(record.but(due_at=None), at=None)

    def _end(self, record: Record, state: State) -> None:
        message = self._message(record)
        message.at = self._outcome(message.at, record, state)
        message.open = False

    @staticmethod
    def _outcome(at: Attempt, record: Record, state: State) -> Attempt:
        began = at.began if record.since is None else record.since
        if began is not None and at.claimed is not None:
            began = max(began, at.claimed)
        ended = at.ended
        if record.since is not None and record.seconds is not None:
            ended = min(record.at, max(began or 0.0, record.since + record.seconds))
        return replace(
            at,
            state=state,
            began=None if began is None else min(began, record.at),
            ended=ended,
            settled=record.at,
            worker=record.who if state != "returned" and record.who else at.worker,
            error=record.error,
            reason=record.reason,
        )

    @staticmethod
    def _set(message: _Message, **fields: object) -> None:
        message.at = replace(message.at, **fields)  # type: ignore[arg-type]  # the fields of an Attempt

    def span(self) -> Span:
        attempts = tuple(message.at for message in self.messages)
        last = next((one for one in reversed(attempts) if one.state not in ("repeated", "refused")), attempts[-1])
        begins = [one.begin for one in attempts if one.begin is not None]
        return Span(
            "task",
            self.name or "a task",
            last.worker,
            self.task_id,
            self.queue,
            min(begins, default=None),
            None if last.state in GOES_ON else last.settled,
            last.state,
            last.error,
            last.reason,
            attempts,
            group_id=self.group_id,
            chord=self.chord,
            publisher=self.publisher,
        )

    @property
    def gap(self) -> str:
        """What of its way is not recorded."""
        if self.published is None:
            return "not recorded who published it, and when: a stock client, or a process that writes no records"
        ran_unclaimed = any(one.at.began is not None and one.at.claimed is None for one in self.messages)
        return "not recorded who claimed it, and when" if ran_unclaimed else ""


_STEPS = {
    Kind.PUBLISHED: _Task.published_by,
    Kind.CLAIMED: _Task.claimed,
    Kind.STARTED: _Task.started,
    Kind.PROGRESS: _Task.progress,
    Kind.RETRIED: _Task.retried,
    Kind.COMMITTED: _Task.committed,
    Kind.FAILED: _Task.failed,
    Kind.DEAD: _Task.dead,
    Kind.RETURNED: _Task.returned,
    Kind.REFUSED: _Task.refused,
    Kind.REPEATED: _Task.repeated,
    Kind.REPLAYED: _Task.replayed,
    Kind.DROPPED: _Task.dropped,
}


def _by_task(records: Sequence[Record]) -> dict[str, _Task]:
    """All tasks, in the order in which they came. What knows only its tag belongs to the task that has this tag."""
    owners = {one.tag: one.task_id for one in records if one.tag and one.task_id}
    tasks: dict[str, _Task] = {}
    for record in records:
        task_id = record.task_id or owners.get(record.tag, "")
        if task_id:
            tasks.setdefault(task_id, _Task(task_id)).add(record)
    return tasks


def _gaps(tasks: Iterable[_Task]) -> tuple[str, ...]:
    """Each kind once, with the first task that has it."""
    found: dict[str, list[str]] = {}
    for task in tasks:
        if task.gap:
            found.setdefault(task.gap, []).append(f"{task.name.rpartition('.')[2] or 'a task'} {task.task_id[:8]}")
    return tuple(
        f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {gap}" for gap, names in found.items()
    )


def _tree(tasks: dict[str, _Task], spans: dict[str, Span]) -> tuple[Span, ...]:
    """Requests and tasks that nothing here has caused, with all below them."""
    headers = {task.chord: task_id for task_id, task in tasks.items() if task.chord in tasks}
    for task_id, task in tasks.items():  # Celery gives the body the group of its header, whose last task is its parent
        parent = tasks.get(task.parent_id)
        if parent is not None and task.group_id and task.group_id == parent.group_id:
            headers.setdefault(task_id, task.parent_id)
            parent.chord = task_id
    parents = {task_id: task.parent_id for task_id, task in tasks.items() if task.parent_id in tasks}
    # The body of a chord stands beside its header, though the last task of the header has published it.
    parents |= {body: parents.get(header, "") for body, header in headers.items()}
    below: dict[str, list[str]] = {}
    for task_id in tasks:
        if _rooted(parents, task_id):
            below.setdefault(parents.get(task_id, ""), []).append(task_id)
        else:  # ids that any client may send: a circle
            below.setdefault("", []).append(task_id)
            parents[task_id] = ""
    for task_id, span in spans.items():
        spans[task_id] = replace(span, chord=tasks[task_id].chord)
    grown: dict[str, Span] = {}
    for task_id in reversed(_downwards(below)):
        children = [grown[one] for one in below.get(task_id, ())]
        grown[task_id] = replace(spans[task_id], children=_grouped(children))
    requests: dict[tuple[str, str, float] | None, list[Span]] = {}
    for task_id in below.get("", ()):
        requests.setdefault(tasks[task_id].via, []).append(grown[task_id])
    roots: list[Span] = []
    for via, children in requests.items():
        if via is None:
            roots += _grouped(children)
        else:
            service, name, begin = via
            end = max([begin, *(tasks[one.task_id].published or begin for one in children)])
            roots.append(Span("request", name, service, "", "", begin, end, "succeeded", children=_grouped(children)))
    return tuple(sorted(roots, key=_by_time))


def _rooted(parents: dict[str, str], task_id: str) -> bool:
    """Whether the way up ends."""
    seen = {task_id}
    while task_id := parents.get(task_id, ""):
        if task_id in seen:
            return False
        seen.add(task_id)
    return True


def _downwards(below: dict[str, list[str]]) -> list[str]:
    """All tasks, each behind the one above it."""
    found, ahead = list[str](), [*below.get("", ())]
    while ahead:
        task_id = ahead.pop()
        found.append(task_id)
        ahead += below.get(task_id, ())
    return found


def _grouped(children: Sequence[Span]) -> tuple[Span, ...]:
    """By time; the parts of a group, and the body of its chord, under a span of their own."""
    groups: dict[str, list[Span]] = {}
    for one in children:
        if one.group_id:
            groups.setdefault(one.group_id, []).append(one)
    made, inside = list[Span](), set[str]()
    for group_id, members in groups.items():
        chord = next((one.chord for one in members if one.chord), "")
        bodies = [one for one in children if chord and one.task_id == chord]
        parts = [one for one in members if one not in bodies]
        if len(parts) < 2 and not chord:
            continue
        inside.update(one.task_id for one in [*parts, *bodies])
        made.append(_group(group_id, chord, parts, bodies))
    return tuple(sorted([*made, *(one for one in children if one.task_id not in inside)], key=_by_time))


def _group(group_id: str, chord: str, parts: list[Span], bodies: list[Span]) -> Span:
    members = [*sorted(parts, key=_by_time), *bodies]
    states = [one.state for one in members]
    going = any(one in GOES_ON for one in states)
    bad = next((one for one in states if one in BAD), None)
    ends = [one.end for one in members if one.end is not None]
    return Span(
        "chord" if chord else "group",
        f"{len(parts)} parts" if len(parts) > 1 else "1 part",
        begin=min((one.begin for one in members if one.begin is not None), default=None),
        end=None if going else max(ends, default=None),
        state=bad or ("running" if going else "succeeded"),
        children=tuple(members),
        group_id=group_id,
        chord=chord,
    )


def _by_time(span: Span) -> float:
    return span.begin if span.begin is not None else float("inf")


def _joined(*words: str) -> str:
    return ", ".join(word for word in words if word)
