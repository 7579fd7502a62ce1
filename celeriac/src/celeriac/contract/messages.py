"""Makes the message of a contract's payload: the same as Celery's, in less time."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import MappingProxyType
from typing import Any

from celery import Celery, signals
from celery._state import get_current_task

from celeriac import correlation, ids
from celeriac.broker.lists import list_of
from celeriac.contract.spec import Spec
from celeriac.message.fingerprint import fingerprint
from celeriac.message.frame import CELERYS, Mould, body_of, dumps, text_of
from celeriac.payloads import TaskPayload
from celeriac.publish.announcement import listening, shown
from celeriac.publish.outgoing import Outgoing
from celeriac.publish.outgoing import marker as pending_entry
from celeriac.publish.sending import LOOKING, begin
from celeriac.trace_context import TRACEPARENT, Trace

FINGERPRINT = "fingerprint"  # header; it differs for other work with the same id
REPEATED_FOR_SECONDS = 60  # without a record, an id is remembered for as long as its publisher may repeat the call
# Our headers: they replace given ones.
STAMPED = {FINGERPRINT, correlation.HEADER, correlation.PUBLISHED_AT, *correlation.TRACED}
NONE: Mapping[str, Any] = MappingProxyType({})
# The tasks of each thread; empty in a process that runs none. There, to ask Celery for the current task takes long: it
# raises two errors to find none.
_local: Any = getattr(import_module("celery._state")._task_stack, "_local", None)  # noqa: SLF001  the only place
STACKS: Any = getattr(_local, "__storage__", True)  # True: Celery keeps them elsewhere
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# The options that are known here. Celery makes messages with others: links, chains, groups, serializers, connections, …
OPTIONS = frozenset(
    {"countdown", "eta", "expires", "headers", "ignore_result", "priority", "queue", "soft_time_limit", "task_id"}
    | {"time_limit"}
)


def _nobody_asks() -> int:
    """In place of Redis's clock, for messages without options: they have no due time."""
    raise AssertionError("there is no due time without options")


def usual(app: Celery, options: Mapping[str, Any]) -> bool:
    """Whether a message with these options is made here."""
    if _eager(app.conf) or signals.task_sent.receivers:
        return False
    return not options or (
        OPTIONS.issuperset(name for name, value in options.items() if value is not None)
        and isinstance(options.get("queue") or "", str)
        and CELERYS.isdisjoint(options.get("headers") or ())
    )


def _eager(conf: Any) -> bool:
    """`conf.task_always_eager`. Celery looks for all names of a setting in all its places, which takes as long as a
    tenth of a publish. So we look first whether anybody has set it."""
    maps = getattr(conf, "maps", ())  # Celery's defaults are the last; none before anybody has read a setting
    if len(maps) < 2 or conf.prefix:
        return bool(conf.task_always_eager)
    for one in maps[:-1]:
        if "task_always_eager" in one or "CELERY_ALWAYS_EAGER" in one:  # as it is called today, and in Celery 3
            return bool(conf.task_always_eager)
    return False


def named(spec: Spec[Any, Any], payload: Any, options: Mapping[str, Any]) -> str:
    """The task id: the payload's, where there is one."""
    given = options.get("task_id")
    if not isinstance(payload, TaskPayload):
        return str(given) if given else text_of(ids.uuid4())
    if given is not None and str(given) != str(payload.task_id):
        raise ValueError(f"the task_id of {spec.name} is the payload's: {payload.task_id}")
    return str(payload.task_id)


