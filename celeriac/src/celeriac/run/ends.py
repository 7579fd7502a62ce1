"""The ends of a message that its body does not decide, and who hears of each. All of them are here.

| end          | when                                             | the caller gets         | errbacks and chord     |
|--------------|--------------------------------------------------|-------------------------|------------------------|
| undecodable  | nobody can read it (perhaps its id)              | FAILURE InvalidTaskError | if they can be read   |
| unknown-task | no task has this name here                       | FAILURE NotRegistered   | are told               |
| poison       | its workers died, as often as it may be started  | FAILURE PermanentError  | are told               |
| permanent    | its body rejects it; Redis cannot apply an effect | FAILURE, the error     | are told               |
| conflict     | its id was done before, with another payload     | the first result stays  | are told               |

Each leaves a dead letter. Dead letter, failure, errbacks and acknowledgement are one step. About the other ends (done,
failed, retried, revoked) Celery's own code tells the caller, inside the open commit."""

import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from celery import signals
from celery.app.task import Context
from celery.exceptions import InvalidTaskError, NotRegistered
from kombu.utils.encoding import safe_repr

from celeriac.broker import keys
from celeriac.broker.lists import queue_of
from celeriac.correlation import named, of_message
from celeriac.dead_letter.description import about
from celeriac.errors import Conflict, PermanentError
from celeriac.events import emit, transition
from celeriac.life.pack import facts_of, short
from celeriac.message.reading import body, loads, whole_body
from celeriac.message.schema import check_links, legible
from celeriac.outcome.commit import Commit, NotCommitted, commit_now, opened

EXCEPTION_INFO: Any = import_module("celery.app.trace").ExceptionInfo
CONFLICT = "this id was done before, with another payload"


