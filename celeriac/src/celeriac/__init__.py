"""Celery on Redis that loses nothing and does nothing twice.

What can be imported from here is public: it is described in docs/reference.md, and a change of it is in CHANGELOG.md.
Everything else is free to change. A name is loaded when it is first used, so `import celeriac` itself costs nothing.
"""

TYPE_CHECKING = False  # of typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from celeriac.app.client import make_app
    from celeriac.app.installation import install
    from celeriac.app.settings import CelerySettings, WorkerSettings
    from celeriac.claim.pauses import pause as pause_queue
    from celeriac.claim.pauses import paused as paused_queues
    from celeriac.claim.pauses import resume as resume_queue
    from celeriac.contract.contract import Contract
    from celeriac.contract.implementation import Implementation, implements
    from celeriac.contract.outcome import Outcome
    from celeriac.contract.pending import Pending
    from celeriac.correlation import bind as bind_correlation
    from celeriac.correlation import current as current_correlation
    from celeriac.dead_letter.letters import Letter as DeadLetter
    from celeriac.dead_letter.letters import Reason
    from celeriac.dead_letter.letters import drop as drop_dead_letters
    from celeriac.dead_letter.letters import find as find_dead_letter
    from celeriac.dead_letter.letters import read as read_dead_letters
    from celeriac.dead_letter.replay import Unreadable
    from celeriac.dead_letter.replay import replay as replay_dead_letter
    from celeriac.errors import (
        CircuitOpen,
        Conflict,
        NotPublished,
        OutcomeUnknown,
        PermanentError,
        PublishError,
        QueueFull,
        SettingsError,
        TaskError,
        TransientError,
        ValidationError,
        WrongPayload,
    )
    from celeriac.events import ignore, on_event
    from celeriac.logs import configure as configure_logs
    from celeriac.outcome.progress import progress
    from celeriac.payloads import Model, TaskPayload, TaskResult
    from celeriac.published import Published
    from celeriac.retry.breaker import Breaker
    from celeriac.retry.classification import CLASSIFICATION, Kind
    from celeriac.retry.policy import RetryPolicy
    from celeriac.worker.app import make_worker
    from celeriac.worker.metrics import EventCounter
    from celeriac.worker.program import run_worker
    from celeriac.worker.service import serve

    __version__: str

__all__ = [
    "CLASSIFICATION",
    "Breaker",
    "CelerySettings",
    "CircuitOpen",
    "Conflict",
    "Contract",
    "DeadLetter",
    "EventCounter",
    "Implementation",
    "Kind",
    "Model",
    "NotPublished",
    "Outcome",
    "OutcomeUnknown",
    "Pending",
    "PermanentError",
    "PublishError",
    "Published",
    "QueueFull",
    "Reason",
    "RetryPolicy",
    "SettingsError",
    "TaskError",
    "TaskPayload",
    "TaskResult",
    "TransientError",
    "Unreadable",
    "ValidationError",
    "WorkerSettings",
    "WrongPayload",
    "__version__",
    "bind_correlation",
    "configure_logs",
    "current_correlation",
    "drop_dead_letters",
    "find_dead_letter",
    "ignore",
    "implements",
    "install",
    "make_app",
    "make_worker",
    "on_event",
    "pause_queue",
    "paused_queues",
    "progress",
    "read_dead_letters",
    "replay_dead_letter",
    "resume_queue",
    "run_worker",
    "serve",
]

_ERRORS = (
    "CircuitOpen",
    "Conflict",
    "NotPublished",
    "OutcomeUnknown",
    "PermanentError",
    "PublishError",
    "QueueFull",
    "SettingsError",
    "TaskError",
    "TransientError",
    "ValidationError",
    "WrongPayload",
)
# Name -> the module that has it; behind a colon, its name there if that is another one.
_HOMES = dict.fromkeys(_ERRORS, "errors") | {
    "Breaker": "retry.breaker",
    "CLASSIFICATION": "retry.classification",
    "CelerySettings": "app.settings",
    "Contract": "contract.contract",
    "DeadLetter": "dead_letter.letters:Letter",
    "EventCounter": "worker.metrics",
    "Implementation": "contract.implementation",
    "Kind": "retry.classification",
    "Model": "payloads",
    "Outcome": "contract.outcome",
    "Pending": "contract.pending",
    "Published": "published",
    "Reason": "dead_letter.letters",
    "RetryPolicy": "retry.policy",
    "TaskPayload": "payloads",
    "TaskResult": "payloads",
    "Unreadable": "dead_letter.replay",
    "WorkerSettings": "app.settings",
    "bind_correlation": "correlation:bind",
    "configure_logs": "logs:configure",
    "current_correlation": "correlation:current",
    "drop_dead_letters": "dead_letter.letters:drop",
    "find_dead_letter": "dead_letter.letters:find",
    "ignore": "events",
    "implements": "contract.implementation",
    "install": "app.installation",
    "make_app": "app.client",
    "make_worker": "worker.app",
    "on_event": "events",
    "progress": "outcome.progress",
    "pause_queue": "claim.pauses:pause",
    "paused_queues": "claim.pauses:paused",
    "read_dead_letters": "dead_letter.letters:read",
    "replay_dead_letter": "dead_letter.replay:replay",
    "resume_queue": "claim.pauses:resume",
    "run_worker": "worker.program",
    "serve": "worker.service",
}


if not TYPE_CHECKING:  # else a type checker would take any name

    def __getattr__(name):
        from importlib import import_module

        if name == "__version__":
            return import_module("importlib.metadata").version("celeriac")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home, _, there = _HOMES[name].partition(":")
        found = globals()[name] = getattr(import_module(f"{__name__}.{home}"), there or name)
        return found


def __dir__() -> list[str]:
    return __all__