class Messages:
    """Makes messages of one contract with the same options, which are `usual`. `now_us`: Redis's clock. `kept`: they
    are for later calls, too, each with a correlation id of its own. Safe in every thread."""

    def __init__(
        self,
        spec: Spec[Any, Any],
        app: Celery,
        options: Mapping[str, Any] = NONE,
        now_us: Callable[[], int] = _nobody_asks,
        *,
        kept: bool = False,
    ) -> None:
        self.spec = spec
        self._app, self._options = app, options
        self._data = spec.payload_data
        self._queue = options.get("queue") or spec.queue
        given: Mapping[str, Any] = options.get("headers") or NONE
        self.parent = app.current_worker_task
        self._correlation_id = "" if kept else str(correlation.current() or given.get(correlation.HEADER) or "")
        self._given = None if kept else Trace.of(given)
        self._trace = None if kept else self._given or correlation.trace()
        self._shown = listening()
        self._due_us, self._life_ms = 0, 1000 * (spec.record_seconds or REPEATED_FOR_SECONDS)
        ignored = options.get("ignore_result")
        self._ignored = spec.ignore_result if ignored is None else bool(ignored)
        parts: dict[str, Any] = {"ignore_result": self._ignored}
        if options:
            if due_us := _due_us(app, options, now_us):
                self._due_us = due_us
                self._life_ms += max(0, due_us - now_us()) // 1000
                parts["eta"] = (EPOCH + timedelta(microseconds=due_us)).isoformat()
            parts["expires"] = _expires(app, options.get("expires"))
            parts["priority"] = int(options.get("priority") or 0)
            parts["timelimit"] = options.get("time_limit"), options.get("soft_time_limit")
        if (parent := self.parent) is not None:
            parts["root_id"] = parent.request.root_id or parent.request.id
            parts["parent_id"] = parent.request.id
            if options.get("priority") is None and app.conf.task_inherit_parent_priority:
                parts["priority"] = int((parent.request.delivery_info or {}).get("priority") or 0)
        self._root, self._parent = parts.get("root_id") or "", parts.get("parent_id") or ""
        self._list = list_of(self._queue, parts.get("priority", 0))
        self._mould = Mould(
            spec.name,
            self._queue,
            headers={name: value for name, value in given.items() if name not in STAMPED},
            **parts,
        )

    def make(self, payload: Any, marker: bytes = b"") -> Outgoing:
        """`payload` is checked already."""
        name, queue = self.spec.name, self._queue
        task_id = named(self.spec, payload, self._options)
        if payload is None:
            body, mark = body_of(None), fingerprint(name, (), {})
        else:
            data = self._data(payload)
            body = body_of(dumps(data))
            if isinstance(data, dict):  # not that of a RootModel
                data.pop("timestamp", None)  # it does not count; without it, `fingerprint` need not make a copy
            mark = fingerprint(name, (data,), {})
        correlation_id, trace, list_key = self._correlation_id, self._trace, self._list
        here = correlation.bound()
        if here is not None and not correlation_id:
            correlation_id, trace = here.correlation_id, trace or here.trace
        correlation_id = correlation_id or correlation.new()
        traced: Mapping[str, str] | None = trace.headers if trace else None
        sending = None
        if LOOKING.begin is not None:
            sending = begin(name, queue, task_id, correlation_id, trace, given=self._given is not None)
            traced = sending.headers if sending else traced
        stamps = f', "{FINGERPRINT}": "{mark}"{correlation.stamped(correlation_id, traced)}'
        raw = self._mould.message(body, task_id, stamps)
        if self._shown:
            raw, priority, correlation_id = shown(self._app, name, queue, raw)
            list_key = list_of(queue, priority)
        # An app may want a result entry that says PENDING, in the same step (celeriac.http does).
        if not (marker or self._ignored) and getattr(self._app, "marks_pending", False):
            marker = pending_entry(task_id)
        return Outgoing(
            *(name, task_id, queue, list_key, mark, self._life_ms, raw, self._due_us, marker, correlation_id),
            *(None if here is None else here.request, self._root, self._parent, _facts(traced), sending),
        )


def _facts(traced: Mapping[str, str] | None) -> dict[str, Any] | None:
    """What the record of a publish says besides."""
    return {TRACEPARENT: traced[TRACEPARENT]} if traced and TRACEPARENT in traced else None


def messages(spec: Spec[Any, Any], app: Celery, options: Mapping[str, Any], now_us: Callable[[], int]) -> Messages:
    """Those without options are made once, for threads that run no task: to make them takes as long as their work."""
    if options or (STACKS and get_current_task()) or listening():
        return Messages(spec, app, options, now_us)
    try:
        kept: dict[str, Messages] = app.kept_messages  # type: ignore[attr-defined]  # ours
    except AttributeError:
        kept = app.kept_messages = {}  # type: ignore[attr-defined]  # ours
    found = kept.get(spec.name)
    if found is None or found.spec is not spec:
        found = kept[spec.name] = Messages(spec, app, kept=True)
    return found


def _due_us(app: Celery, options: Mapping[str, Any], now_us: Callable[[], int]) -> int:
    if countdown := options.get("countdown"):
        return now_us() + int(countdown * 1_000_000)
    eta = options.get("eta")
    if not eta:
        return 0
    return (_aware(app, eta) - EPOCH) // timedelta(microseconds=1)


def _expires(app: Celery, expires: Any) -> str | None:
    if expires is None:
        return None
    if isinstance(expires, int | float):
        return (datetime.now(UTC) + timedelta(seconds=expires)).isoformat()
    return _aware(app, expires).isoformat()


def _aware(app: Celery, moment: datetime | str) -> datetime:
    moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return moment.replace(tzinfo=app.timezone) if moment.tzinfo is None else moment
