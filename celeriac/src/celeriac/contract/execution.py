"""One run of a contract's task: validate the payload, run the body, put its outcome into the commit."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, UUID, uuid5

import pydantic
from celery.exceptions import Reject, Retry, SoftTimeLimitExceeded, TaskPredicate

from celeriac import correlation
from celeriac.broker import keys
from celeriac.broker.lists import list_of
from celeriac.contract import eager
from celeriac.contract.outcome import Child, Outcome
from celeriac.contract.spec import Spec, describe
from celeriac.dead_letter.description import about
from celeriac.errors import PermanentError, TaskError, TransientError, ValidationError, WrongPayload
from celeriac.events import emit, heard, own_events, transition
from celeriac.life.pack import error_text
from celeriac.message.fingerprint import fingerprint
from celeriac.message.frame import body_of, frame, further, lineage, plain_mould, text_of
from celeriac.observer import Watch, watch_of
from celeriac.outcome.commit import OPEN, Commit, Verdict
from celeriac.outcome.unclaimed import commit_unclaimed
from celeriac.publish.announcement import after, listening, shown
from celeriac.publish.sending import LOOKING, begin
from celeriac.redaction import redact
from celeriac.retry.policy import Again, Dead, Kind, RetryPolicy, classify
from celeriac.soft_limit import limited
from celeriac.trace_context import TRACEPARENT, Trace

if TYPE_CHECKING:
    from celery import Celery

LONGEST_WAIT_SECONDS = 5.0  # between two attempts to publish a retry
NO_LIMIT = 1_000_000  # of Celery's own: how often a task is retried is decided here
LONGEST_TEXT = 8_000  # of an error: it is stored with the result and logged

FINGERPRINT, REPLAYS = "fingerprint", "replays"  # headers of ours, beside those of correlation
DUE_AT = "due_at"  # the eta of a message that has waited in Redis
KEPT_HEADERS = (correlation.HEADER, correlation.PUBLISHED_AT, FINGERPRINT, REPLAYS)

Body = Callable[[Any, Outcome], Any]  # gets the checked payload, and what it fills: its outcome
EMPTY = Outcome(UUID(int=0))  # of all bodies that take none


def checked(contract: Spec[Any, Any], raw: Any, task_id: str) -> Any:
    """The payload of a message with this id. Raises WrongPayload."""
    try:
        return contract.validate_payload(_named(contract, raw, task_id))
    except pydantic.ValidationError as exc:
        raise WrongPayload(f"{contract.name} was sent a wrong payload: {describe(exc)}") from None


def perform(
    contract: Spec[Any, Any], body: Body, payload: Any, task_id: str, commit: Commit | None = None
) -> tuple[Any, Outcome]:
    """Run the body. Returns its validated result and its outcome. This function knows nothing of Celery."""
    if getattr(body, "takes_outcome", True):
        outcome = Outcome(payload.task_id if contract.has_task_id else _uuid(task_id))
        outcome.part_of = commit
    else:
        outcome = EMPTY
    result = body(payload, outcome)
    try:
        return contract.validate_result(result), outcome
    except pydantic.ValidationError as exc:
        raise ValidationError(f"{contract.name} returned a wrong result: {describe(exc)}") from None


def _uuid(task_id: str) -> UUID:
    """The id as a UUID. A stock client may use any text as an id: that gives the same UUID each time."""
    try:
        return UUID(task_id)
    except ValueError:
        return uuid5(NAMESPACE_OID, task_id)


def _named(contract: Spec[Any, Any], raw: Any, task_id: str) -> Any:
    """The payload with a task_id. A stock client may leave it out: then it is the message's id, the same in each
    retry."""
    if not isinstance(raw, dict) or not contract.has_task_id:
        return raw
    if "task_id" in raw or contract.payload.named_by in raw:
        return raw
    return {"task_id": task_id, **raw}


def portable(error: BaseException) -> Exception:
    """The same failure as an error that reaches the caller with its text. The JSON result backend keeps only an
    argument that is one string; and the caller may not know classes of the libraries that a worker uses."""
    text = redact(describe(error) if isinstance(error, pydantic.ValidationError) else str(error))[:LONGEST_TEXT]
    if isinstance(error, TaskError | TypeError) and (error.args == () or (len(error.args) == 1 and text)):
        return error if error.args == (text,) else type(error)(text)
    if isinstance(error, pydantic.ValidationError):
        return ValidationError(text)
    kind = TransientError if classify(error) is Kind.TRANSIENT else PermanentError
    return kind(f"{type(error).__name__}: {text}" if text else type(error).__name__)


class Work:
    """A contract's body as a Celery task runs it, by a runner and on Celery's own way."""

    def __init__(self, contract: Spec[Any, Any], body: Body, app: "Celery", retries: RetryPolicy) -> None:
        self.contract, self.body, self.app, self.retries = contract, body, app, retries
        self.task: Any = None
        seconds = contract.record_seconds
        self.recorded, self.record_ms = seconds is not None, int((seconds or 0) * 1000)

    def run_as_json(self, args: list[Any], kwargs: dict[str, Any], request: Any, commit: Commit) -> bytes:
        """Called by a runner. Returns the result as JSON; the rest of the outcome is in the commit. Raises Celery's
        Retry, or the error that the caller gets."""
        written: bytes = self._run(args, kwargs, request, commit, self.contract.result_json)
        return written

    def celery(self, task: Any, *args: Any, **kwargs: Any) -> Any:
        """Run on Celery's own way. Returns the result as JSON data. If no commit is open (another pool, another
        transport), record, effects and messages are one step; the result and the acknowledgement follow."""
        request = task.request
        # `apply()` in a body: the commit that is open there is the outer task's.
        commit = None if request.is_eager else OPEN.commit
        return self._run(list(args), kwargs, request, commit, self.contract.result_data)

    def _run(
        self, args: list[Any], kwargs: dict[str, Any], request: Any, opened: Commit | None, write: Callable[[Any], Any]
    ) -> Any:
        commit = opened or self._unclaimed(request)
        in_place = bool(request.is_eager and self.app.conf.task_always_eager)
        ends_a_child = opened is None and not request.is_eager
        self._record(request.id, commit)
        watch = watch_of(self.app, request)
        started = time.time()
        if watch is None and heard():
            waited = _waited_seconds(request, started)
            transition("task.started", queue_seconds=waited, retries=request.retries, **self._fields(request))
        try:
            raw = args[0] if len(args) == 1 and not kwargs else self._payload(args, kwargs)
            payload = checked(self.contract, raw, request.id)
            # Before the body runs: it may change the arguments.
            mark = self._fingerprint(raw, payload, args, kwargs, request)
            if self.contract.has_task_id:
                work_id = text_of(payload.task_id)
                self._record(work_id, commit)
                commit.apart = work_id != request.id
            result, outcome = limited(perform, self.contract, self.body, payload, request.id, commit)
            written = write(result)
            if in_place:
                eager.RUNNING.children += outcome.children
            else:
                self._put_together(outcome, mark, request, commit, watch)
            self._tell_done(request, commit, started, watch)
            if opened is None:
                self._commit(commit, in_place, request)
        except (Exception, SystemExit) as exc:
            # Retry, Ignore and Reject are not failures but commands to Celery; so is WorkerShutdown, a kind of
            # SystemExit. A plain SystemExit came from the body, and would end the worker.
            if isinstance(exc, TaskPredicate) or (isinstance(exc, SystemExit) and type(exc) is not SystemExit):
                raise
            if isinstance(exc, SystemExit) and ends_a_child and isinstance(exc.code, int) and exc.code < 0:
                raise  # the prefork pool ends its child this way
            ended = self._failed(exc, started, request, commit, opened, watch)
            if opened is None:
                self._leave(commit, in_place, args, kwargs, request)
            raise ended from None
        if watch is not None:
            watch.done(request.id, started, time.time(), request.hostname)
        return written

    def _unclaimed(self, request: Any) -> Commit:
        commit = Commit("", request.id, self.contract.name)
        commit.since = time.monotonic()
        tag = (request.get("properties") or {}).get("delivery_tag") or ""
        commit.note(tag=str(tag), attempt=request.retries or 0)
        return commit

    def _commit(self, commit: Commit, in_place: bool, request: Any) -> None:
        """A success where no commit is open."""
        if in_place or commit_unclaimed(self.app, commit, kept=not request.is_eager, who=str(request.hostname or "")):
            _tell(commit)
        else:
            transition("outcome.repeated", level=logging.WARNING, **self._fields(request))

    def _leave(self, commit: Commit, in_place: bool, args: list[Any], kwargs: dict[str, Any], request: Any) -> None:
        """A failure without an open commit: write its dead letter, and tell listeners."""
        if commit.dead_key and not in_place:
            raw = self._message(args, kwargs, request, request.retries)
            try:
                commit_unclaimed(self.app, commit, raw, kept=not request.is_eager, who=str(request.hostname or ""))
            except PermanentError as exc:  # Redis will never take it: the caller is told all the same
                emit("outcome.impossible", level=logging.ERROR, task_id=commit.task_id, error=str(exc))
        _tell(commit)

    def _tell_done(self, request: Any, commit: Commit, started: float, watch: Watch | None) -> None:
        if watch is not None or not heard():
            return
        fields, run_seconds = self._fields(request), round(time.time() - started, 6)
        commit.then(lambda: transition("task.succeeded", run_seconds=run_seconds, **fields))

    def _fields(self, request: Any) -> dict[str, Any]:
        """What a line in the log says about the message. Another task may run in this thread when the line is
        written."""
        correlation_id = request.get(correlation.HEADER) or request.root_id or request.id
        fields = {"task": self.contract.name, "task_id": request.id, "correlation_id": correlation_id}
        return fields | correlation.trace_id(request)

    def _payload(self, args: list[Any], kwargs: dict[str, Any]) -> Any:
        given = [*args, *kwargs.values()]
        if len(given) > 1 or (kwargs and "payload" not in kwargs):
            raise WrongPayload(
                f"{self.contract.name} was sent a wrong payload: it takes one argument, the payload, not {len(given)}"
                + (f" (named {', '.join(map(str, kwargs))})" if kwargs else "")
            )
        return given[0] if given else None

    def _record(self, work_id: str, commit: Commit) -> None:
        """Set the key of the record. A run that fails needs it, too: if the work was done before, its failure changes
        nothing."""
        if self.recorded:
            commit.record_key = keys.once(work_id)

    def _fingerprint(self, raw: Any, payload: Any, args: list[Any], kwargs: dict[str, Any], request: Any) -> str:
        """The fingerprint of the publisher. A message of a stock client has none: then it is computed here, with the id
        written in its usual form."""
        if not self.recorded:
            return ""
        known = getattr(request, FINGERPRINT, None)
        if isinstance(known, str):
            return known
        if not (self.contract.has_task_id and isinstance(raw, dict)):
            return fingerprint(self.contract.name, args, kwargs)
        work_id = str(payload.task_id)
        ids = {"task_id": work_id} | ({payload.named_by: work_id} if payload.named_by else {})
        return fingerprint(self.contract.name, [raw | ids], {})

    def _put_together(self, outcome: Outcome, mark: str, request: Any, commit: Commit, watch: Watch | None) -> None:
        if mark:
            commit.record = f"done:{mark}"
            commit.record_ms = self.record_ms
        if outcome.effects:
            commit.effects = [*commit.effects, *outcome.effects]
        if outcome.children:
            self._publish_all(outcome.children, request, commit, watch)
        commit.of_the_work = len(commit.children) // 2
        if commit.apart:
            commit.note(apart=len((commit.facts or {}).get("sent", ())))

    def _publish_all(self, children: list[Child], request: Any, commit: Commit, watch: Watch | None) -> None:
        correlation_id = str(request.get(correlation.HEADER) or request.root_id or request.id)
        trace = Trace.of(request)
        watched = "" if watch is None else further(watch.headers)
        carried: Mapping[str, str] = trace.headers if trace else {}
        stamps = correlation.stamped(correlation_id, carried) + watched
        above = lineage(request.root_id or request.id, request.id)
        shows, tells = listening(), watch is None and heard()
        further_facts = {"root": request.root_id} if request.root_id and request.root_id != request.id else {}
        for child in children:
            contract, task_id = child.contract, text_of(child.payload.task_id)
            name, ignored = contract.name, contract.ignore_result
            queue = contract.queue if watch is None else watch.queue(contract.queue)
            body = body_of(contract.payload_json(child.payload))
            if LOOKING.begin is not None and (sending := begin(name, queue, task_id, correlation_id, trace)):
                carried = sending.headers
                stamps = correlation.stamped(correlation_id, carried) + watched
                commit.then(sending.sent)
            raw = plain_mould(name, queue, ignore_result=ignored).message(body, task_id, stamps, above)
            list_key = queue
            if shows:
                raw, priority, _ = shown(self.app, name, queue, raw)
                list_key = list_of(queue, priority)
            facts = {**further_facts, TRACEPARENT: carried[TRACEPARENT]} if TRACEPARENT in carried else further_facts
            commit.add_child(list_key, raw, (task_id, raw[-39:-3].decode(), name, facts))
            if shows:
                after(name, queue, raw)
            if tells:
                _tell_published(commit, queue, name, task_id, correlation_id, trace)

    def _failed(
        self,
        error: BaseException,
        started: float,
        request: Any,
        commit: Commit,
        opened: Commit | None,
        watch: Watch | None,
    ) -> Exception:
        """Raises Celery's Retry; or puts a dead letter into the commit, and returns the error that the caller gets."""
        ended = portable(error)
        fields: dict[str, Any] = {
            **self._fields(request),
            "error_type": type(error).__name__,
            "error": str(ended),
            "run_seconds": round(time.time() - started, 6),
        }
        commit.note(error=error_text(error), state="FAILURE")
        decision: Again | Dead = self.retries.decide(error, request.retries)
        if request.is_eager and request.retries >= self.retries.limit and isinstance(decision, Again):
            decision = Dead("retries-exhausted")  # a breaker is open, and an eager task cannot wait until it closes
        if isinstance(decision, Again):
            fields |= {"delay_seconds": round(decision.delay_seconds, 3), "retries": request.retries}
            if opened is not None and _simple(request):
                self._come_back(decision, request, opened)
                commit.then(lambda: transition("task.retrying", level=logging.WARNING, **fields))
                when: Any = decision.delay_seconds
                raise Retry(exc=ended, when=when) from None
            commit.discard()
            commit.note(state="RETRY")
            if opened is not None:
                commit.then(lambda: transition("task.retrying", level=logging.WARNING, **fields))
            try:
                _retry(self.task, ended, decision)
            except Retry:
                if opened is None:  # it is published
                    transition("task.retrying", level=logging.WARNING, **fields)
                raise
            commit.discard()
            commit.note(state="FAILURE")
        shown = None if isinstance(error, TaskError) else error  # of other errors, the log shows the traceback
        dead = watch is None
        reason = decision.reason if not isinstance(decision, Again) else "retries-exhausted"
        if dead:
            name, text = type(error).__name__, str(ended)
            self._bury(reason, text if text.startswith(name) else f"{name}: {text}", request, commit)
        commit.then(lambda: transition("task.failed", level=logging.ERROR, exc_info=shown, **fields))
        if dead:
            died = {**self._fields(request), "queue": self._queue(request)}
            text = fields["error"][:500]
            commit.then(lambda: transition("task.dead", level=logging.ERROR, reason=reason, error=text, **died))
        return ended

    def _come_back(self, decision: Again, request: Any, commit: Commit) -> None:
        """Make a retry a part of the outcome: the same message again, due later by Redis's clock."""
        retries = request.retries + (1 if decision.counts else 0)
        due = datetime.fromtimestamp(time.time() + decision.delay_seconds, UTC).isoformat()
        raw = self._message(request.args, request.kwargs, request, retries, {DUE_AT: due})
        priority, name, queue = (
            (request.delivery_info or {}).get("priority") or 0,
            self.contract.name,
            self._queue(request),
        )
        if listening():  # as Celery's retry, which is a publish
            raw, priority, _ = shown(self.app, name, queue, raw)
        commit.discard()
        list_key, sent = list_of(queue, priority), (request.id, raw[-39:-3].decode(), name, {"attempt": retries})
        commit.add_due(list_key, raw, int(decision.delay_seconds * 1e6), sent)
        commit.note(state="RETRY")
        after(name, queue, raw)

    def _queue(self, request: Any) -> str:
        return str((request.delivery_info or {}).get("routing_key") or self.contract.queue)

    def _message(
        self,
        args: list[Any],
        kwargs: dict[str, Any],
        request: Any,
        retries: int,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> bytes:
        """The message, made again for a retry or a dead letter; `more`: headers."""
        kept = {name: request.get(name) for name in KEPT_HEADERS if request.get(name) is not None}
        hard, soft = request.timelimit or (None, None)
        return frame(
            self.contract.name,
            self._queue(request),
            args,
            kwargs=kwargs,
            task_id=request.id,
            root_id=request.root_id,
            parent_id=request.parent_id,
            headers={**kept, **(request.headers or {}), **more},
            ignore_result=bool(request.ignore_result),
            priority=(request.delivery_info or {}).get("priority") or 0,
            expires=request.expires,
            retries=retries,
            timelimit=(hard, soft),
            argsrepr=str(request.get("argsrepr") or "..."),
            kwargsrepr=str(request.get("kwargsrepr") or "{}"),
            reply_to=str(request.reply_to or ""),
        )

    def _bury(self, reason: str, error: str, request: Any, commit: Commit) -> None:
        queue = self._queue(request)
        told_of = {name: request.get(name) for name in ("task", "id", "retries", *KEPT_HEADERS)}
        worker, starts = str(request.hostname or ""), int(request.get("_starts") or 1)
        commit.discard()
        commit.bury(keys.dead(queue), about(reason, error, queue=queue, headers=told_of, starts=starts, worker=worker))
        commit.note(reason=reason)


def register(contract: Spec[Any, Any], body: Body, app: "Celery", retries: RetryPolicy | None = None) -> None:
    """Make a Celery task of it; `retries` in place of the contract's own."""
    own_events.add(contract.name)
    work = Work(contract, body, app, retries or contract.retries)

    def run(task: Any, *args: Any, **kwargs: Any) -> Any:
        return work.celery(task, *args, **kwargs)

    task: Any = app.task(
        name=contract.name,
        bind=True,
        shared=False,
        typing=False,
        ignore_result=contract.ignore_result,
        lazy=False,
        apply=eager.apply,
    )(run)
    work.task = task
    task.work, task.own_run = work.run_as_json, run


def _tell(commit: Commit) -> None:
    """It is committed: call its callbacks."""
    commit.verdict = Verdict.COMMITTED
    for callback in commit.after:
        callback()


def _tell_published(
    commit: Commit, queue: str, task: str, task_id: str, correlation_id: str, trace: Trace | None
) -> None:
    fields: dict[str, Any] = {"task": task, "task_id": task_id, "correlation_id": correlation_id}
    if trace is not None:
        fields["trace_id"] = trace.id
    commit.then(lambda: transition("task.published", queue=queue, **fields))


def _simple(request: Any) -> bool:
    """Whether the message has no callbacks, chain, chord or group: only Celery can put those into a retry."""
    return not (request.callbacks or request.errbacks or request.chain or request.chord or request.group)


def _retry(task: Any, ended: Exception, decision: Again) -> None:
    """Publish a retry with Celery's own retry, which then raises Retry. If the publish fails, Celery would reject the
    message, and the task would be lost. So this tries until the broker takes the retry; if this process is killed
    meanwhile, another worker gets the message. Returns if the broker never will: then the task has failed."""
    request = task.request
    before = request.retries
    if not decision.counts:
        request.retries = before - 1  # Celery adds one
    try:
        for attempt in count():
            try:
                raise task.retry(exc=ended, countdown=decision.delay_seconds, max_retries=NO_LIMIT)
            except Reject as exc:
                reason: Any = exc.reason  # type: ignore[attr-defined]  # celery-types does not know it
                if classify(reason) is not Kind.TRANSIENT:
                    return
                wait = min(LONGEST_WAIT_SECONDS, 0.1 * 2.0 ** min(attempt, 10))
                error = redact(str(reason))[:LONGEST_TEXT]
                emit("task.retry_refused", level=logging.WARNING, error=error, next_attempt_seconds=wait)
                with suppress(SoftTimeLimitExceeded):  # the body has ended
                    time.sleep(wait)
            except SoftTimeLimitExceeded:
                continue
    finally:
        request.retries = before


def _waited_seconds(request: Any, started: float) -> float | None:
    published = request.get(correlation.PUBLISHED_AT)
    if not isinstance(published, int | float):
        return None
    due_at = request.get(DUE_AT) or request.eta
    due = datetime.fromisoformat(due_at).timestamp() if isinstance(due_at, str) else 0.0
    return round(max(0.0, started - max(published, due)), 6)
