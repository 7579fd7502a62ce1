"""Makes Celery's signature of a contract's payload: for canvas, for options that are not `usual`, for eager apps."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.exceptions import NotRegistered

from celeriac.contract.messages import named
from celeriac.contract.spec import Spec
from celeriac.payloads import TaskPayload

if TYPE_CHECKING:
    from celery.canvas import Signature


class NoBody(NotRegistered):
    """The app is eager and has no body for this task."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError would show it in quotes


def of(spec: Spec[Any, Any], app: Celery, checked: Any, options: Mapping[str, Any]) -> "Signature[Any]":
    """Of a payload that is checked already. Raises NoBody."""
    chosen = {"queue": spec.queue, "ignore_result": spec.ignore_result}
    if isinstance(checked, TaskPayload):
        chosen["task_id"] = named(spec, checked, options)
    args = () if checked is None else (spec.payload_data(checked),)
    return _signature(spec, app, args=args, **(chosen | dict(options)))


def partial(spec: Spec[Any, Any], app: Celery, options: Mapping[str, Any]) -> "Signature[Any]":
    """Without a payload: it will be the result before it. Raises NoBody."""
    return _signature(spec, app, **({"queue": spec.queue} | dict(options)))


def _signature(spec: Spec[Any, Any], app: Celery, **options: Any) -> "Signature[Any]":
    if app.conf.task_always_eager and spec.name not in app.tasks:  # it could only publish it
        raise NoBody(
            f"{spec.name} has no body in the app {app.main!r}: task_always_eager runs tasks in place. Register one: "
            "handler.register(app), where handler is what @implements made; or bind the contract to the app that has it"
        )
    return app.signature(spec.name, app=app, **options)