class Ends:
    """One for each app of a worker; for all threads."""

    def __init__(
        self, app: Any, hostname: str, submit: Callable[[Commit], None], end_starts: Callable[[str], int]
    ) -> None:
        """`submit(commit)` commits. `end_starts(tag)`: how many starts of this message were counted; it ends now."""
        self.app, self.hostname, self._submit, self._end_starts = app, hostname, submit, end_starts
        self.eventer: Any = None  # of the newest consumer
        self.died: Callable[[Any, str], None] = lambda task, reason: None  # hears of what a claim ends

    def dead(
        self,
        commit: Commit,
        reason: str,
        error: str,
        list_key: Any,
        headers: Any,
        *,
        links: Mapping[str, Any] | None = None,
        starts: int | None = None,
        failure: Exception | None = None,
        caller_knows: bool = False,
    ) -> None:
        """End this message as a dead letter. `links` is the last part of its body: callbacks, errbacks, chain, chord.
        `failure`: what its caller gets instead of the failure of the table. `caller_knows`: its caller was told
        before."""
        known: Mapping[str, Any] = headers if isinstance(headers, dict) else {}
        queue = queue_of(list_key)
        starts = self._end_starts(commit.tag) if starts is None else starts
        commit.headers = commit.headers or dict(known)
        commit.discard()
        written = about(reason, error, queue=queue, headers=dict(known), starts=starts, worker=self.hostname)
        commit.bury(keys.dead(queue), written)
        commit.task_id, commit.task = (
            commit.task_id or str(known.get("id") or ""),
            commit.task or str(known.get("task") or ""),
        )
        commit.note(reason=reason, error=short(error), **facts_of(known))
        fields = {**named(known, str(known.get("id") or commit.task_id)), "queue": queue}
        commit.then(lambda: transition("task.dead", level=logging.ERROR, reason=reason, error=error[:500], **fields))
        try:
            if not caller_knows:
                self._fail(commit, reason, failure or _failure(reason, error, known), known, links or {})
        except NotCommitted:
            return
        except (
            Exception,
            SystemExit,
        ) as exc:  # of an errback, or of the result store: the dead letter is written all the same
            emit("end.not_told", level=logging.ERROR, exc_info=exc, error=str(exc), **fields)
        if commit.verdict is None:
            self._submit(commit)

    def impossible(self, commit: Commit, why: str, list_key: Any) -> None:
        """End a message whose outcome Redis will never take. Its chord, if it has one, was told before."""
        conflict = why == "conflict"
        text = CONFLICT if conflict else why
        headers = {**(commit.headers or {"id": commit.task_id}), "chord": None}
        letter = Commit(commit.tag, commit.task_id)
        self.dead(
            letter, "conflict" if conflict else "permanent", text, list_key=list_key, headers=headers, links=headers
        )

    def dead_at_claim(self, list_key: str, reason: str, error: str, raw: bytes) -> None:
        """The claim script has left a dead letter. Tell the caller, as far as the message can be read."""
        message = _object(raw)
        headers = legible(message)
        fields = {**named(headers, str(headers.get("id") or "")), "queue": queue_of(list_key)}
        self.died(fields["task"], reason)
        transition("task.dead", level=logging.ERROR, reason=reason, error=error[:500], **fields)
        try:
            self._mark(None, reason, _failure(reason, error, headers), headers, links_of(message))
        except (Exception, SystemExit) as exc:
            emit("end.not_told", level=logging.ERROR, exc_info=exc, error=str(exc), **fields)

    def _fail(
        self, commit: Commit, reason: str, failure: Exception, headers: Mapping[str, Any], links: Mapping[str, Any]
    ) -> None:
        task_id = headers.get("id")
        if commit.result_key or not isinstance(task_id, str) or not task_id:  # told before, or there is nobody to tell
            return
        commit.task_id = task_id
        with opened(commit):
            request, task = self._mark(commit, reason, failure, headers, links)
            if task is None or not signals.task_failure.receivers:
                return
            if commit.verdict is None:
                commit_now()
            try:
                raise failure
            except Exception:  # listeners rely on a traceback
                einfo = EXCEPTION_INFO()
            signals.task_failure.send(
                sender=task,
                task_id=task_id,
                exception=failure,
                args=request.args,
                kwargs=request.kwargs,
                traceback=einfo.traceback,
                einfo=einfo,
            )

    def _mark(
        self,
        commit: Commit | None,
        reason: str,
        failure: Exception,
        headers: Mapping[str, Any],
        links: Mapping[str, Any],
    ) -> tuple[Context, Any]:
        """Store the failure, tell chord and chain, call errbacks: as Celery does it for a task whose worker is lost."""
        task_id, name = headers.get("id"), headers.get("task")
        task = self.app.tasks.get(name) if isinstance(name, str) else None
        request = Context({**headers, **links, "delivery_info": headers.get("delivery_info") or {}})
        if not isinstance(task_id, str) or not task_id:
            return request, task
        eventer = self.eventer
        if commit is not None and eventer is not None and eventer.enabled:
            commit.then(lambda: eventer.send("task-failed", uuid=task_id, exception=safe_repr(failure), traceback=""))
        backend = self.app.backend if task is None else task.backend
        stores = reason != "conflict" and _stores_errors(task, headers)
        with of_message(headers):  # errbacks belong to the same request
            backend.mark_as_failure(task_id, failure, request=request, store_result=stores)
        return request, task


def links_of(message: Any) -> Mapping[str, Any]:
    """Callbacks, errbacks, chain and chord of a message, of either protocol; nothing where its body cannot be read."""
    try:
        links = body(message)[2] if "task" in message["headers"] else whole_body(message)
        found = {name: links.get(name) for name in ("callbacks", "errbacks", "chain", "chord")}
        check_links(found)
    except Exception:
        return {}
    return found


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = loads(raw)
    except Exception:
        return {}
    return found if isinstance(found, dict) else {}


def _failure(reason: str, error: str, headers: Mapping[str, Any]) -> Exception:
    if reason == "unknown-task":
        return NotRegistered(str(headers.get("task")))
    kinds: dict[str, type[Exception]] = {"undecodable": InvalidTaskError, "conflict": Conflict}
    return kinds.get(reason, PermanentError)(error)


def _stores_errors(task: Any, headers: Mapping[str, Any]) -> bool:
    """Whether a failure of this task is stored, as Celery decides it."""
    ignored = headers.get("ignore_result")
    if ignored is None:
        ignored = task is not None and task.ignore_result
    return not ignored or bool(task is not None and task.store_errors_even_if_ignored)
